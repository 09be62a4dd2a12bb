//! Segments that a hostile or broken program wrote.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use procshare::inspect::Inspector;
use procshare::{Space, Trust};
use procshare_harness::{Rng, child};

/// A space in a directory of its own, removed at the end.
pub(crate) struct Home {
    pub(crate) space: Space,
    pub(crate) path: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let path = PathBuf::from(format!("/dev/shm/procshare-queue-{}-{number}", std::process::id()));
        Home { space: Space::at(&path).open_or_create().unwrap(), path }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Bytes of a segment before its body.
const BODY: usize = 256;
/// Mutants of one child: a fork each would cost more than the mutants.
const BATCH: usize = 100;
/// Mutants of each kind in every test run.
const SHORT: usize = 200;
/// What the long run makes at random.
const LONG: usize = 20_000;

/// Looks at what is in `it` without taking it.
fn look_at(space: &Space) {
    let Ok(inspector) = Inspector::open(space.directory(), Trust::Owner) else { return };
    let _ = inspector.detail("it");
    for all in [true, false] {
        if let Ok(mut items) = inspector.items("it", all) {
            for _ in 0..3 {
                let _ = items.look(5);
            }
        }
    }
}

/// What one mutant is made by.
#[derive(Clone, Copy, Debug)]
enum Mutant {
    /// Some words are changed at random.
    Seeded(u64),
    /// One word is set to a number at which something ends, or its half is.
    Word { at: usize, which: usize },
}

/// Numbers at which something ends, for a word that is `old`.
fn boundaries(old: u64, own: u64) -> [u64; 22] {
    let low = |half: u64| old & !0xffff_ffff | half & 0xffff_ffff;
    let high = |half: u64| old & 0xffff_ffff | half << 32;
    [
        0,
        1,
        u64::MAX,
        u64::MAX - 1,
        i64::MAX as u64,
        1 << 63,
        1 << 33,
        1 << 32,
        old.wrapping_add(1),
        old.wrapping_sub(1),
        old.wrapping_add(16),
        old.wrapping_sub(16),
        low(0),
        low(u64::MAX),
        low(1 << 31),
        low(old.wrapping_add(1)),
        high(0),
        high(0xffff_ffff),
        high(1 << 31),
        high((old >> 32).wrapping_add(1)),
        // Whoever lives: as a lock word names it, and as an end does.
        own | 1 << 32,
        low(own),
    ]
}

const BOUNDARIES: usize = 22;

/// Changes some words of the body, most often those before `words`, to numbers that positions, lengths and stamps could be.
fn mutate(bytes: &mut [u8], words: usize, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let until = if rng.one_in(3) { bytes.len() } else { bytes.len().min(BODY + words) };
        let at = (BODY + rng.below((until - BODY) as u64) as usize) & !7;
        let old = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let word = match rng.below(8) {
            0 => old ^ 1 << rng.below(64),
            1 => rng.next_u64(),
            2 => boundaries(old, 1)[rng.below(BOUNDARIES as u64) as usize],
            3 => old.wrapping_add([8, 16, 0u64.wrapping_sub(16), 1 << 32, 1 << 33][rng.below(5) as usize]),
            4 => rng.below(40) * 16,
            5 => old & !(7 << 30) | rng.below(8) << 30,
            6 => rng.below(1 << 12) << 32 | rng.below(1 << 12),
            _ => rng.below(70),
        };
        bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }
}

/// A kind of object whose bodies are written by somebody hostile.
pub(crate) struct Hostile<'a> {
    /// So many bytes of the body are state rather than items.
    pub(crate) words: usize,
    /// Makes the object `it`, and leaves something in it.
    pub(crate) make: &'a dyn Fn(&Space),
    /// Does everything that can be done to `it`, and waits for nothing without a limit.
    pub(crate) use_it: &'a dyn Fn(&Space),
}

impl Hostile<'_> {
    /// Gives it mutants: some at random and a sample of the words and boundaries.
    pub(crate) fn survives(&self) {
        let first = std::env::var("PROCSHARE_SEED").map_or(1, |_| Rng::seed_from_env());
        let seeded = (0..SHORT as u64).map(|number| Mutant::Seeded(first.wrapping_add(number)));
        let all = self.every_word();
        let some = Rng::new(first).sample(all.len(), SHORT).into_iter().map(|index| all[index]);
        self.try_all(&seeded.chain(some).collect::<Vec<_>>());
    }

    /// Gives it every word set to every boundary, and many mutants at random.
    pub(crate) fn survives_long(&self) {
        let first = Rng::seed_from_env();
        println!("PROCSHARE_SEED={first}");
        let mut mutants = self.every_word();
        mutants.extend((0..LONG as u64).map(|number| Mutant::Seeded(first.wrapping_add(number))));
        self.try_all(&mutants);
    }

    fn every_word(&self) -> Vec<Mutant> {
        let words = (0..self.words).step_by(8);
        words.flat_map(|at| (0..BOUNDARIES).map(move |which| Mutant::Word { at, which })).collect()
    }

    /// Every child must come back by itself.
    fn try_all(&self, mutants: &[Mutant]) {
        let home = Home::new();
        (self.make)(&home.space);
        let path = home.path.join("it");
        let whole = fs::read(&path).unwrap();
        let own = u64::from(home.space.join().unwrap().to_bits());
        let replay = |mutant: Mutant| {
            let mut bytes = whole.clone();
            match mutant {
                Mutant::Seeded(seed) => mutate(&mut bytes, self.words, &mut Rng::new(seed)),
                // Another backend keeps the body elsewhere.
                Mutant::Word { at, .. } if BODY + at + 8 > bytes.len() => {}
                Mutant::Word { at, which } => {
                    let word = &mut bytes[BODY + at..BODY + at + 8];
                    let old = u64::from_ne_bytes(word.as_ref().try_into().unwrap());
                    word.copy_from_slice(&boundaries(old, own)[which].to_ne_bytes());
                }
            }
            // A new file: the old one may still be mapped.
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            look_at(&home.space);
            (self.use_it)(&home.space);
        };
        for batch in mutants.chunks(BATCH) {
            if child(Duration::from_secs(60), || batch.iter().copied().for_each(&replay)).is_clean() {
                continue;
            }
            for &mutant in batch {
                let exit = child(Duration::from_secs(10), || replay(mutant));
                assert!(
                    exit.is_clean(),
                    "{mutant:?} (PROCSHARE_SEED is that of a seeded one): the user {exit}"
                );
            }
            panic!("the batch from {:?} failed as a whole only", batch[0]);
        }
    }
}
