#!/bin/bash
# Hostile input, broken disks and killed builds, from outside: only the command line is used.
#
# usage: run.sh [--label WORD] [NAME...]
#
# The binary is $ESTIBA (else estiba in the PATH). $BUSYBOX_LAYOUT is a layout of busybox as
# testdata/base/busybox.sh makes it. Stores are made here and removed again.
#
# Each check below is a function attack_NAME. One that ends well is printed as "ok NAME [LABEL]"; one that
# fails as "FAIL NAME [LABEL]: why" with the end of its log; one that cannot be done here as "skip NAME …: why".
# Ends with the number of failures, at most 100.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
estiba=$(command -v "${ESTIBA:-estiba}") || { echo "FAIL attacks: no estiba" ; exit 1; }
label=
if [ "${1:-}" = --label ]; then
	label=" [$2]"
	shift 2
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/estiba-attacks.XXXXXX") || exit 100
cleanup() {
	! mountpoint -q "$work/small" || umount "$work/small"
	chmod -R u+rwx "$work" 2>/dev/null
	"$estiba" prune -af >/dev/null 2>&1 || true
	rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM
export ESTIBA_ROOT="$work/store"
failures=0 checks=0

# --- the words that checks are written in --------------------------------------------------------

. "$here/../words.sh"

# context NAME: a new folder to build from, which becomes the working directory.
context() {
	mkdir -p "$work/contexts/$1"
	cd "$work/contexts/$1" || bad "no context"
}

dockerfile() { cat >Dockerfile; }
build=("$estiba" build --progress=plain)
# tree: builds the context; $tree becomes the listing of its file tree.
tree() {
	works "${build[@]}" --output "type=tar,dest=$work/tree.tar" .
	tree=$(tar --numeric-owner -tvf "$work/tree.tar") || bad "its tree is no tar"
}

# image_of NAME TAR [CONFIG]: a layout with busybox's layer and TAR on top, loaded as NAME. For what no Dockerfile can make.
image_of() {
	local layout=$work/layouts/$1 config=${3:-} base manifest diff size hex
	mkdir -p "$work/layouts"
	cp -r "$BUSYBOX_LAYOUT" "$layout"
	manifest=$layout/blobs/sha256/$(sed 's/.*"manifests":\[{[^}]*"digest":"sha256:\([0-9a-f]*\)".*/\1/' "$layout/index.json")
	base=$(sed 's/.*"layers":\[{[^}]*"digest":"sha256:\([0-9a-f]*\)","size":\([0-9]*\).*/\1 \2/' "$manifest")
	hex=$(sha256sum <"$2" | cut -d' ' -f1)
	size=$(stat -c %s "$2")
	cp "$2" "$layout/blobs/sha256/$hex"
	diff=${base% *}
	printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"]%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
		"$config" "$diff" "$hex" >"$layout/new-config"
	local config_hex config_size
	config_hex=$(sha256sum <"$layout/new-config" | cut -d' ' -f1)
	config_size=$(stat -c %s "$layout/new-config")
	mv "$layout/new-config" "$layout/blobs/sha256/$config_hex"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
		"$config_hex" "$config_size" "$diff" "${base#* }" "$hex" "$size" >"$layout/new-manifest"
	hex=$(sha256sum <"$layout/new-manifest" | cut -d' ' -f1)
	size=$(stat -c %s "$layout/new-manifest")
	mv "$layout/new-manifest" "$layout/blobs/sha256/$hex"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"io.containerd.image.name":"docker.io/library/%s:latest","org.opencontainers.image.ref.name":"latest"}}]}' \
		"$hex" "$size" "$1" >"$layout/index.json"
}

. "$here/dockerfiles.sh"
. "$here/contexts.sh"
. "$here/archives.sh"
. "$here/images.sh"
. "$here/stores.sh"
. "$here/contained.sh"
. "$here/kills.sh"
. "$here/containers.sh"

# --- running them --------------------------------------------------------------------------------

run_check() {
	: >"$work/log"
	: >"$work/why"
	checks=$((checks + 1))
	("attack_$1")
	case $? in
	0) printf 'ok %s%s\n' "$1" "$label" ;;
	2) printf 'skip %s%s: %s\n' "$1" "$label" "$(cat "$work/why")" ;;
	*)
		failures=$((failures + 1))
		printf 'FAIL %s%s: %s\n' "$1" "$label" "$(cat "$work/why")"
		tail -n 30 "$work/log" | sed 's/^/    /'
		;;
	esac
	cd "$work" || exit 100
}

"$estiba" load -i "${BUSYBOX_LAYOUT:?}" >"$work/log" 2>&1 || {
	printf 'FAIL attacks%s: busybox cannot be loaded\n' "$label"
	sed 's/^/    /' "$work/log"
	exit 1
}
if [ $# = 0 ]; then
	mapfile -t all < <(declare -F | sed -n 's/^declare -f attack_//p')
	set -- "${all[@]}"
fi
for name; do run_check "$name"; done
exit $((failures > 100 ? 100 : failures))
