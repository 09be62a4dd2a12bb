#!/usr/bin/env bash
# Every test that a fresh machine with only Rust can run: the three backends, the examples, the command, the proofs in their
# short form. The long forms are in ci/long.sh, ci/loom.sh and ci/miri.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== heap: one process, simulated participants"
cargo test --quiet -p procshare --features heap --target-dir target/heap
echo "== portable: lock files and the shared_memory crate"
cargo test --quiet -p procshare --features portable --target-dir target/portable
if rustc --print target-libdir --target x86_64-pc-windows-gnu 2>/dev/null | xargs -r test -d; then
    echo "== portable: the Windows build"
    cargo check --quiet -p procshare --target x86_64-pc-windows-gnu --target-dir target/windows
else
    echo "skipped: the Windows build, because its target is not installed (rustup target add x86_64-pc-windows-gnu)"
fi
# With every feature, of which the two backends cancel each other out.
echo "== linux"
cargo test --workspace --all-features
