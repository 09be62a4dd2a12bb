//! Descriptors that are readable as long as a try is worth while.
//!
//! ```text
//! armed:     not readable; a sleeper is announced, and the bridge thread sleeps on its word
//! readable:  nothing is announced; nobody looks
//! ```
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | armed | readable | the bridge thread | the word changed, or it is time to look for the dead, and a try is worth while |
//! | armed | armed | the bridge thread | the same, and it is not: announced anew |
//! | readable | armed | whoever tries | a try found nothing; it looks once more behind the announcement |
//!
//! A wake-up that was spent on the announced sleeper is passed on whenever the sleeper is withdrawn: the descriptor takes nothing
//! itself. A forked child leaves its parent's descriptors alone.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};

use super::ring::Waiting;
use crate::error::{Error, Result};
use crate::participant::Attached;
use crate::sync::{Bridge, EventCount, Registration, Ticket};
use crate::sys::{self, Bell, ProcessLock, ReadyFd};

/// The first look for the dead; later ones are twice as far apart.
const FIRST_SLICE_NS: u64 = 1_000_000;
/// How far apart they come to be.
const LAST_SLICE_NS: u64 = 64_000_000;

/// What is watched.
pub(super) trait Level: Send + Sync {
    /// Whether a try at `position` (of a subscriber) is worth while; with `thorough`, what the dead left is looked at, too.
    fn is_ready(&self, position: u64, thorough: bool) -> Result<bool>;
    /// What its waiters sleep on.
    fn waiting(&self) -> Waiting<'_>;
    fn attached(&self) -> &Attached;
}

/// Which descriptors a try concerns: those of the handles that share a mapping and wait for the same thing, or of one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key(u64);

impl Key {
    /// Of all handles of one mapping.
    pub(super) fn of(events: &EventCount) -> Self {
        Key(std::ptr::from_ref(events).addr() as u64)
    }

    /// Of one subscriber.
    pub(super) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Odd, and so no address of a word. Relaxed: only uniqueness is needed.
        Key(NEXT.fetch_add(1, Relaxed) << 1 | 1)
    }
}

/// A descriptor and what makes it readable.
struct Pollable {
    key: Key,
    level: Box<dyn Level>,
    bell: Arc<Bell>,
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is announced, while it is armed.
    armed: Option<(Registration, Ticket)>,
    position: u64,
    slice_ns: u64,
    look_at_ns: u64,
    closed: bool,
}

/// How many descriptors this process has: none is the rule, and then tries look no further.
static HOW_MANY: AtomicUsize = AtomicUsize::new(0);
/// Used only under the process lock, so that a forked child never finds it locked.
static ALL: Mutex<Vec<Weak<Pollable>>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<Weak<Pollable>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor for `level`, from `position` on.
pub(super) fn watch(key: Key, level: impl Level + 'static, position: u64) -> Result<ReadyFd> {
    let attached = level.attached();
    attached.member.join(|| attached.object(), "wait for it")?;
    let fault = |source| Error::Io {
        object: attached.object(),
        action: "make a pollable descriptor for",
        path: attached.segment.site().directory.to_path_buf(),
        source,
    };
    let bell = Arc::new(Bell::new().map_err(fault)?);
    let bridge = Bridge::of_this_process().map_err(fault)?;
    let state = State { position, ..State::default() };
    let it = Arc::new(Pollable {
        key,
        level: Box::new(level),
        bell: Arc::clone(&bell),
        bridge,
        state: Mutex::new(state),
    });
    {
        let _lock = ProcessLock::take();
        let mut all = all();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&it));
        // Relaxed: a thread that tries and has not heard of the descriptor is not the one that polls it.
        HOW_MANY.store(all.len(), Relaxed);
    }
    it.arm(&mut it.state());
    Ok(ReadyFd::new(bell, Watch(it)))
}

/// Says that a try found nothing.
#[inline]
pub(super) fn ran_dry(key: Key, position: u64) {
    // Relaxed: as where it is stored.
    if HOW_MANY.load(Relaxed) != 0 {
        ran_dry_slow(key, position);
    }
}

#[cold]
fn ran_dry_slow(key: Key, position: u64) {
    let concerned: Vec<Arc<Pollable>> = {
        let _lock = ProcessLock::take();
        all().iter().filter_map(Weak::upgrade).filter(|it| it.key == key).collect()
    };
    for it in concerned {
        // In a forked child it is the parent's, and its lock may be held by a thread that is not here.
        if it.bridge.is_at_home() {
            let mut state = it.state();
            state.position = position;
            if state.armed.is_none() && !state.closed {
                it.arm(&mut state);
            }
        }
    }
}

impl Pollable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From readable to armed, unless a try is worth while.
    fn arm(self: &Arc<Self>, state: &mut State) {
        self.bell.clear();
        state.slice_ns = FIRST_SLICE_NS;
        state.look_at_ns = sys::monotonic_ns() + state.slice_ns;
        self.announce(state);
    }

    /// Announces a sleeper and registers it, or rings if a try is worth while.
    fn announce(self: &Arc<Self>, state: &mut State) {
        let waiting = self.level.waiting();
        let ticket = waiting.prepare();
        // An error is worth a try: that one tells it.
        let ready = self.level.is_ready(state.position, false).unwrap_or(true);
        let segment = &self.level.attached().segment;
        let word = Some(waiting.events.expect(ticket));
        if !ready {
            let waker = Waker::from(Arc::clone(self));
            if let Ok(registration) = self.bridge.register(word, segment, state.look_at_ns, waker) {
                state.armed = Some((registration, ticket));
                return;
            }
        }
        self.pass_on(ticket);
        self.bell.ring();
    }

    /// Passes on a wake-up that was spent on the sleeper with this ticket.
    fn pass_on(&self, ticket: Ticket) {
        self.level.waiting().events.pass_on(self.level.attached().member.host(), ticket);
    }
}

impl Wake for Pollable {
    /// In the bridge thread: the word changed, or it is time to look for the dead.
    fn wake(self: Arc<Self>) {
        let mut state = self.state();
        let Some((registration, ticket)) = state.armed.take() else { return };
        drop(registration);
        if state.closed {
            return self.pass_on(ticket);
        }
        let now = sys::monotonic_ns();
        let thorough = now >= state.look_at_ns;
        if thorough {
            state.slice_ns = (state.slice_ns * 2).min(LAST_SLICE_NS);
            state.look_at_ns = now + state.slice_ns;
        }
        let ready = self.level.is_ready(state.position, thorough).unwrap_or(true);
        self.pass_on(ticket);
        if ready {
            self.bell.ring();
        } else {
            self.announce(&mut state);
        }
    }
}

/// Keeps a descriptor working until it is dropped.
struct Watch(Arc<Pollable>);

impl Drop for Watch {
    fn drop(&mut self) {
        // In a forked child all of it is the parent's.
        if !self.0.bridge.is_at_home() {
            return;
        }
        {
            let _lock = ProcessLock::take();
            let mut all = all();
            all.retain(|other| {
                other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(&self.0))
            });
            // Relaxed: as in `watch`.
            HOW_MANY.store(all.len(), Relaxed);
        }
        let armed = {
            let mut state = self.0.state();
            state.closed = true;
            state.armed.take()
        };
        // Without the lock: what the registration lets go of is this very descriptor.
        if let Some((registration, ticket)) = armed {
            drop(registration);
            self.0.pass_on(ticket);
        }
    }
}
