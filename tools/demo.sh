#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The demonstration (`make demo`), on a bare Debian 12 as root: installs what is missing, builds, then records a service
# that leaks in a container. Asks nothing; leaves demo/ and removes everything else that it started.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
	echo "make demo needs root: it starts a container and loads BPF programs. Run: sudo make demo" >&2
	exit 1
fi
if ! command -v make >/dev/null; then
	apt-get install -qq -y --no-install-recommends make >/dev/null
fi
tools/setup.sh demo
make --no-print-directory all
exec /usr/bin/python3 tools/demo.py
