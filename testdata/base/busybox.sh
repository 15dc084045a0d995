#!/bin/sh
# Makes an OCI layout of busybox out of Debian's package busybox-static. Needs no root.
#
# usage: busybox.sh [OUT]       write the layout to OUT (default: the cache folder); print its path
#        busybox.sh --binary    print the path of a static busybox, fetched if need be
#
# $ESTIBA_BUSYBOX names a static busybox to use instead of the package's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/layout.sh"

binary() {
	if [ -n "${ESTIBA_BUSYBOX:-}" ]; then
		[ -x "$ESTIBA_BUSYBOX" ] || die "ESTIBA_BUSYBOX: $ESTIBA_BUSYBOX cannot be run"
		printf '%s\n' "$ESTIBA_BUSYBOX"
		return
	fi
	mkdir -p "$cache"
	# Several tests may come here at once; one of them fetches.
	exec 9>"$cache/busybox.lock"
	flock 9
	if [ ! -x "$cache/busybox" ]; then
		deb=$(fetch_package busybox-static)
		# The whole package is unpacked, since tar's exit code is lost in a pipe.
		rm -rf "$cache/busybox.deb.d"
		dpkg-deb -x "$deb" "$cache/busybox.deb.d"
		for file in bin/busybox usr/bin/busybox; do
			[ -x "$cache/busybox.deb.d/$file" ] && [ ! -L "$cache/busybox.deb.d/${file%/busybox}" ] || continue
			mv "$cache/busybox.deb.d/$file" "$cache/busybox"
		done
		rm -rf "$cache/busybox.deb.d"
		[ -x "$cache/busybox" ] || die "the package busybox-static holds no busybox"
	fi
	flock -u 9
	printf '%s\n' "$cache/busybox"
}

if [ "${1:-}" = --binary ]; then
	binary
	exit
fi

# A failure inside a command substitution of an assignment ends the script.
busybox=$(binary)
out=${1:-$cache/busybox.oci}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/root
umask 022
mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/home" "$root/proc" "$root/sys" "$root/usr/bin" "$root/usr/sbin" "$root/var/www"
mkdir -m 0700 "$root/root"
mkdir -m 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
chmod 0755 "$root/bin/busybox"
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
printf '%s\n' root:x:0: daemon:x:1: www-data:x:33: nogroup:x:65534: >"$root/etc/group"
printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/:/bin/false \
	www-data:x:33:33:www-data:/var/www:/bin/false nobody:x:65534:65534:nobody:/:/bin/false >"$root/etc/passwd"

# One order, one owner, one time: the same busybox gives the same digest everywhere.
tar --create --file "$work/layer.tar" --directory "$root" --format=ustar --sort=name \
	--owner=0 --group=0 --numeric-owner --mtime=@0 .
mkdir -p "$(dirname "$out")"
write_layout "$out" "$work/layer.tar" busybox '["sh"]' 0
printf '%s\n' "$out"
