#!/bin/bash
# Kernels that are not this machine's, in virtual machines: control groups of version 2 for real, from 5.10 on.
#
# usage: run.sh [VERSION...]        The binary is $ESTIBA, which must be static.
#
# Prints "ok NAME [linux VERSION]", "FAIL NAME …: why" and "skip NAME …: why". Ends with 1 when anything failed.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
estiba=$(command -v "${ESTIBA:-estiba}") || { echo "FAIL vm: no estiba"; exit 1; }
[ $# -gt 0 ] || set -- 5.10 6.1 6.12

for program in qemu-system-x86_64:qemu-system-x86 cpio:cpio depmod:kmod busybox:busybox-static xz:xz-utils dpkg-deb:dpkg apt-get:apt; do
	command -v "${program%:*}" >/dev/null || { echo "skip virtual machines: ${program%:*} is not installed (${program#*:})"; exit 0; }
done
[ "$(uname -m)" = x86_64 ] || { echo "skip virtual machines: their kernels are for x86_64"; exit 0; }
! ldd "$(command -v busybox)" >/dev/null 2>&1 || { echo "skip virtual machines: busybox is not static (busybox-static)"; exit 0; }

# with_libraries PROGRAM: the program and what it is linked with, as boot.sh's arguments.
with_libraries() {
	local library
	files+=(-f "$1:$1")
	for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do files+=(-f "$library:$library"); done
}
files=(-f "$estiba:/bin/estiba")
for program in newuidmap newgidmap pasta; do
	! path=$(command -v "$program") || with_libraries "$path"
done

failed=0
for version; do
	kernel=$("$here/kernels.sh" "$version")
	if [ -z "$kernel" ]; then
		echo "skip linux $version: its package cannot be had here"
		continue
	fi
	"$here/boot.sh" -t "${VM_SECONDS:-600}" "${files[@]}" "$kernel" "$here/checks.sh" | grep -aE '^(ok|FAIL|skip|  \|) ?'
	code=${PIPESTATUS[0]}
	[ "$code" != 111 ] || echo "FAIL boot [linux $version]: it did not come to an end"
	[ "$code" = 0 ] || failed=1
done
exit "$failed"
