#!/bin/bash
# Boots a kernel in a virtual machine, runs a script in it as root, prints what it says, and ends with its exit code.
#
#   boot.sh [-f FILE:DESTINATION]... [-m MIB] [-t SECONDS] [-d DISK] KERNEL SCRIPT
#
# KERNEL is a folder of kernels.sh. The machine has busybox, the FILEs, and no disk: its tree is in memory. With -d it starts
# the system on DISK (an ext4 image) instead, and SCRIPT is not used. Software emulation on one processor: nothing of the host
# but CPU time is needed, and a boot takes seconds. Exit code 111: it did not come to an end.
set -eu
export PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
files=() memory=1024 seconds=180 disk=
while getopts f:m:t:d: option; do
	case $option in
	f) files+=("$OPTARG") ;;
	m) memory=$OPTARG ;;
	t) seconds=$OPTARG ;;
	d) disk=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
kernel=$1 script=${2:-}
image=$(printf '%s\n' "$kernel"/boot/vmlinuz-* | head -n 1)
version=${image##*/vmlinuz-}
# What the checks need of the kernel that is not built in.
modules="virtio_pci virtio_blk ext4 overlay fuse tun veth bridge dummy nf_tables virtio_rng"

work=$(mktemp -d "${TMPDIR:-/tmp}/estiba-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,dev,etc,home,mnt,modules,proc,root,run,sys,tmp,usr/bin,usr/sbin,usr/lib,var/tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"

# Modules with what they need, each once, in an order that they can be loaded in.
found=$(find "$kernel" -type d -path "*/modules/$version" | head -n 1)
[ -f "$found/modules.dep" ] || depmod -b "${found%/lib/modules/*}$([ "${found%%/usr/lib/modules/*}" = "$found" ] || echo /usr)" "$version"
load() {
	local line needed name
	line=$(grep -E "(^|/)$1\.ko(\.[a-z]+)?:" "$found/modules.dep") || return 0
	for needed in $(printf '%s\n' ${line#*:} | tac) "${line%%:*}"; do
		name=$(basename "$needed")
		name=${name%.xz} name=${name%.zst}
		[ ! -e "$root/modules/$name" ] || continue
		case $needed in
		*.xz) xz -dc "$found/$needed" ;;
		*.zst) zstd -dqc "$found/$needed" ;;
		*) cat "$found/$needed" ;;
		esac >"$root/modules/$name"
		echo "$name" >>"$root/modules/order"
	done
}
: >"$root/modules/order"
for module in $modules; do load "$module"; done

cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
for pair in "${files[@]}"; do
	mkdir -p "$root/$(dirname "${pair#*:}")"
	cp -aL "${pair%%:*}" "$root/${pair#*:}"
done
[ -z "$script" ] || cp "$script" "$root/script"
install -m 0755 "$here/init" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initrd"

arguments="console=ttyS0 quiet loglevel=3 panic=-1 reboot=t tsc=reliable"
drive=()
if [ -n "$disk" ]; then
	arguments+=" estiba.disk=1"
	drive=(-drive "file=$disk,format=raw,if=virtio,cache=unsafe")
fi
timeout "$seconds" qemu-system-x86_64 -M q35,accel=tcg -cpu max,-cx16,-la57 -smp 1 -m "$memory" -nodefaults -no-user-config \
	-nographic -serial stdio -no-reboot "${drive[@]}" -kernel "$image" -initrd "$work/initrd" -append "$arguments" \
	</dev/null 2>&1 | tr -d '\r' | tee "$work/said" | grep -v '^vm-exit=' || true
code=$(sed -n 's/^vm-exit=\([0-9]*\)$/\1/p' "$work/said" | tail -n 1)
exit "${code:-111}"
