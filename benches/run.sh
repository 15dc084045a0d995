#!/bin/bash
# The whole-process benchmarks: ours and its peers by turns.   usage: benches/run.sh [--rounds N] [WORKLOAD...]
#
# As root they run on a journaled ext4 of their own, in a loop-mounted sparse file below $TMPDIR (/var/tmp):
# a root file system that has seen many deletes would slow every tool down by another factor each day.
# Anybody else measures in $TMPDIR itself. 16 GB of free space do for all workloads.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# No mktemp: buildah makes a reference out of the layout's path, and references have no capitals.
work=${TMPDIR:-/var/tmp}/estiba-bench.$$
mkdir -m 0755 "$work"
mounted=
cleanup() {
	[ -z "$mounted" ] || umount -R "$work/fs" || umount -l "$work/fs"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

testdata/release.sh
cargo build --quiet --release --locked -p estiba-benches
mkdir "$work/fs"
if [ "$(id -u)" = 0 ]; then
	# A disk whose blocks are there already, where there is room for them: the first write of a hole costs twice.
	fallocate -l 24G "$work/image" 2>/dev/null || truncate -s 24G "$work/image"
	PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
	mount -o loop,noatime "$work/image" "$work/fs"
	mounted=1
fi
"${CARGO_TARGET_DIR:-target}/release/estiba-benches" --dir "$work/fs/bed" "$@"
