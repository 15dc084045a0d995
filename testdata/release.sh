#!/bin/sh
# The release binary: static, one file, in target/release/estiba.
set -eu
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
# With an explicit target, the flags stay away from build scripts and procedural macros, which cannot be static.
# Where the program lies is fixed: as a position-independent one it would write 38,000 addresses (0.7 MiB of pages of its own) at every start.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static -C relocation-model=static" cargo build --quiet --release --locked -p estiba --target "$target"
built=${CARGO_TARGET_DIR:-target}
mkdir -p target/release
# By rename, so that a binary that runs is replaced whole.
cp "$built/$target/release/estiba" target/release/.estiba.new
mv target/release/.estiba.new target/release/estiba
