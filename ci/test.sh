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
echo "== linux: the futures, the codec, and the lock that C programs share"
cargo test --quiet -p procshare --features tokio,postcard,posix-lock --test tasks --test queue --test posix_lock
cargo test --quiet -p procshare --features tokio,postcard,posix-lock --lib -- robust
cargo test --quiet -p procshare --features tokio,postcard,posix-lock --doc -- posix_lock tasks
echo "== linux: the manager"
cargo build --quiet -p procshare --features manager --examples
cargo test --quiet -p procshare --features manager --lib --test manager --test examples
echo "== linux"
cargo test --workspace
