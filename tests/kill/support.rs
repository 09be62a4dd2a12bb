//! Worlds for kills, and the tests made of a scenario.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{Lifetime, Lock, Space};
use procshare_harness::{Child, Grain, Limits, Page, Region, Scenario, watchdog};

/// Slots of a world's space: the test process, victims and survivors, with nothing to spare, so that a lost slot shows.
pub(crate) const SLOTS: u32 = 4;

/// Bytes before an object's body.
const HEADER: u64 = 256;

/// A fresh space with one object, made by the test process before each death.
///
/// One directory serves all worlds of a scenario, one after the other.
pub(crate) struct World<O> {
    pub(crate) dir: PathBuf,
    pub(crate) space: Space,
    pub(crate) object: O,
    /// What victims noted: see [`note`](World::note).
    pub(crate) page: Page,
    /// A living process that takes part, if there is one.
    helper: Option<Child>,
}

impl<O> World<O> {
    /// A world in a directory named after the scenario.
    pub(crate) fn new(scenario: &str, make: impl FnOnce(&Space) -> O) -> Self {
        let dir = directory(scenario);
        let _ = std::fs::remove_dir_all(&dir);
        let space = Space::at(&dir).participants(SLOTS).open_or_create().unwrap();
        let object = make(&space);
        World { dir, space, object, page: Page::new(4096), helper: None }
    }

    /// Adds a living process that does `work` and then stays until the world ends.
    pub(crate) fn with_helper(mut self, work: impl FnOnce(&Self)) -> Self {
        let helper = Child::fork(|| {
            work(&self);
            park()
        });
        self.helper = Some(helper);
        self
    }

    /// Stops the helper, so that what a victim left is seen before the helper cleans it up.
    pub(crate) fn freeze_helper(&self) {
        if let Some(helper) = &self.helper {
            stop(helper.pid());
        }
    }

    /// Lets the helper go on, if it was stopped.
    pub(crate) fn thaw_helper(&self) {
        if let Some(helper) = &self.helper {
            helper.signal(libc::SIGCONT);
        }
    }

    /// All that survivors can read: the notes and the files.
    pub(crate) fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = Region::files_in(&self.dir).unwrap();
        regions.push((&self.page).into());
        regions
    }

    /// The body of the object `it`, from `at` on, as a foreign program reads it.
    pub(crate) fn body(&self, at: u64, len: usize) -> Vec<u8> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; len];
        let file = std::fs::File::open(self.dir.join("it")).unwrap();
        file.read_exact_at(&mut bytes, HEADER + at).unwrap();
        bytes
    }

    /// Puts the test process, which lives and never looks, on watch: the word at `at` in the body says who looks for the dead
    /// often. The others then sleep long enough to be seen asleep, however slowly they are stepped.
    pub(crate) fn occupy_watch(&self, at: u64) {
        use std::os::unix::fs::FileExt as _;
        let me = self.space.join().unwrap().to_bits();
        let file = std::fs::File::options().write(true).open(self.dir.join("it")).unwrap();
        file.write_all_at(&me.to_ne_bytes(), HEADER + at).unwrap();
    }

    /// A word for notes.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        &self.page.u64s()[index]
    }

    /// Notes that something was done.
    pub(crate) fn note(&self, index: usize) {
        self.word(index).store(1, SeqCst);
    }

    /// Whether something was done.
    pub(crate) fn noted(&self, index: usize) -> bool {
        self.word(index).load(SeqCst) != 0
    }

    /// Whether no slot is lost: as many processes as there are slots can still be participants at once.
    pub(crate) fn assert_slots(&self) {
        self.space.join().unwrap();
        // The test process has one slot, this survivor another, and a helper one.
        let taken = 2 + u32::from(self.helper.is_some());
        let crowd: Vec<Child> = (taken..SLOTS).map(|_| self.guest()).collect();
        for guest in crowd {
            let _ = guest.kill();
        }
    }

    /// A live process that has joined; it lives until it is dropped.
    fn guest(&self) -> Child {
        let ready = Page::new(4096);
        let guest = Child::fork(|| {
            self.space.join().unwrap();
            ready.u64s()[0].store(1, SeqCst);
            park()
        });
        await_word(&ready.u64s()[0], 1);
        guest
    }

    /// A guest that lives as long as the calling process.
    pub(crate) fn guest_for_ever(&self) {
        std::mem::forget(self.guest());
    }

    /// Whether the directory holds nothing but the registry and `names`, once garbage was collected.
    pub(crate) fn assert_only(&self, names: &[&str]) {
        self.space.collect().unwrap();
        let mut found: Vec<String> = files(&self.dir);
        found.retain(|file| file != ".registry" && !names.contains(&file.as_str()));
        assert!(found.is_empty(), "left behind: {found:?}");
    }
}

impl<O> Drop for World<O> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where a scenario's files are.
pub(crate) fn directory(scenario: &str) -> PathBuf {
    let scenario: String =
        scenario.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    PathBuf::from(format!("/dev/shm/procshare-kill-{}-{scenario}", std::process::id()))
}

/// The names in a directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A world with an object that everybody inherited and nobody else needs.
pub(crate) fn lock_in(space: &Space) -> Lock {
    Lock::builder().space(space).lifetime(Lifetime::Named).create("it").unwrap()
}

/// Waits until a word of a page has a value; the deadline of the test bounds it.
pub(crate) fn await_word(word: &AtomicU64, value: u64) {
    while word.load(SeqCst) != value {
        std::thread::yield_now();
    }
}

/// Waits to be killed.
pub(crate) fn park() {
    loop {
        std::thread::park();
    }
}

/// Stops a process and waits until it has stopped.
pub(crate) fn stop(pid: i32) {
    // SAFETY: the process is a child of the test process.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    let stat = format!("/proc/{pid}/stat");
    let is_stopped = || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    };
    while !is_stopped() {
        std::thread::yield_now();
    }
}

/// Runs `work` in a process that is killed right behind it, before anything it holds is given back.
pub(crate) fn die_after(work: impl FnOnce()) {
    let exit = Child::fork(|| {
        work();
        // SAFETY: ends the calling process at once.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        park()
    })
    .wait(Duration::from_secs(10));
    assert!(matches!(exit, procshare_harness::Exit::Signalled(libc::SIGKILL)), "{exit}");
}

/// How the victims of a scenario die together, besides the first of them alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Together {
    /// There is only one.
    Alone,
    /// As `Alone`, and it is followed further.
    Far,
    /// The first is frozen, the second is killed.
    Pair,
    /// One after the other.
    Chain,
}

const QUICK: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(3 * 3600);

/// Kills at every event, and samples pairs or chains.
pub(crate) fn at_every_event<C>(scenario: &Scenario<'_, C>, together: Together) {
    watchdog(QUICK, || {
        // Some operations wait for ever: those are followed for a while only.
        let limits = far(Limits::new().max_steps(130_000), together);
        scenario.event(&limits).assert_clean();
        let few = limits.max_points(4).asleep_after(Duration::from_millis(3));
        match together {
            Together::Alone | Together::Far => {}
            Together::Pair => drop(scenario.pair(&few).assert_clean()),
            Together::Chain => drop(scenario.chain(&few).assert_clean()),
        }
    });
}

/// Kills after every instruction, and at thousands of pairs or chains of events and instructions.
pub(crate) fn at_every_instruction<C>(scenario: &Scenario<'_, C>, together: Together) {
    let (points, seed) = (setting("PROCSHARE_KILL_POINTS", 4_000), setting("PROCSHARE_SEED", 1));
    watchdog(LONG, || {
        let limits = far(Limits::new().seed(seed as u64).max_points(points), together);
        scenario.full(&limits).assert_clean();
        for grain in [Grain::Event, Grain::Instruction] {
            let limits = Limits::new().seed(seed as u64).grain(grain).max_points(points * 5 / 8);
            match together {
                Together::Alone | Together::Far => {}
                Together::Pair => drop(scenario.pair(&limits).assert_clean()),
                Together::Chain => drop(scenario.chain(&limits).assert_clean()),
            }
        }
    });
}

/// Follows an operation that ends, but only after many steps and some sleep.
fn far(limits: Limits, together: Together) -> Limits {
    if together == Together::Far {
        return limits.max_steps(2_000_000).asleep_after(Duration::from_secs(5));
    }
    limits
}

/// A number from the environment, if it is there.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Makes the tests of scenarios: `name: how the victims die together`.
macro_rules! kill_tests {
    ($($(#[$doc:meta])* $name:ident: $together:ident;)*) => {
        /// Every event.
        mod at_every_event {
            $(#[test]
            fn $name() {
                crate::support::at_every_event(&super::$name(), crate::support::Together::$together);
            })*
        }

        /// Every instruction.
        mod at_every_instruction {
            $(#[test]
            #[ignore = "takes minutes"]
            fn $name() {
                crate::support::at_every_instruction(&super::$name(), crate::support::Together::$together);
            })*
        }
    };
}
