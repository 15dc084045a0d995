#!/bin/bash
# Makes the disk of a machine that systemd runs, and that does checks-systemd.sh when it is up.
#
#   systemd.sh DISK [-f FILE:DESTINATION]...
#
# A Debian tree by debootstrap, kept in $ESTIBA_VM_KERNELS/systemd.tar for the next time. As root only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
disk=$1
shift
keep=${ESTIBA_VM_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/estiba/kernels}
mkdir -p "$keep"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/estiba-systemd.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ ! -f "$keep/systemd.tar" ]; then
	debootstrap --variant=minbase --include=systemd-sysv,dbus,libpam-systemd,uidmap,busybox-static bookworm "$work/tree" >&2
	tar --numeric-owner -C "$work/tree" -cf "$keep/systemd.tar.new" .
	mv "$keep/systemd.tar.new" "$keep/systemd.tar"
	rm -rf "$work/tree"
fi
mkdir "$work/tree"
tar --numeric-owner -C "$work/tree" -xpf "$keep/systemd.tar"
tree=$work/tree
while getopts f: option; do
	mkdir -p "$tree/$(dirname "${OPTARG#*:}")"
	# What the tree has itself fits it better than what this machine has.
	[ -e "$tree/${OPTARG#*:}" ] || cp -aL "${OPTARG%%:*}" "$tree/${OPTARG#*:}"
done
install -m 0755 "$here/checks-systemd.sh" "$tree/usr/local/bin/checks"
grep -q '^rt:' "$tree/etc/passwd" || {
	echo 'rt:x:1001:1001::/home/rt:/bin/sh' >>"$tree/etc/passwd"
	echo 'rt:x:1001:' >>"$tree/etc/group"
	echo 'rt:!:19000::::::' >>"$tree/etc/shadow"
	install -d -o 1001 -g 1001 "$tree/home/rt"
}
echo 'rt:100000:65536' | tee "$tree/etc/subuid" >"$tree/etc/subgid"
# His service manager runs without a login.
mkdir -p "$tree/var/lib/systemd/linger"
: >"$tree/var/lib/systemd/linger/rt"
printf 'uninitialized\n' >"$tree/etc/machine-id"
cat >"$tree/etc/systemd/system/checks.service" <<'UNIT'
[Unit]
After=multi-user.target user@1001.service
Wants=user@1001.service

[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'sh /usr/local/bin/checks; echo vm-exit=$?; sync; systemctl --force --force poweroff'
UNIT
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -sf ../checks.service "$tree/etc/systemd/system/multi-user.target.wants/checks.service"
for unit in serial-getty@ttyS0.service getty@tty1.service systemd-networkd.service apt-daily.timer apt-daily-upgrade.timer; do
	ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
truncate -s 1G "$disk"
mkfs.ext4 -q -F -d "$tree" "$disk"
