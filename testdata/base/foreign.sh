#!/bin/sh
# Programs for processors other than this machine's, from Debian's packages. Needs no root.
#
# usage: foreign.sh busybox ARCH     print the path of a static busybox for Debian's architecture ARCH (arm64, armhf, …)
#        foreign.sh qemu NAME        print the path of a static emulator (aarch64, arm, …): an installed one, else the package's
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

mkdir -p "$cache"
# Several tests may come here at once; one of them fetches.
exec 9>"$cache/foreign.lock"
flock 9

case ${1:-} in
busybox)
	arch=$2 out=$cache/busybox.$2
	if [ ! -x "$out" ]; then
		# Lists of that architecture, beside the system's own.
		lists=$cache/apt.$arch
		mkdir -p "$lists/lists/partial" "$lists/archives/partial"
		apt_options="-oAPT::Architecture=$arch -oAPT::Architectures=$arch -oDir::State::Lists=$lists/lists -oDir::Cache=$lists
			-oDir::Cache::Archives=$lists/archives -oDir::State::status=/dev/null -oDebug::NoLocking=1
			-oAPT::Sandbox::User=$(id -un) -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
		apt-get $apt_options -qq update >&2 || true
		deb=$(fetch_package busybox-static)
		rm -rf "$out.d"
		dpkg-deb -x "$deb" "$out.d"
		for file in bin/busybox usr/bin/busybox; do
			[ ! -f "$out.d/$file" ] || [ -L "${out}.d/${file%/busybox}" ] || mv "$out.d/$file" "$out"
		done
		rm -rf "$out.d"
		[ -x "$out" ] || die "the package busybox-static:$arch holds no busybox"
	fi
	printf '%s\n' "$out"
	;;
qemu)
	program=qemu-$2-static
	if command -v "$program"; then exit; fi
	if [ ! -x "$cache/qemu/$program" ]; then
		deb=$(fetch_package qemu-user-static)
		rm -rf "$cache/qemu.d"
		dpkg-deb -x "$deb" "$cache/qemu.d"
		mkdir -p "$cache/qemu"
		mv "$cache/qemu.d/usr/bin"/qemu-*-static "$cache/qemu/"
		rm -rf "$cache/qemu.d"
		[ -x "$cache/qemu/$program" ] || die "the package qemu-user-static holds no $program"
	fi
	printf '%s\n' "$cache/qemu/$program"
	;;
*) die "busybox or qemu, not '${1:-}'" ;;
esac
