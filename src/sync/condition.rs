//! `Condition`: waiting under a lock until somebody says that something has changed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::condition_guard::ConditionGuard;
use super::lock::{LockGuard, Parts};
use super::lock_word::LockWord;
use super::outcome::LockError;
use super::wait::Patience;
use super::waiters;
use super::waiters::{Full, Place, Roll, Round, Unclaimed, WaiterEntry, Waiters};
use crate::atomic::{AtomicU32, Ordering};
use crate::error::{Error, Result};
use crate::participant::{
    Attached, Body, Expect, Fact, Host, Object, Plan, PlanFault, RawFacts, constructors,
};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, SharedSlice, Word};
use crate::time::Deadline;

/// How many can wait at once, unless said: with the rest they fill a page.
const WAITERS: u32 = 236;
/// How many can be asked for.
const MOST_WAITERS: u32 = 1 << 16;

/// Waiting, under a lock, until somebody says that something has changed.
///
/// A condition has a lock of its own ([`lock`](Condition::lock)), and its waiters may use any other [`Lock`](crate::Lock) or
/// [`RLock`](crate::RLock) instead, as long as all of them use the same; not an [`RwLock`](crate::RwLock): what is waited for must be
/// written under the lock that the waiters have. `wait` releases the lock and takes it again before it returns; a waiter returns
/// if and only if it was notified, its timeout passed, or the lock's holder died. Waiters are served in the order in which they came, and
/// [`notify(n)`](Condition::notify) wakes exactly n of them, or all if there are fewer. Notifying never waits for anybody, and
/// is one load while nobody waits; a notification that finds no waiter is forgotten.
///
/// Notify while you hold the lock: a notifier that dies between its change and its notification would leave the others waiting for
/// ever, but one that dies with the lock is noticed.
///
/// # When somebody dies
///
/// A notification is used up when `wait` returns. Until then the death of its waiter passes it on to the next one, within some
/// milliseconds: the dead eat no notification, and nobody waits for them. A dead notifier's call has happened or it has not. When
/// the lock's holder dies, one of the waiters takes the lock over and is told as by [`Lock::lock`](crate::Lock::lock):
/// [`LockError::OwnerDied`] with the guard inside.
///
/// # Examples
///
/// ```
/// use procshare::{AtomicValue, Condition};
///
/// let name = format!("doc-condition-{}", std::process::id());
/// let changed = Condition::create(&name)?;
/// let same = Condition::open(&name)?; // in any process of the user
/// let ready = AtomicValue::anonymous(false)?;
/// let theirs = ready.clone();
/// let waiter = std::thread::spawn(move || -> procshare::Result<()> {
///     let guard = same.lock()?;
///     let _guard = same.wait_while(guard, || !theirs.load())?;
///     Ok(())
/// });
/// let guard = changed.lock()?;
/// ready.store(true)?;
/// changed.notify_one()?;
/// drop(guard);
/// waiter.join().unwrap()?;
/// Condition::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    words: Shared<ConditionWords>,
    entries: SharedSlice<WaiterEntry>,
    attached: Attached,
}

/// How a wait with a timeout ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

impl WaitTimeoutResult {
    #[cfg(feature = "manager")]
    pub(crate) fn new(timed_out: bool) -> Self {
        WaitTimeoutResult { timed_out }
    }

    /// Whether the timeout passed; else the waiter was notified (`wait_timeout`), or what it waited for is so (`wait_while_timeout`).
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

/// The words beside the table of waiters. All-zero: free, nobody waits.
#[derive(Debug)]
#[repr(C)]
struct ConditionWords {
    lock: LockWord,
    roll: Roll,
    /// How many entries follow. Written once, before the condition is published.
    capacity: AtomicU32,
    reserved: [AtomicU32; 5],
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state; the length is checked at attach.
unsafe impl Word for ConditionWords {}

documented_layout!(ConditionWords { lock, roll, capacity, reserved });

#[cfg(not(loom))]
const _: () = assert!(size_of::<ConditionWords>() == 64);

impl Condition {
    /// Takes the condition's own lock; see [`Lock::lock`](crate::Lock::lock).
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.own_lock().acquire(Deadline::Never)
    }

    /// Takes the condition's own lock unless somebody alive holds it; see [`Lock::try_lock`](crate::Lock::try_lock).
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn try_lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.own_lock().acquire(Deadline::Now)
    }

    /// Takes the condition's own lock, waiting at most `timeout`; see [`Lock::lock_timeout`](crate::Lock::lock_timeout).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.own_lock().acquire_timeout(timeout)
    }

    /// Releases the guard's lock, waits for a notification as long as it takes, and takes the lock again.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside if the lock's last owner died or panicked, which ends the wait also without a
    /// notification; one that came goes to the next waiter, so look again at what you wait for. [`LockError::Failed`] without the guard, the lock being released: [`Error::TooManyWaiters`],
    /// [`Error::ReadOnly`], [`Error::Inherited`] for a forked child's copy of its parent's guard (which releases nothing), or the lock
    /// cannot be taken again.
    pub fn wait<G: ConditionGuard>(&self, guard: G) -> Result<G, LockError<G>> {
        self.wait_until(guard, Deadline::Never).map(|(guard, _)| guard)
    }

    /// Waits at most `timeout` (monotonic; zero lets others have the lock and returns). Taking the lock again is not subject to it.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout<G: ConditionGuard>(
        &self,
        guard: G,
        timeout: Duration,
    ) -> Result<(G, WaitTimeoutResult), LockError<G>> {
        self.wait_until(guard, Deadline::after(timeout))
    }

    /// Waits until `condition`, called with the lock held, says `false`; calls it once before any wait.
    ///
    /// A `condition` that can fail must say `false` then, and keep the error for after the wait; `true` would wait on. If it
    /// panics, the lock is released as by any panic under its guard.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while<G: ConditionGuard>(
        &self,
        guard: G,
        condition: impl FnMut() -> bool,
    ) -> Result<G, LockError<G>> {
        self.wait_while_until(guard, Deadline::Never, condition).map(|(guard, _)| guard)
    }

    /// Waits until `condition`, called with the lock held, says `false`, or at most `timeout`; calls it once before any wait and
    /// once after the timeout.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while_timeout<G: ConditionGuard>(
        &self,
        guard: G,
        timeout: Duration,
        condition: impl FnMut() -> bool,
    ) -> Result<(G, WaitTimeoutResult), LockError<G>> {
        self.wait_while_until(guard, Deadline::after(timeout), condition)
    }

    /// Wakes the one that has waited longest; `false` if nobody waits. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    #[inline]
    pub fn notify_one(&self) -> Result<bool> {
        self.notify(1).map(|woken| woken == 1)
    }

    /// Wakes the `count` that have waited longest, or all if there are fewer; tells how many. Never waits.
    ///
    /// # Errors
    ///
    /// As [`notify_one`](Self::notify_one).
    #[inline]
    pub fn notify(&self, count: u32) -> Result<u32> {
        // A reader's or a forked child's id is 0.
        if self.attached.member.me() != 0 && self.words.roll.is_empty() {
            return Ok(0);
        }
        self.notify_slow(count)
    }

    /// Wakes everybody who waits; tells how many. Never waits.
    ///
    /// They are woken one after the other, as each takes the lock, so that they do not fight for it.
    ///
    /// # Errors
    ///
    /// As [`notify_one`](Self::notify_one).
    #[inline]
    pub fn notify_all(&self) -> Result<u32> {
        self.notify(u32::MAX)
    }

    /// How many wait now. A hint: it may change at once, and the dead count until somebody notices.
    pub fn n_waiting(&self) -> usize {
        WaiterEntry::count_waiting(waiters::used(&self.words.roll, &self.entries))
    }

    /// The state of the condition in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let (words, entries) = locate(segment)?;
        Ok(vec![
            ("lock", Fact::Part(words.lock.facts())),
            ("waiting", WaiterEntry::facts(&entries)),
            ("room", Fact::Number(entries.len() as u64)),
        ])
    }

    #[cold]
    fn notify_slow(&self, count: u32) -> Result<u32> {
        let me = self.join("notify its waiters")?;
        Ok(self.waiters(self.attached.member.host(), me).grant(count))
    }

    fn wait_until<G: ConditionGuard>(
        &self,
        guard: G,
        deadline: Deadline,
    ) -> Result<(G, WaitTimeoutResult), LockError<G>> {
        guard.check()?;
        // Registered before the lock is released: who notifies under the lock afterwards sees this waiter.
        let (place, me) = self.register()?;
        let host = self.attached.member.host();
        let waiters = self.waiters(host, me);
        let mut lock = guard.suspend();
        let mut patience = Patience::in_line(host, &self.words.roll.watch, me, deadline);
        loop {
            let is_over = wait_in_line(&waiters, place, &mut patience, deadline, || G::holder_is_gone(&lock));
            match G::resume(lock) {
                // Somebody else has taken over from the dead holder.
                Ok(guard) if !is_over && waiters.is_waiting(place) => lock = guard.suspend(),
                Ok(guard) => {
                    // With the lock held: a notification that came while it was awaited counts.
                    let timed_out = !waiters.leave(place);
                    return Ok((guard, WaitTimeoutResult { timed_out }));
                }
                Err(error) => {
                    waiters.abandon(place);
                    return Err(error);
                }
            }
        }
    }

    fn wait_while_until<G: ConditionGuard>(
        &self,
        mut guard: G,
        deadline: Deadline,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(G, WaitTimeoutResult), LockError<G>> {
        loop {
            if !condition() {
                return Ok((guard, WaitTimeoutResult { timed_out: false }));
            }
            let result;
            (guard, result) = self.wait_until(guard, deadline)?;
            if result.timed_out {
                return Ok((guard, WaitTimeoutResult { timed_out: condition() }));
            }
        }
    }

    /// A place at the end of the line, and the participant whose place it is.
    pub(super) fn register(&self) -> Result<(Place, u32)> {
        let me = self.join("wait for it")?;
        match self.waiters(self.attached.member.host(), me).register() {
            Ok(place) => Ok((place, me)),
            Err(Full) => Err(Error::TooManyWaiters {
                object: self.attached.object(),
                limit: self.entries.len() as u64,
            }),
        }
    }

    fn join(&self, action: &'static str) -> Result<u32> {
        self.attached.member.join(|| self.attached.object(), action)
    }

    pub(super) fn own_lock(&self) -> Parts<'_> {
        Parts { word: &self.words.lock, attached: &self.attached }
    }

    pub(super) fn waiters<'a, H: Host>(&'a self, host: &'a H, me: u32) -> Waiters<'a, H> {
        Waiters { roll: &self.words.roll, entries: &self.entries, unclaimed: Unclaimed::Dropped, host, me }
    }
}

/// Waits until the place is granted or the deadline has passed, or, with `false`, until the lock's holder is gone.
pub(super) fn wait_in_line<H: Host>(
    waiters: &Waiters<'_, H>,
    place: Place,
    patience: &mut Patience<'_, H>,
    deadline: Deadline,
    holder_is_gone: impl Fn() -> bool,
) -> bool {
    loop {
        match waiters.wait(place, patience, deadline) {
            Round::Granted => return true,
            Round::Idle if patience.is_over() => return true,
            Round::Idle if patience.is_on_watch() && holder_is_gone() => return false,
            Round::Idle | Round::Again => {}
        }
    }
}

/// The words of the condition in `segment`.
fn locate(segment: &Arc<Segment>) -> Result<(Shared<ConditionWords>, SharedSlice<WaiterEntry>)> {
    let words: Shared<ConditionWords> = Shared::new(segment, 0)?;
    // Relaxed: written before the segment was published; checked against the body like any hostile number.
    let capacity = words.capacity.load(Ordering::Relaxed) as usize;
    Ok((words, SharedSlice::new(segment, size_of::<ConditionWords>(), capacity)?))
}

constructors! {
    impl[] Condition,
    noun: "condition",
    made: ", with its own lock free, for up to 236 waiters at once",
    () => WAITERS
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("object", &self.attached.object())
            .field("holder", &self.own_lock().holder())
            .field("n_waiting", &self.n_waiting())
            .finish_non_exhaustive()
    }
}

impl Object for Condition {
    /// How many can wait at once.
    type Init = u32;

    fn plan(waiters: &u32) -> Result<Plan, PlanFault> {
        if !(1..=MOST_WAITERS).contains(waiters) {
            return Err(PlanFault {
                what: "waiters",
                found: u64::from(*waiters),
                expected: format!("1 to {MOST_WAITERS}"),
            });
        }
        Ok(Plan::whole(size_of::<ConditionWords>() + *waiters as usize * size_of::<WaiterEntry>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Condition, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, waiters: u32) -> Result<()> {
        // Relaxed: published with the segment.
        Shared::<ConditionWords>::new(body.segment, 0)?.capacity.store(waiters, Ordering::Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        let (words, entries) = locate(&attached.segment)?;
        Ok(Condition { words, entries, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
