//! What is put to the test.

use super::limits::{Grain, Limits};
use super::plan::{self, Plan};
use super::point::Fate;
use super::report::Report;
use super::stage::Stage;
use super::watch::Region;
use crate::child::Verdict;

/// Runs in the victim: prepares, then hands the operation to the stage.
pub(super) type Prepare<'a, C> = dyn Fn(&C, Stage) + 'a;
type Observe<'a, C> = dyn for<'c> Fn(&'c C) -> Vec<Region<'c>> + 'a;
type Judge<'a, C> = dyn Fn(&C, &[Fate]) -> Option<String> + 'a;
type Act<'a, C> = dyn Fn(&C) + 'a;

/// One victim's role.
pub(super) struct Role<'a, C> {
    pub(super) name: String,
    pub(super) prepare: Box<Prepare<'a, C>>,
    pub(super) rouse: Option<Box<Act<'a, C>>>,
}

/// A world, the victims that die in it, and the check that survivors make.
///
/// `C` is whatever a fresh world needs: a page of shared memory, a name, a temporary directory. It is built anew by
/// `setup` in the test process for every single death and dropped after the check. Victims and checkers are forked
/// children of the test process, so they see its values, but only shared memory, files and the kernel carry anything
/// between them.
///
/// ```
/// use procshare_harness::{Limits, Page, Scenario};
/// use std::sync::atomic::Ordering::{Relaxed, Release};
///
/// // Two words that must always be equal, changed by two stores: a survivor can see one without the other.
/// let report = Scenario::new("two stores", || Page::new(4096))
///     .victim("set", |page| {
///         page.u64s()[0].store(1, Release);
///         page.u64s()[1].store(1, Release);
///     })
///     .watch(|page| vec![page.into()])
///     .check(|page, _fates| {
///         let [a, b] = [0, 1].map(|i| page.u64s()[i].load(Relaxed));
///         if a == b { Ok(()) } else { Err(format!("torn: {a} and {b}")) }
///     })
///     .event(&Limits::new());
/// report.assert_caught();
/// ```
pub struct Scenario<'a, C> {
    pub(super) name: String,
    pub(super) setup: Box<dyn Fn() -> C + 'a>,
    pub(super) roles: Vec<Role<'a, C>>,
    pub(super) observe: Box<Observe<'a, C>>,
    pub(super) meanwhile: Option<Box<Judge<'a, C>>>,
    pub(super) check: Option<Box<Judge<'a, C>>>,
}

impl<C> std::fmt::Debug for Scenario<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let victims: Vec<_> = self.roles.iter().map(|r| &r.name).collect();
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("victims", &victims)
            .finish_non_exhaustive()
    }
}

impl<'a, C> Scenario<'a, C> {
    /// Names a scenario and says how a fresh world is made.
    pub fn new(name: impl Into<String>, setup: impl Fn() -> C + 'a) -> Self {
        Scenario {
            name: name.into(),
            setup: Box::new(setup),
            roles: Vec::new(),
            observe: Box::new(|_| Vec::new()),
            meanwhile: None,
            check: None,
        }
    }

    /// Adds a victim that runs `operation` in a child forked from the world as it is then.
    ///
    /// A panic of the operation is a violation.
    pub fn victim(self, name: impl Into<String>, operation: impl Fn(&C) + 'a) -> Self {
        self.prepared(name, move |world, stage| stage.run(|| operation(world)))
    }

    /// Adds a victim that first prepares, unobserved: opens handles, joins, takes locks; and then runs its operation on
    /// the stage.
    ///
    /// What the preparation owns is never dropped in the child, so only what the operation itself does is stepped.
    ///
    /// ```
    /// # use procshare_harness::{Limits, Page, Scenario};
    /// # use std::sync::atomic::Ordering::Relaxed;
    /// let report = Scenario::new("prepared", || Page::new(4096))
    ///     .prepared("store", |page, stage| {
    ///         let mine = u64::from(std::process::id()); // not stepped
    ///         stage.run(|| page.u64s()[0].store(mine, Relaxed)) // stepped
    ///     })
    ///     .check(|_, _| {})
    ///     .full(&Limits::new());
    /// report.assert_clean();
    /// ```
    pub fn prepared(mut self, name: impl Into<String>, prepare: impl Fn(&C, Stage) + 'a) -> Self {
        self.roles.push(Role { name: name.into(), prepare: Box::new(prepare), rouse: None });
        self
    }

    /// Says what to do, in a process of its own, when the victim added last first falls asleep in the kernel: wake it.
    ///
    /// The victim is then followed on its way through the wake-up. Without this, and when it falls asleep again, a
    /// sleeping victim is killed in its sleep.
    ///
    /// # Panics
    ///
    /// If no victim was added before.
    pub fn when_asleep(mut self, rouse: impl Fn(&C) + 'a) -> Self {
        self.roles.last_mut().expect("when_asleep belongs to a victim: add one first").rouse =
            Some(Box::new(rouse));
        self
    }

    /// Names the shared memory whose changes are events.
    ///
    /// Called in the test process after `setup`. Without it only system calls are events.
    pub fn watch(mut self, observe: impl for<'c> Fn(&'c C) -> Vec<Region<'c>> + 'a) -> Self {
        self.observe = Box::new(observe);
        self
    }

    /// Adds a check for pairs that survivors make after the deaths, while the first victim is still frozen.
    ///
    /// The frozen one is alive: who waits for it waits for ever, so use tries and timeouts here.
    pub fn meanwhile<V: Verdict>(mut self, check: impl Fn(&C, &[Fate]) -> V + 'a) -> Self {
        self.meanwhile = Some(Box::new(move |world, fates| check(world, fates).complaint()));
        self
    }

    /// Says what survivors do and what must hold, once the dead are reaped: `Err` or a panic is a violation, and so is
    /// missing the deadline.
    ///
    /// It runs in a forked child, under the deadline of the limits. It gets one fate for each victim that ran, in order:
    /// for chains, also fewer than there are victims.
    pub fn check<V: Verdict>(mut self, check: impl Fn(&C, &[Fate]) -> V + 'a) -> Self {
        self.check = Some(Box::new(move |world, fates| check(world, fates).complaint()));
        self
    }

    /// Kills the first victim after every instruction.
    ///
    /// # Panics
    ///
    /// In all modes: if victims or the check are missing, or `setup` panics.
    #[must_use = "a report must be asserted"]
    pub fn full(&self, limits: &Limits) -> Report {
        plan::run(self, limits, &Plan { mode: "full", grain: Grain::Instruction, depth: 1, freeze: false })
    }

    /// Kills the first victim at every event: after each change of watched memory, before and after each system call.
    ///
    /// # Panics
    ///
    /// As [`full`](Self::full).
    #[must_use = "a report must be asserted"]
    pub fn event(&self, limits: &Limits) -> Report {
        plan::run(self, limits, &Plan { mode: "event", grain: Grain::Event, depth: 1, freeze: false })
    }

    /// Runs [`full`](Self::full) if the environment says `PROCSHARE_KILL=full`, else [`event`](Self::event).
    ///
    /// # Panics
    ///
    /// As [`full`](Self::full).
    #[must_use = "a report must be asserted"]
    pub fn run(&self, limits: &Limits) -> Report {
        if std::env::var_os("PROCSHARE_KILL").is_some_and(|v| v == "full") {
            self.full(limits)
        } else {
            self.event(limits)
        }
    }

    /// Freezes the first victim at m, kills the second at n, runs `meanwhile`, lets the first go on to its end, checks.
    ///
    /// For each m the second victim's points are recorded anew, since it meets the first one's traces. The first is
    /// killed after its end, before the check. A resumed victim that misses the deadline is a violation.
    ///
    /// # Panics
    ///
    /// As [`full`](Self::full); two victims are needed.
    #[must_use = "a report must be asserted"]
    pub fn pair(&self, limits: &Limits) -> Report {
        plan::run(self, limits, &Plan { mode: "pair", grain: limits.grain, depth: 2, freeze: true })
    }

    /// Kills the first victim at m, then the second, which meets what the first left, at n, and so on; then checks.
    ///
    /// Give victims that recover what their predecessor left, to see repairers die while they repair.
    ///
    /// # Panics
    ///
    /// As [`full`](Self::full); at least two victims are needed.
    #[must_use = "a report must be asserted"]
    pub fn chain(&self, limits: &Limits) -> Report {
        let depth = self.roles.len().max(2);
        plan::run(self, limits, &Plan { mode: "chain", grain: limits.grain, depth, freeze: false })
    }
}
