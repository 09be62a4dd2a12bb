//! The thread that sleeps on words for the tasks of this process, and wakes them.
//!
//! A task is whatever has a waker: a future, or a [pollable descriptor](crate::ReadyFd).
//!
//! A task that finds nothing to take announces a sleeper and registers the word it would sleep on, with its waker. One thread per
//! process sleeps on all registered words at once, and wakes the tasks whose word changed or whose time to look for the dead
//! has come. It holds nothing and takes nothing: it may be anywhere when the process dies or forks.
//!
//! A wake-up of the kernel may be spent on a word whose task has gone meanwhile. The thread passes it on: it wakes one more
//! sleeper of every word that it slept on, that changed, and that nobody is registered for any more. As long as a task is
//! registered, or polled because it was woken, the task itself owes what its sleeper was given; see
//! [`source`](crate::sync::wait_any).
//!
//! A forked child has no such thread. It leaves its parent's bridge alone, locks and all, and starts its own at its first use.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::error::Result;
use crate::park::{self, AnyFutex, Expected};
use crate::shm::segment::Segment;
use crate::shm::view::Shared;
use crate::sys::{self, Identity, ProcessLock};
use crate::time::Deadline;

/// No slice: the thread's deadlines say when to look.
const NO_SLICE_NS: u64 = u64::MAX / 2;

/// A word that stays mapped.
#[derive(Clone)]
enum Kept {
    Whole(Shared<AtomicU32>),
    Low(Shared<AtomicU64>),
}

impl Kept {
    /// The word, which lies in `segment`.
    fn new(word: AnyFutex<'_>, segment: &Arc<Segment>) -> Result<Self> {
        let address = match word {
            AnyFutex::Whole(word) => std::ptr::from_ref(word).addr(),
            AnyFutex::Low(word) => std::ptr::from_ref(word).addr(),
        };
        let offset = address.wrapping_sub(segment.body().0.addr().get());
        Ok(match word {
            AnyFutex::Whole(_) => Kept::Whole(Shared::new(segment, offset)?),
            AnyFutex::Low(_) => Kept::Low(Shared::new(segment, offset)?),
        })
    }

    fn word(&self) -> AnyFutex<'_> {
        match self {
            Kept::Whole(word) => AnyFutex::Whole(word),
            Kept::Low(word) => AnyFutex::Low(word),
        }
    }
}

/// A word, and what it holds as long as there is nothing to wake up for.
#[derive(Clone)]
struct Awaited {
    word: Kept,
    bits: u32,
}

impl Awaited {
    fn expected(&self) -> Expected<'_> {
        Expected { word: self.word.word(), bits: self.bits }
    }
}

/// A task that waits.
struct Task {
    /// `None`: only looking again tells.
    awaited: Option<Awaited>,
    look_at_ns: u64,
    waker: Waker,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    list: HashMap<u64, Task>,
}

/// The thread's end of the bridge, and the tasks'.
pub(crate) struct Bridge {
    /// Reads 0 in a forked child.
    home: Identity,
    /// Rung when there is another task.
    bell: AtomicU32,
    tasks: Mutex<Tasks>,
}

/// A task's place; dropping it gives it up.
pub(crate) struct Registration {
    bridge: Arc<Bridge>,
    key: u64,
}

impl Bridge {
    /// The bridge of the calling process; starts its thread if there is none.
    pub(crate) fn of_this_process() -> io::Result<Arc<Bridge>> {
        /// Used only under the process lock, so that a forked child never finds it locked.
        static CURRENT: Mutex<Option<Arc<Bridge>>> = Mutex::new(None);
        let _lock = ProcessLock::take();
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bridge) = &*current
            && bridge.is_at_home()
        {
            return Ok(Arc::clone(bridge));
        }
        let bridge =
            Arc::new(Bridge { home: Identity::new()?, bell: AtomicU32::new(0), tasks: Mutex::default() });
        bridge.home.set(1);
        let its = Arc::clone(&bridge);
        thread::Builder::new().name("procshare-tasks".into()).spawn(move || its.run())?;
        // A parent's bridge is never dropped here: its wakers belong to what runs in the parent.
        mem::forget(current.replace(Arc::clone(&bridge)));
        Ok(bridge)
    }

    /// Whether the calling process is not a forked child of the bridge's.
    pub(crate) fn is_at_home(&self) -> bool {
        self.home.get() != 0
    }

    /// Wakes `waker` once the word changes (it lies in `segment`), or at `look_at_ns`, whichever is first.
    pub(crate) fn register(
        self: &Arc<Self>,
        word: Option<Expected<'_>>,
        segment: &Arc<Segment>,
        look_at_ns: u64,
        waker: Waker,
    ) -> Result<Registration> {
        let awaited = match word {
            Some(Expected { word, bits }) => Some(Awaited { word: Kept::new(word, segment)?, bits }),
            None => None,
        };
        let key = {
            let mut tasks = self.tasks();
            tasks.next += 1;
            let key = tasks.next;
            tasks.list.insert(key, Task { awaited, look_at_ns, waker });
            key
        };
        // Release: the thread that finds the bell changed finds the task in the list; the list's lock says so too.
        self.bell.fetch_add(1, Release);
        park::wake(&self.bell, 1);
        Ok(Registration { bridge: Arc::clone(self), key })
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let bell = self.bell.load(Acquire);
            let (due, asleep, deadline) = self.sort();
            for task in due {
                // An executor's panic is its own: other tasks still depend on this thread.
                let _ = catch_unwind(AssertUnwindSafe(|| task.waker.wake()));
            }
            let rung = Expected { word: AnyFutex::Whole(&self.bell), bits: bell };
            let words: Vec<_> =
                std::iter::once(rung).chain(asleep.iter().map(|(_, awaited)| awaited.expected())).collect();
            park::wait_any(&words, deadline, NO_SLICE_NS);
            self.pass_on(&asleep);
        }
    }

    /// Takes out whom to wake; tells what to sleep on for the others, and until when.
    fn sort(&self) -> (Vec<Task>, Vec<(u64, Awaited)>, Deadline) {
        let now = sys::monotonic_ns();
        let mut tasks = self.tasks();
        let due: Vec<Task> = tasks
            .list
            .extract_if(|_, task| {
                task.look_at_ns <= now
                    || task.awaited.as_ref().is_some_and(|awaited| awaited.expected().has_changed())
            })
            .map(|(_, task)| task)
            .collect();
        let awaited = |(key, task): (&u64, &Task)| Some((*key, task.awaited.clone()?));
        let asleep = tasks.list.iter().filter_map(awaited).collect();
        let next_look = tasks.list.values().map(|task| task.look_at_ns).min();
        (due, asleep, next_look.map_or(Deadline::Never, Deadline::At))
    }

    /// Wakes somebody else in the place of the tasks that left while the thread slept for them.
    fn pass_on(&self, asleep: &[(u64, Awaited)]) {
        let left: Vec<&Awaited> = {
            let tasks = self.tasks();
            let gone = asleep.iter().filter(|(key, _)| !tasks.list.contains_key(key));
            gone.map(|(_, awaited)| awaited).collect()
        };
        for awaited in left {
            if awaited.expected().has_changed() {
                park::wake(&awaited.word.word(), 1);
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // In a forked child the list is the parent's, and its lock may be held by a thread that is not here.
        if self.bridge.is_at_home() {
            let task = self.bridge.tasks().list.remove(&self.key);
            // Only now, without the lock: what a waker lets go of may be a task that waits itself.
            drop(task);
        }
    }
}
