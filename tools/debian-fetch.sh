#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Reads packages of any Debian suite without installing them and without touching the host's apt: own sources, lists,
# status and cache below build/debian/SUITE. The mirror is the one that this host's apt uses.
# Usage: tools/debian-fetch.sh SUITE PACKAGE... -d DIR     download (once) and unpack into DIR; no dependencies follow
#        tools/debian-fetch.sh SUITE --cache ARGUMENT...   ask that suite's apt-cache, e.g. depends linux-image-amd64
#        tools/debian-fetch.sh SUITE --source PACKAGE      download (once) what upstream released; prints the archive's path
# BUILD= is the folder for everything made.
set -eu

usage() {
	sed -n 's/^# Usage: //p; s/^#        //p' "$0" >&2
	exit 2
}

suite=${1-}
[ $# -ge 2 ] || usage
shift

cd "$(dirname "$0")/.."
state=$(realpath -m "${BUILD:-build}")/debian/$suite
cd "$OLDPWD"

# The host's own archive: the site that serves its release, not the one of its security updates.
site() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(RELEASE) $(SITE)' 'Created-By: Packages' |
		grep -v security | sort -u | sed -n '1s/^[^ ]* //p'
}

prepare() {
	mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/etc"
	exec 9>"$state/lock"
	flock 9
	: >"$state/status"
	site=$(site)
	printf 'deb %s %s main\ndeb-src %s %s main\n' "$site" "$suite" "$site" "$suite" >"$state/etc/sources.list"
	cat >"$state/apt.conf" <<END
Dir::Etc::SourceList "$state/etc/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$state/lists";
Dir::State::Status "$state/status";
Dir::Cache "$state";
Dir::Cache::pkgcache "pkgcache.bin";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
END
	ls "$state"/lists/*Packages* "$state"/lists/*Sources* >/dev/null 2>&1 || update
}

update() {
	apt-get -c "$state/apt.conf" -qq update >&2
}

# Files of the packages in archives/. A stale list names a version that the mirror has already replaced: renew it once.
download() {
	(cd "$state/archives" &&
		{ apt-get -c "$state/apt.conf" -qq download "$@" >/dev/null 2>&1 ||
			{ update && apt-get -c "$state/apt.conf" -qq download "$@" >&2; } })
}

# Upstream's archive of a source package, checked against the suite's signed lists; Debian's patches are left alone.
source_of() {
	(cd "$state/archives" &&
		{ apt-get -c "$state/apt.conf" -qq --download-only source "$1" >/dev/null 2>&1 ||
			{ update && apt-get -c "$state/apt.conf" -qq --download-only source "$1" >&2; } })
	name=$(apt-cache -c "$state/apt.conf" showsrc --only-source "$1" | sed -n 's/.* \([^ ]*\.orig\.tar\.[a-z0-9]*\)$/\1/p' |
		sort -uV | tail -n 1)
	ls "$state/archives/$name"
}

# The file that `apt-get download` made of a package: NAME_VERSION_ARCH.deb, the colon of an epoch written %3a.
file_of() {
	version=$(apt-cache -c "$state/apt.conf" show --no-all-versions "$1" | sed -n 's/^Version: //p' | sed 's/:/%3a/')
	ls "$state/archives/${1%%:*}_${version}"_*.deb
}

if [ "$1" = --cache ]; then
	shift
	prepare
	exec apt-cache -c "$state/apt.conf" "$@"
fi

if [ "$1" = --source ]; then
	[ $# -eq 2 ] || usage
	prepare
	source_of "$2"
	exit
fi

packages=
dir=
while [ $# -gt 0 ]; do
	case "$1" in
	-d) dir=${2-}; [ -n "$dir" ] || usage; shift ;;
	-*) usage ;;
	*) packages="$packages $1" ;;
	esac
	shift
done
[ -n "$packages" ] || usage
[ -n "$dir" ] || usage

prepare
# shellcheck disable=SC2086 # a list of names
download $packages
mkdir -p "$dir"
for package in $packages; do
	dpkg-deb -x "$(file_of "$package")" "$dir"
done
