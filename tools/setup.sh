#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Installs the Debian packages that are missing for a purpose: build, test, demo, vm, image, musl. Asks nothing.
# Usage: tools/setup.sh build|test|demo|vm|image|musl
set -eu

build='gcc make clang llvm pkg-config bpftool libbpf-dev libelf-dev zlib1g-dev libsqlite3-dev libjson-c-dev uthash-dev libzydis-dev'
run='runc python3 sqlite3'
test='libcmocka-dev jq libxml2-utils'
vm='qemu-system-x86 busybox-static e2fsprogs kmod xz-utils zstd'
image='dpkg-dev gcc make xz-utils libbz2-dev libffi-dev liblzma-dev libncurses-dev libreadline-dev libsqlite3-dev libssl-dev uuid-dev
	zlib1g-dev'
musl='gcc make musl-tools linux-libc-dev xz-utils'

case "${1-}" in
build) want=$build ;;
demo) want="$build $run" ;;
test) want="$build $run $test" ;;
vm) want="$build $run $test $vm" ;;
image) want=$image ;;
musl) want=$musl ;;
*) echo "usage: tools/setup.sh build|test|demo|vm|image|musl" >&2; exit 2 ;;
esac

missing=
for package in $want; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "tools/setup.sh: not root; install these packages first:$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
