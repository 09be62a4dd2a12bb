//! `Latch`: a count that goes down to zero once, and who waits for that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::event_count::EventCount;
use super::wait::Patience;
use crate::atomic::{AtomicU32, Ordering::*};
use crate::error::{Error, Result};
use crate::participant::{
    Attached, Body, Expect, Fact, Host, Object, Plan, PlanFault, RawFacts, constructors,
};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, Word};
use crate::time::Deadline;

/// A count that threads, forked children and unrelated processes bring down to zero, once, while others wait for that.
///
/// Anybody may count down, by any number, and anybody may wait; a latch that has reached zero stays open. Use a
/// [`Barrier`](crate::Barrier) where the same parties meet again and again, or where the death of one must be noticed.
///
/// # When somebody dies
///
/// The count is exact: a call that counted down was killed before its one step, or after it. Nobody counts down for the dead: who
/// was to do so and dies leaves the latch closed, so wait with a timeout where that can happen. Waiters may die at any time.
///
/// # Examples
///
/// ```
/// use procshare::Latch;
///
/// let name = format!("doc-latch-{}", std::process::id());
/// let ready = Latch::create(&name, 2)?;
/// let same = Latch::open(&name)?; // in any process of the user
/// let worker = std::thread::spawn(move || same.arrive_and_wait());
/// assert!(!ready.try_wait());
/// ready.count_down(1)?;
/// ready.wait()?;
/// worker.join().unwrap()?;
/// Latch::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Latch {
    word: Shared<LatchWord>,
    attached: Attached,
}

/// The words of a latch: a count that only falls, and who sleeps until it is 0. All-zero is open.
///
/// Orderings. Promise: what was done before any `count_down` is seen after `wait`. Each `count_down` is a read-modify-write with
/// Release, so the last one passes on what the others published (a release sequence), and `wait` loads with Acquire. SeqCst
/// on both sides: pair ANNOUNCE of the event count.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct LatchWord {
    pub(super) count: AtomicU32,
    sleepers: EventCount,
    /// What it began with, for display. Written once, before the latch is published.
    initial: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for LatchWord {}

documented_layout!(LatchWord { count, sleepers, initial, reserved });

impl LatchWord {
    /// Takes `by` off the count; tells what is left, or, as an error, that there is less than that.
    pub(super) fn count_down(&self, host: &impl Host, by: u32) -> Result<u32, u32> {
        let mut now = self.count.load(Relaxed);
        loop {
            let left = now.checked_sub(by).ok_or(now)?;
            match self.count.compare_exchange_weak(now, left, SeqCst, Relaxed) {
                Ok(_) => {
                    if left == 0 {
                        self.sleepers.notify_all(host);
                    }
                    return Ok(left);
                }
                Err(found) => now = found,
            }
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.count.load(SeqCst) == 0
    }

    /// Waits until it is open; `false`: the deadline passed.
    pub(super) fn wait(&self, host: &impl Host, deadline: Deadline) -> bool {
        let mut patience = Patience::without_watch(host, deadline);
        loop {
            if self.is_open() {
                return true;
            }
            if deadline == Deadline::Now {
                return false;
            }
            if patience.spin() {
                continue;
            }
            let ticket = self.sleepers.prepare();
            if !self.is_open() && self.sleepers.wait(&mut patience, ticket) && patience.is_over() {
                return self.is_open();
            }
        }
    }
}

impl Latch {
    /// Takes `by` off the count; tells what is left. At 0 all who wait go on. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::CountedTooFar`] if less than `by` is left: the count stays as it is. [`Error::ReadOnly`], or a forked child cannot
    /// [join](crate::Space::join) the space.
    pub fn count_down(&self, by: u32) -> Result<u32> {
        if self.attached.member.me() == 0 {
            self.join("count it down")?;
        }
        self.word.count_down(self.attached.member.host(), by).map_err(|left| Error::CountedTooFar {
            object: self.attached.object(),
            by,
            left,
        })
    }

    /// Waits until the count is 0, as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] if the handle is read-only and the latch is closed; a forked child cannot
    /// [join](crate::Space::join) the space.
    pub fn wait(&self) -> Result<()> {
        self.wait_until(Deadline::Never).map(|_| ())
    }

    /// Waits until the count is 0, at most `timeout` (monotonic; zero polls once); `false` if the timeout passed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Whether the count is 0. One load; works through read-only handles.
    #[inline]
    pub fn try_wait(&self) -> bool {
        self.word.is_open()
    }

    /// Takes one off the count and waits for the rest, as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`count_down`](Self::count_down) and [`wait`](Self::wait).
    pub fn arrive_and_wait(&self) -> Result<()> {
        self.count_down(1)?;
        self.wait()
    }

    /// Takes one off the count and waits for the rest, at most `timeout`; `false` if the timeout passed, which does not undo the
    /// arrival.
    ///
    /// # Errors
    ///
    /// As [`count_down`](Self::count_down) and [`wait`](Self::wait).
    pub fn arrive_and_wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.count_down(1)?;
        self.wait_timeout(timeout)
    }

    /// What is left of the count now.
    pub fn count(&self) -> u32 {
        // Acquire: who reads 0 sees what the others did before they counted down.
        self.word.count.load(Acquire)
    }

    /// The state of the latch in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let word: Shared<LatchWord> = Shared::new(segment, 0)?;
        Ok(vec![
            ("count", Fact::Number(u64::from(word.count.load(Relaxed)))),
            ("initial", Fact::Number(u64::from(word.initial.load(Relaxed)))),
            ("waiters", Fact::Flag(word.sleepers.has_sleepers())),
        ])
    }

    fn wait_until(&self, deadline: Deadline) -> Result<bool> {
        if self.word.is_open() {
            return Ok(true);
        }
        self.join("wait for it")?;
        Ok(self.word.wait(self.attached.member.host(), deadline))
    }

    /// Where the sleepers are.
    pub(super) fn sleepers(&self) -> &EventCount {
        &self.word.sleepers
    }

    pub(super) fn join(&self, action: &'static str) -> Result<u32> {
        self.attached.member.join(|| self.attached.object(), action)
    }
}

constructors! {
    impl[] Latch,
    noun: "latch",
    made: " with this count (one of 0 is open)",
    (count: u32) => count
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch")
            .field("object", &self.attached.object())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Object for Latch {
    type Init = u32;

    fn plan(_: &u32) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<LatchWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Latch, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, count: u32) -> Result<()> {
        let word: Shared<LatchWord> = Shared::new(body.segment, 0)?;
        // Relaxed: published with the segment.
        word.count.store(count, Relaxed);
        word.initial.store(count, Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Latch { word: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
