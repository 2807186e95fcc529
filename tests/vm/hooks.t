#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Runs in the virtual machine: which hooks its kernel has, without pymemscope (probe_smoke.c). It runs in a cgroup of its
# own, and lets another one reach its limit for the hooks on out-of-memory kills.
set -eu
cd "$(dirname "$0")/../.."
cgroups=/sys/fs/cgroup
mkdir "$cgroups/hooks" "$cgroups/hooks-oom"
echo 32M >"$cgroups/hooks-oom/memory.max"
echo $$ >"$cgroups/hooks/cgroup.procs"
exec build/probe_smoke "echo \$\$ >$cgroups/hooks-oom/cgroup.procs && exec tail /dev/zero"
