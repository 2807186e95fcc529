#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Lists the Python interpreters (3.8 and later) that tests can run here, one a line: NAME, a tab, the words of the
# command. Debian's own, pyenv's, what tools/image-python built as the official image does, and those of other Debian
# suites, which are unpacked below build/pythons and run with their own libc through its loader. OFFLINE=1: no download,
# only what is there. Beside each lies greenlet, for tests.
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

fetch() {
	suite=$1 version=$2
	shift 2
	unpack "$suite-$version" "$suite" "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" \
		libc6 libgcc-s1 zlib1g libexpat1 libstdc++6 python3-greenlet "$@" || return 0
	root=$(cd "$root" && pwd)
	for loader in "$root"/lib/*/ld-linux-*.so.* "$root"/usr/lib/*/ld-linux-*.so.*; do
		[ -e "$loader" ] || continue
		dir=$(dirname "$loader")
		printf '%s %s\tenv PYTHONHOME=%s %s --library-path %s:%s %s\n' "$version" "$suite" "$root/usr" "$loader" \
			"$dir" "$root/usr/lib/$(basename "$dir")" "$root/usr/bin/python$version"
		return
	done
}

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
	*) kind=image ;;
	esac
	printf '%s %s\t%s\n' "${python##*python}" $kind "$python"
done
unpack host-greenlet "$(. /etc/os-release && echo "$VERSION_CODENAME")" python3-greenlet
fetch bullseye 3.9 libffi7
fetch trixie 3.13 libffi8
fetch sid 3.14 libffi8
fetch sid 3.15 libffi8 libzstd1
