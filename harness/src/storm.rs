//! Random deaths in the middle of real contention.

use crate::Seat;
use crate::child::Verdict;
use crate::conductor::Conductor;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A kill storm: real processes contend, a conductor kills random ones at random moments and starts successors.
///
/// Each role's closure runs in forked processes (or a test function in new programs) and plays rounds until
/// [`Seat::again`] says that the storm is over. A seat whose rounds stand still for [`hang_after`](Storm::hang_after) is
/// a violation. After the last death everybody must come through one more round, then all are asked to end, and the
/// check runs alone. Moments are random, choices follow from the seed.
///
/// ```
/// use procshare_harness::{Page, Storm};
/// use std::sync::atomic::Ordering::SeqCst;
///
/// let page = Page::new(4096);
/// let report = Storm::new("counter", 7)
///     .role("adder", 2, |seat| {
///         while seat.again() {
///             page.u64s()[0].fetch_add(1, SeqCst);
///         }
///     })
///     .kills(20)
///     .check(|| {
///         let sum = page.u64s()[0].load(SeqCst);
///         if sum > 0 { Ok(()) } else { Err("nobody added") }
///     })
///     .run()
///     .assert_clean();
/// assert_eq!(report.kills, 20);
/// ```
pub struct Storm<'a> {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) roles: Vec<Role<'a>>,
    pub(crate) kills: u64,
    pub(crate) at_most: Duration,
    pub(crate) pause: Range<Duration>,
    pub(crate) stop_one_in: u64,
    pub(crate) hang_after: Duration,
    pub(crate) check: Option<Box<dyn Fn() -> Option<String> + 'a>>,
}

type Contend<'a> = dyn Fn(&mut Seat<'_>) -> Option<String> + 'a;

/// One kind of contender.
pub(crate) struct Role<'a> {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) spared: bool,
    pub(crate) way: Way<'a>,
}

/// How a contender's process is started.
pub(crate) enum Way<'a> {
    Fork(Box<Contend<'a>>),
    #[cfg(target_os = "linux")]
    Exec(crate::Reexec),
}

/// What a storm did and found.
#[derive(Debug, Clone)]
pub struct StormReport {
    /// The storm's name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Processes killed during contention.
    pub kills: u64,
    /// Times a process was stopped for a while.
    pub stops: u64,
    /// Rounds begun by all seats.
    pub rounds: u64,
    /// What was wrong; the storm ends at the first.
    pub violations: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Debug for Storm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storm").field("name", &self.name).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl<'a> Storm<'a> {
    /// Names a storm and seeds it; [`Rng::seed_from_env`](crate::Rng::seed_from_env) makes a fresh seed each run.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        Storm {
            name: name.into(),
            seed,
            roles: Vec::new(),
            kills: 200,
            at_most: Duration::from_secs(60),
            pause: Duration::ZERO..Duration::from_millis(2),
            stop_one_in: 0,
            hang_after: Duration::from_secs(10),
            check: None,
        }
    }

    /// Adds `count` forked contenders. An error, a panic or an early return is a violation.
    ///
    /// A round should not wait without a limit for something that only other contenders can give: at the end they leave
    /// one by one.
    pub fn role<V: Verdict>(
        mut self,
        name: impl Into<String>,
        count: usize,
        contend: impl Fn(&mut Seat<'_>) -> V + 'a,
    ) -> Self {
        let contend = move |seat: &mut Seat<'_>| contend(seat).complaint();
        self.roles.push(Role { name: name.into(), count, spared: false, way: Way::Fork(Box::new(contend)) });
        self
    }

    /// Adds `count` contenders that are new programs, running a test function that takes [`Seat::inherited`].
    #[cfg(target_os = "linux")]
    pub fn program(mut self, name: impl Into<String>, count: usize, entry: crate::Reexec) -> Self {
        self.roles.push(Role { name: name.into(), count, spared: false, way: Way::Exec(entry) });
        self
    }

    /// Spares the role added last: its processes are neither killed nor stopped.
    pub fn spared(mut self) -> Self {
        if let Some(role) = self.roles.last_mut() {
            role.spared = true;
        }
        self
    }

    /// Ends after so many kills (default 200).
    pub fn kills(mut self, kills: u64) -> Self {
        self.kills = kills;
        self
    }

    /// Ends after this time, even if fewer were killed (default 60 s).
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// Bounds the random time between two blows (default 0 to 2 ms).
    pub fn pause(mut self, pause: Range<Duration>) -> Self {
        self.pause = pause;
        self
    }

    /// Makes one blow in `n` a SIGSTOP instead; the stopped process goes on, or dies, some blows later. 0: never.
    pub fn stop_one_in(mut self, n: u64) -> Self {
        self.stop_one_in = n;
        self
    }

    /// Calls a seat hung whose rounds stand still for this long (default 10 s); also the limit of the check.
    pub fn hang_after(mut self, time: Duration) -> Self {
        self.hang_after = time;
        self
    }

    /// Says what must hold in the end; it runs in a forked child once all contenders are gone.
    pub fn check<V: Verdict>(mut self, check: impl Fn() -> V + 'a) -> Self {
        self.check = Some(Box::new(move || check().complaint()));
        self
    }

    /// Lets it rage.
    ///
    /// # Panics
    ///
    /// If there is nobody to kill, or processes cannot be started.
    #[must_use = "a report must be asserted"]
    pub fn run(&self) -> StormReport {
        let mut report = StormReport {
            name: self.name.clone(),
            seed: self.seed,
            kills: 0,
            stops: 0,
            rounds: 0,
            violations: Vec::new(),
            elapsed: Duration::ZERO,
        };
        let start = Instant::now();
        if let Err(what) = Conductor::new(self).conduct(&mut report) {
            report.violations.push(what);
        }
        report.elapsed = start.elapsed();
        report
    }
}

impl StormReport {
    /// Accepts a storm without violations; prints its figures and returns it.
    ///
    /// # Panics
    ///
    /// On violations; the message names the seed.
    #[track_caller]
    pub fn assert_clean(self) -> Self {
        println!("{self}");
        assert!(self.violations.is_empty(), "{self}\n  {}", self.violations.join("\n  "));
        self
    }

    /// Accepts a storm that found something: the test of a planted bug.
    ///
    /// # Panics
    ///
    /// If everything looked right.
    #[track_caller]
    pub fn assert_caught(self) -> Self {
        println!("{self}");
        assert!(!self.violations.is_empty(), "the planted bug went unseen: {self}");
        self
    }
}

impl fmt::Display for StormReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StormReport { name, seed, kills, stops, rounds, violations, elapsed } = self;
        write!(
            f,
            "{name}: {kills} kills, {stops} stops, {rounds} rounds, {} violations, seed {seed} (PROCSHARE_SEED), {elapsed:.2?}",
            violations.len()
        )
    }
}
