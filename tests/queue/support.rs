//! Segments that a hostile or broken program wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use procshare::Space;
use procshare_harness::{Rng, child};

/// A space in a directory of its own, removed at the end.
pub(crate) struct Home {
    pub(crate) space: Space,
    path: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let path = PathBuf::from(format!("/dev/shm/procshare-queue-{}-{number}", std::process::id()));
        Home { space: Space::at(&path).open_or_create().unwrap(), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Bytes of a segment before its body.
const BODY: usize = 256;
const MUTANTS: u64 = 300;
/// Mutants of one child: a fork each would cost more than the mutants.
const BATCH: u64 = 100;

/// Changes some words of the body, most often those before `words`, to numbers that positions, lengths and stamps could be.
fn mutate(bytes: &mut [u8], words: usize, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let until = if rng.one_in(3) { bytes.len() } else { bytes.len().min(BODY + words) };
        let at = (BODY + rng.below((until - BODY) as u64) as usize) & !7;
        let old = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let word = match rng.below(8) {
            0 => old ^ 1 << rng.below(64),
            1 => rng.next_u64(),
            2 => [0, 1, u64::MAX, i64::MAX as u64, 1 << 63, 1 << 31, u32::MAX as u64][rng.below(7) as usize],
            3 => old.wrapping_add([8, 16, 0u64.wrapping_sub(16), 1 << 32, 1 << 33][rng.below(5) as usize]),
            4 => rng.below(40) * 16,
            5 => old & !(7 << 30) | rng.below(8) << 30,
            6 => rng.below(1 << 12) << 32 | rng.below(1 << 12),
            _ => rng.below(70),
        };
        bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }
}

/// Gives mutants of the object `it` to `use_it`: every child must come back by itself. `words` bytes of the body are state rather
/// than items.
pub(crate) fn survives(words: usize, make: impl Fn(&Space), use_it: impl Fn(&Space)) {
    let home = Home::new();
    make(&home.space);
    let path = home.path.join("it");
    let whole = fs::read(&path).unwrap();
    let first = std::env::var("PROCSHARE_SEED").map_or(1, |_| Rng::seed_from_env());
    let replay = |seed: u64| {
        let mut bytes = whole.clone();
        mutate(&mut bytes, words, &mut Rng::new(seed));
        // A new file: the old one may still be mapped.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        use_it(&home.space);
    };
    for batch in 0..MUTANTS / BATCH {
        let seeds = (batch * BATCH..(batch + 1) * BATCH).map(|number| first.wrapping_add(number));
        if child(Duration::from_secs(30), || seeds.clone().for_each(&replay)).is_clean() {
            continue;
        }
        for seed in seeds {
            let exit = child(Duration::from_secs(5), || replay(seed));
            assert!(exit.is_clean(), "PROCSHARE_SEED={seed}: the user {exit}");
        }
        panic!("batch {batch} from PROCSHARE_SEED={first} failed as a whole only");
    }
}
