#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Lists the Python interpreters (3.8 and later) that tests can run here, one a line: NAME, a tab, the words of the
# command. Debian's own, pyenv's, what tools/image-python built as the official image does, and those of other Debian
# suites, which are unpacked below build/pythons and run with their own libc through its loader. OFFLINE=1: no download,
# only what is there. Beside each lies greenlet, for tests.
# Usage: tests/pythons.sh [more]     more: also Debian's shared libraries, each with a program that does nothing but call it
set -u

here=$(cd "$(dirname "$0")" && pwd)
pythons=$here/../build/pythons

# Packages of a suite below build/pythons/NAME, where "complete" lists them.
unpack() {
	root=$pythons/$1
	suite=$2
	shift 2
	if [ "$(cat "$root/complete" 2>/dev/null)" != "$*" ] && [ -z "${OFFLINE-}" ]; then
		"$here/../tools/debian-fetch.sh" "$suite" "$@" -d "$root" >&2 && echo "$*" >"$root/complete"
	fi
	[ -e "$root/complete" ]
}

libraries="libc6 libgcc-s1 zlib1g libexpat1 libstdc++6 python3-greenlet"

# The interpreter of a suite below $root, through the loader there.
list() {
	root=$(cd "$root" && pwd)
	for loader in "$root"/lib/*/ld-linux-*.so.* "$root"/usr/lib/*/ld-linux-*.so.*; do
		[ -e "$loader" ] || continue
		dir=$(dirname "$loader")
		printf '%s %s\tenv PYTHONHOME=%s %s --library-path %s:%s %s\n' "$2" "$1" "$root/usr" "$loader" \
			"$dir" "$root/usr/lib/$(basename "$dir")" "$root/usr/bin/python$2"
		return
	done
}

fetch() {
	suite=$1 version=$2
	shift 2
	# shellcheck disable=SC2086 # a list of names
	unpack "$suite-$version" "$suite" "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" \
		$libraries "$@" && list "$suite" "$version"
}

# What python3 is where it is built with --enable-shared: Py_BytesMain, and nothing else. Without this C library's own start of
# programs, which an older one would refuse.
call_library() {
	printf '%s\n' '.globl _start' '_start:' 'xor %ebp, %ebp' 'mov (%rsp), %edi' 'lea 8(%rsp), %rsi' 'and $-16, %rsp' \
		'call Py_BytesMain@plt' 'mov %eax, %edi' 'call exit@plt' '.section .note.GNU-stack,"",@progbits' |
		gcc -nostartfiles -Wl,--unresolved-symbols=ignore-in-shared-libs -x assembler - -x none "$1" -o "$2" >&2
}

fetch_shared() {
	suite=$1 version=$2
	shift 2
	# shellcheck disable=SC2086 # a list of names
	unpack "$suite-$version-shared" "$suite" "libpython$version" "libpython$version-minimal" "libpython$version-stdlib" \
		$libraries "$@" || return 0
	program=$root/usr/bin/python$version
	mkdir -p "$root/usr/bin"
	[ -x "$program" ] || call_library "$root"/usr/lib/*/libpython"$version".so.1.0 "$program" || return 0
	list "$suite-shared" "$version"
}

# Unit tests run beside each other, and what one unpacks another may run already.
mkdir -p "$pythons" 2>/dev/null
[ ! -d "$pythons" ] || { exec 8<"$pythons" && flock 8; }

for python in /usr/bin/python3.[0-9] /usr/bin/python3.[0-9][0-9]; do
	[ -x "$python" ] && printf '%s host\t%s\n' "${python##*python}" "$python"
done
root=$(pyenv root 2>/dev/null) || root=
for python in "${root:-/nonexistent}"/versions/3.*/bin/python3; do
	version=${python%/bin/python3}
	version=${version##*/}
	case $version in
	3.[0-7].*) continue ;;
	esac
	[ -x "$python" ] && printf '%s pyenv\t%s\n' "$version" "$python"
done
for python in "$here"/../build/image-python/3.*/usr/local/bin/python3.*[0-9]; do
	[ -x "$python" ] || continue
	python=$(realpath "$python")
	case $python in
	*-O3/*) kind=image-O3 ;;
	*-alpine/*) kind=alpine ;;
	*-nogil/*) continue ;; # nothing is probed there
	*) kind=image ;;
	esac
	printf '%s %s\t%s\n' "${python##*python}" $kind "$python"
done
unpack host-greenlet "$(. /etc/os-release && echo "$VERSION_CODENAME")" python3-greenlet
fetch bullseye 3.9 libffi7
fetch trixie 3.13 libffi8
fetch sid 3.14 libffi8
fetch sid 3.15 libffi8 libzstd1
[ "${1-}" = more ] || exit 0
fetch_shared bullseye 3.9 libffi7
fetch_shared trixie 3.13 libffi8
fetch_shared sid 3.14 libffi8
fetch_shared sid 3.15 libffi8 libzstd1
