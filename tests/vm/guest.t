#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Runs inside the virtual machine (busybox sh, root, cgroup v2).
cg=/sys/fs/cgroup
uname -r
cat $cg/cgroup.controllers
mkdir $cg/t $cg/oom; echo 32M > $cg/oom/memory.max
sh -c "echo \$\$ >$cg/t/cgroup.procs; exec probe_smoke 'echo \$\$ >$cg/oom/cgroup.procs; exec tail /dev/zero'"
cat /proc/uptime
mount --bind / /container
mkdir /run/b; python3 /payload/runc-config.py /run/b /leaky $((64<<20)) python3 /payload/leak.py 4 0.01 100
time runc run -b /run/b leaky </dev/null 2>&1; echo "exit $?"
cat /proc/uptime
