//! What all storms have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::Space;
use procshare_harness::{Page, Rng, Seat, Storm, StormReport, watchdog};

/// How long a storm rages.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) kills: u64,
    at_most: Duration,
}

/// For every test run.
pub(crate) const SHORT: Size = Size { kills: 120, at_most: Duration::from_millis(1_500) };
/// For every test run, where there are several of a kind.
pub(crate) const BRIEF: Size = Size { kills: 60, at_most: Duration::from_millis(800) };
/// For the long run.
pub(crate) const LONG: Size = Size { kills: 4_000, at_most: Duration::from_secs(1_200) };

/// A private space, and memory for notes.
pub(crate) struct Scene {
    pub(crate) space: Space,
    pub(crate) page: Page,
    dir: PathBuf,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let dir = PathBuf::from(format!("/dev/shm/procshare-storm-{name}-{}-{number}", std::process::id()));
        let space = Space::at(&dir).participants(32).open_or_create().unwrap();
        Scene { space, page: Page::new(1 << 18), dir }
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        &self.page.u64s()[index]
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.word(index).load(SeqCst)
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, SeqCst);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A storm of that size, seeded anew in each run.
pub(crate) fn storm<'a>(name: &str, size: Size) -> Storm<'a> {
    Storm::new(name, Rng::seed_from_env()).kills(size.kills).at_most(size.at_most).stop_one_in(12)
}

/// Lets it rage under a watchdog. A long storm must have killed as often as it was asked to.
pub(crate) fn rage(storm: &Storm<'_>, size: Size) -> StormReport {
    let report = watchdog(size.at_most + Duration::from_secs(60), || storm.run().assert_clean());
    assert!(size.kills < LONG.kills || report.kills >= 2_000, "too few kills: {report}");
    report
}

/// Whether a count lies between what was noted and what may have been done by the killed without a note.
pub(crate) fn exact(what: &str, found: u64, noted: u64, unnoted: u64) {
    assert!((noted..=noted + unnoted).contains(&found), "{what}: {found}, noted {noted}, killed {unnoted}");
}

/// Whether a process can still run: not once it has begun to end, when the kernel may have told others of its death.
pub(crate) fn runs(pid: u32) -> bool {
    const EXITING: u64 = 4;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
    let mut fields = fields.split(' ');
    let state = fields.next();
    // What precedes the flags: parent, group, session, terminal, its group.
    let flags: Option<u64> = fields.nth(5).and_then(|flags| flags.parse().ok());
    !matches!(state, None | Some("Z" | "X")) && flags.is_some_and(|flags| flags & EXITING == 0)
}

/// Spins for up to so many steps: a random time in which to die.
pub(crate) fn dawdle(seat: &mut Seat<'_>, steps: u64) {
    for _ in 0..seat.rng().below(steps) {
        std::hint::spin_loop();
    }
}

/// Makes the short and the long test of a storm.
macro_rules! storm_tests {
    ($rages:ident) => {
        $crate::support::storm_tests!($rages, crate::support::SHORT);
    };
    ($rages:ident, $size:expr) => {
        $crate::support::storm_tests!($rages, a_short_storm, a_long_storm, $size);
    };
    ($rages:ident, $short:ident, $long:ident) => {
        $crate::support::storm_tests!($rages, $short, $long, crate::support::SHORT);
    };
    ($rages:ident, $short:ident, $long:ident, $size:expr) => {
        #[test]
        fn $short() {
            $rages($size);
        }

        #[test]
        #[ignore = "takes minutes"]
        fn $long() {
            $rages(crate::support::LONG);
        }
    };
}
pub(crate) use storm_tests;
