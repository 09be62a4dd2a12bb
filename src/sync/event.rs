//! `Event`: a flag to wait for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::event_word::EventWord;
use super::wait::Patience;
use super::waiters::{Full, Roll, Round, Unclaimed, WaiterEntry, Waiters};
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

/// Waiters that an auto-reset event has room for: with the signal's entry and the roll they fill a page.
const WAITERS: usize = 232;

/// A flag that threads, forked children and unrelated processes set, clear and wait for.
///
/// [`wait`](Event::wait) returns at once while the event is set, and it returns if the event was set at any moment since the call
/// began, even if somebody cleared it again before the waiter could look. `set` and `clear` never wait for anybody;
/// [`is_set`](Event::is_set) is one load. Neither makes a system call unless somebody may be asleep.
///
/// With [`Reset::Auto`] each set releases exactly one waiter, in the order in which they came, and the event is not set any more
/// when that waiter returns; a set that finds nobody waiting stays until somebody comes. Sets in between are one.
///
/// # When somebody dies
///
/// Nothing needs recovery: a set has happened or it has not, waiters may die at any time. With [`Reset::Auto`], a signal
/// whose waiter dies before its `wait` returns goes to the next one, within some milliseconds if that one is asleep already.
///
/// # Examples
///
/// ```
/// use procshare::Event;
///
/// let name = format!("doc-event-{}", std::process::id());
/// let go = Event::create(&name)?;
/// let same = Event::open(&name)?; // in any process of the user
/// let waiter = std::thread::spawn(move || same.wait());
/// go.set()?;
/// waiter.join().unwrap()?;
/// assert!(go.is_set());
/// go.clear()?;
/// assert!(!go.wait_timeout(std::time::Duration::from_millis(1))?);
/// Event::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    words: Shared<EventWords>,
    /// The auto-reset event's waiters; empty with manual reset.
    entries: SharedSlice<WaiterEntry>,
    attached: Attached,
}

/// What ends an [`Event`]'s being set.
///
/// ```
/// use procshare::{Event, Reset};
///
/// let turn = Event::builder().anonymous_with(Reset::Auto)?;
/// turn.set()?;
/// assert!(turn.try_wait()?, "one gets it");
/// assert!(!turn.try_wait()?, "and nobody else");
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reset {
    /// [`Event::clear`]: until then everybody passes.
    #[default]
    Manual,
    /// The waiter that it releases: everybody else waits for another set.
    Auto,
}

/// The words of an event of either flavour.
#[derive(Debug)]
#[repr(C)]
struct EventWords {
    manual: EventWord,
    roll: Roll,
    /// 1: resets itself. Written once, before the event is published.
    auto: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for EventWords {}

documented_layout!(EventWords { manual, roll, auto, reserved });

impl Event {
    /// Sets it: releases everybody who waits (with [`Reset::Auto`], one). Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    #[inline]
    pub fn set(&self) -> Result<()> {
        if self.attached.member.me() != 0 && self.entries.is_empty() {
            self.words.manual.set(self.attached.member.host());
            return Ok(());
        }
        self.set_slow()
    }

    #[cold]
    fn set_slow(&self) -> Result<()> {
        let me = self.join("set it")?;
        match self.reset() {
            Reset::Manual => self.words.manual.set(self.attached.member.host()),
            Reset::Auto => self.waiters(me).signal(),
        }
        Ok(())
    }

    /// Clears it: who comes from now on waits. Never waits. Sets by others at the same moment may survive it.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    #[inline]
    pub fn clear(&self) -> Result<()> {
        if self.attached.member.me() != 0 && self.entries.is_empty() {
            self.words.manual.clear();
            return Ok(());
        }
        self.clear_slow()
    }

    #[cold]
    fn clear_slow(&self) -> Result<()> {
        let me = self.join("clear it")?;
        match self.reset() {
            Reset::Manual => self.words.manual.clear(),
            Reset::Auto => {
                self.waiters(me).take_signal();
            }
        }
        Ok(())
    }

    /// Whether it is set now. One load; works through read-only handles.
    #[inline]
    pub fn is_set(&self) -> bool {
        is_set(&self.words, &self.entries)
    }

    /// What ends its being set.
    pub fn reset(&self) -> Reset {
        if self.entries.is_empty() { Reset::Manual } else { Reset::Auto }
    }

    /// Waits until it is set, as long as it takes.
    ///
    /// Returns once a set has happened since the call began, even if the event was cleared again at once.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] if the handle is read-only and the event is not set; a forked child cannot
    /// [join](crate::Space::join) the space; [`Error::TooManyWaiters`] with [`Reset::Auto`].
    pub fn wait(&self) -> Result<()> {
        self.wait_until(Deadline::Never).map(|_| ())
    }

    /// Waits until it is set, at most `timeout` (monotonic; zero polls once); `false` if the timeout passed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Whether a wait would return at once; with [`Reset::Auto`], takes the signal if there is one. Never waits.
    ///
    /// # Errors
    ///
    /// With [`Reset::Auto`], [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    pub fn try_wait(&self) -> Result<bool> {
        if self.entries.is_empty() { Ok(self.is_set()) } else { self.wait_until(Deadline::Now) }
    }

    /// The state of the event in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let (words, entries) = locate(segment)?;
        let mut facts = vec![("set", Fact::Flag(is_set(&words, &entries)))];
        if entries.is_empty() {
            facts.push(("reset", Fact::Text("manual".into())));
            facts.push(("waiters", Fact::Flag(words.manual.has_sleepers())));
        } else {
            facts.push(("reset", Fact::Text("auto".into())));
            facts.push(("waiting", WaiterEntry::facts(&entries)));
        }
        Ok(facts)
    }

    fn wait_until(&self, deadline: Deadline) -> Result<bool> {
        let before = self.words.manual.look();
        if self.entries.is_empty() && before.is_set() {
            return Ok(true);
        }
        let me = self.join("wait for it")?;
        let host = self.attached.member.host();
        match self.reset() {
            Reset::Manual => Ok(self.words.manual.wait(host, before, deadline)),
            Reset::Auto => {
                wait_for_signal(&self.waiters(me), deadline).map_err(|Full| self.too_many_waiters())
            }
        }
    }

    pub(super) fn too_many_waiters(&self) -> Error {
        Error::TooManyWaiters { object: self.attached.object(), limit: WAITERS as u64 }
    }

    /// The words of the manual-reset event.
    pub(super) fn manual(&self) -> &EventWord {
        &self.words.manual
    }

    /// The calling process's id, 0 if it has none yet.
    pub(super) fn me(&self) -> u32 {
        self.attached.member.me()
    }

    pub(super) fn join(&self, action: &'static str) -> Result<u32> {
        self.attached.member.join(|| self.attached.object(), action)
    }

    /// The auto-reset event's list, as the participant `me` uses it.
    pub(super) fn waiters(&self, me: u32) -> Waiters<'_, impl Host> {
        debug_assert!(!self.entries.is_empty(), "a manual-reset event has no list");
        Waiters {
            roll: &self.words.roll,
            entries: &self.entries,
            unclaimed: Unclaimed::Kept,
            host: self.attached.member.host(),
            me,
        }
    }
}

/// The words of the event in `segment`.
fn locate(segment: &Arc<Segment>) -> Result<(Shared<EventWords>, SharedSlice<WaiterEntry>)> {
    let words: Shared<EventWords> = Shared::new(segment, 0)?;
    // Relaxed: written before the segment was published.
    let len = if words.auto.load(Ordering::Relaxed) == 1 { 1 + WAITERS } else { 0 };
    Ok((words, SharedSlice::new(segment, size_of::<EventWords>(), len)?))
}

/// Whether an event with these words is set.
#[inline]
fn is_set(words: &EventWords, entries: &[WaiterEntry]) -> bool {
    match entries.first() {
        None => words.manual.look().is_set(),
        Some(signal) => signal.is_signal(),
    }
}

/// Takes the signal, or waits for one.
pub(super) fn wait_for_signal<H: Host>(waiters: &Waiters<'_, H>, deadline: Deadline) -> Result<bool, Full> {
    if waiters.take_signal() {
        return Ok(true);
    }
    if !waiters.roll.is_empty() {
        // One that was granted to somebody who is dead now is left to nobody else.
        waiters.sweep(false);
        if waiters.take_signal() {
            return Ok(true);
        }
    }
    if deadline == Deadline::Now {
        return Ok(false);
    }
    let place = waiters.register()?;
    // A set that saw no waiter left its signal before; one that comes now sees this waiter.
    waiters.sweep(false);
    let mut patience = Patience::in_line(waiters.host, &waiters.roll.watch, waiters.me, deadline);
    loop {
        match waiters.wait(place, &mut patience, deadline) {
            Round::Again => {}
            Round::Idle if !patience.is_over() => {}
            Round::Idle | Round::Granted => return Ok(waiters.leave(place)),
        }
    }
}

constructors! {
    impl[] Event,
    noun: "event",
    made: ", not set, reset by hand",
    () => Reset::Manual
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("object", &self.attached.object())
            .field("is_set", &self.is_set())
            .field("reset", &self.reset())
            .finish_non_exhaustive()
    }
}

impl Object for Event {
    type Init = Reset;

    fn plan(reset: &Reset) -> Result<Plan, PlanFault> {
        let table = match reset {
            Reset::Manual => 0,
            Reset::Auto => (1 + WAITERS) * size_of::<WaiterEntry>(),
        };
        Ok(Plan::whole(size_of::<EventWords>() + table))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Event, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, reset: Reset) -> Result<()> {
        let words: Shared<EventWords> = Shared::new(body.segment, 0)?;
        // Relaxed: published with the segment.
        words.auto.store(u32::from(reset == Reset::Auto), Ordering::Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        let (words, entries) = locate(&attached.segment)?;
        Ok(Event { words, entries, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
