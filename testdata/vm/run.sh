#!/bin/bash
# Kernels that are not this machine's, in virtual machines: control groups of version 2 for real, from 5.10 on.
#
# usage: run.sh [VERSION|systemd...]        The binary is $ESTIBA; libraries that it is linked with are brought along.
#
# Prints "ok NAME [linux VERSION]", "FAIL NAME …: why" and "skip NAME …: why". Ends with 1 when anything failed.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
estiba=$(command -v "${ESTIBA:-estiba}") || { echo "FAIL vm: no estiba"; exit 1; }
[ $# -gt 0 ] || set -- 5.10 6.1 6.12 systemd

for program in qemu-system-x86_64:qemu-system-x86 cpio:cpio depmod:kmod busybox:busybox-static xz:xz-utils dpkg-deb:dpkg apt-get:apt; do
	command -v "${program%:*}" >/dev/null || { echo "skip virtual machines: ${program%:*} is not installed (${program#*:})"; exit 0; }
done
[ "$(uname -m)" = x86_64 ] || { echo "skip virtual machines: their kernels are for x86_64"; exit 0; }
! ldd "$(command -v busybox)" >/dev/null 2>&1 || { echo "skip virtual machines: busybox is not static (busybox-static)"; exit 0; }

# with_libraries PROGRAM [DESTINATION]: the program and what it is linked with, as boot.sh's arguments.
with_libraries() {
	local library
	files+=(-f "$1:${2:-$1}")
	for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do files+=(-f "$library:$library"); done
}
files=()
with_libraries "$estiba" /usr/local/bin/estiba
for program in newuidmap newgidmap pasta; do
	! path=$(command -v "$program") || with_libraries "$path"
done

# boots LABEL BOOT-ARGUMENTS...: counts what a machine said.
boots() {
	local label=$1 code
	shift
	"$here/boot.sh" -t "${VM_SECONDS:-900}" "$@" | grep -aE '^(ok|FAIL|skip|  \|) ?'
	code=${PIPESTATUS[0]}
	[ "$code" != 111 ] || echo "FAIL boot [$label]: it did not come to an end"
	[ "$code" = 0 ] || failed=1
}

# A machine that systemd runs.
with_systemd() {
	local kernel disk
	[ "$(id -u)" = 0 ] || { echo "skip systemd: only root can make its disk"; return; }
	command -v debootstrap >/dev/null || { echo "skip systemd: debootstrap is not installed"; return; }
	kernel=$("$here/kernels.sh" 6.1)
	disk=$(mktemp "${TMPDIR:-/var/tmp}/estiba-disk.XXXXXX")
	if [ -n "$kernel" ] && "$here/systemd.sh" "$disk" "${files[@]}" >"$disk.log" 2>&1; then
		boots systemd -m 1536 -d "$disk" "$kernel"
	else
		echo "skip systemd: its disk cannot be made here: $(tail -n 1 "$disk.log" 2>/dev/null)"
	fi
	rm -f "$disk" "$disk.log"
}

failed=0
for version; do
	if [ "$version" = systemd ]; then
		with_systemd
		continue
	fi
	kernel=$("$here/kernels.sh" "$version")
	if [ -z "$kernel" ]; then
		echo "skip linux $version: its package cannot be had here"
		continue
	fi
	boots "linux $version" "${files[@]}" "$kernel" "$here/checks.sh"
done
exit "$failed"
