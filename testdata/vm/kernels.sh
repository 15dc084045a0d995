#!/bin/sh
# Fetches Debian's kernels for virtual machines, and prints the folder of each.   usage: kernels.sh [VERSION...]
#
# Unpacked packages, kept in $ESTIBA_VM_KERNELS (default: below $XDG_CACHE_HOME) for the next time. A version that this machine's
# package sources do not have is left out, and said on standard error.
set -eu

keep=${ESTIBA_VM_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/estiba/kernels}
mkdir -p "$keep"
[ $# -gt 0 ] || set -- 5.10 6.1 6.12

# The newest image of a series that apt knows.
newest() {
	apt-cache "$@" search --names-only "^linux-image-$series[.+][.0-9+a-z-]*-cloud-amd64$" | cut -d' ' -f1 | sort -V | tail -n 1
}

# The suite that has a series which this machine's own sources do not.
elsewhere() {
	case $series in
	5.10) echo bullseye ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	*) return 1 ;;
	esac
}

# Options for an apt of our own, which knows one suite and leaves the machine's alone.
private() {
	dir=$keep/.apt
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s\n' \
		"http://deb.debian.org/debian $1 main" "http://deb.debian.org/debian-security $1-security main" >"$dir/sources.list"
	options="-o Dir::Etc::SourceList=$dir/sources.list -o Dir::Etc::SourceParts=/nonexistent -o Dir::State::Lists=$dir/lists
		-o Dir::Cache=$dir -o Acquire::Languages=none -o APT::Sandbox::User=root"
	# shellcheck disable=SC2086
	apt-get $options -qq update >/dev/null 2>&1 || true
}

fetch() {
	options=
	package=$(newest)
	if [ -z "$package" ] && suite=$(elsewhere); then
		private "$suite"
		# shellcheck disable=SC2086
		package=$(newest $options)
	fi
	[ -n "$package" ] || return 1
	rm -rf "$keep/.new"
	mkdir "$keep/.new"
	# shellcheck disable=SC2086
	(cd "$keep/.new" && apt-get $options -qq download "$package" >/dev/null 2>&1 && dpkg-deb -x ./*.deb tree) || return 1
	mv "$keep/.new/tree" "$keep/$series"
	rm -rf "$keep/.new"
}

for series in "$@"; do
	if [ -d "$keep/$series/boot" ] || fetch; then
		echo "$keep/$series"
	else
		echo "kernels.sh: no package of Linux $series can be had here" >&2
	fi
done
