//! `PosixLock`: a robust mutex of the C library, to share a lock with C and C++ programs.

use core::ptr::NonNull;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::{LockError, OwnerDied};
use super::posix_lock_words::PosixWords;
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::Kind;
use crate::shm::header::{HEADER_LEN, TypeInfo};
use crate::shm::plain::Signature;
use crate::shm::view::Shared;
use crate::sys::{self, Got, Hold, Refusal, RobustMutex};
use crate::time::Deadline;

/// A lock that C and C++ programs can share: a robust, process-shared, error-checking `pthread_mutex_t` (feature `posix-lock`).
///
/// Use [`Lock`](crate::Lock) among Rust programs: it promises more. This one is for programs that cannot link this crate. They
/// map the object's file (on Linux: `DIRECTORY_OF_THE_SPACE/NAME`, such as `/dev/shm/procshare-UID/default/NAME`) and use the
/// mutex at [`MUTEX_OFFSET`](Self::MUTEX_OFFSET); `tests/posix_lock/procshare_posix_lock.h` is all they need.
///
/// Not re-entrant: a thread that asks for a lock it holds gets [`LockError::Deadlock`] instead of hanging. Not fair.
///
/// # When somebody dies
///
/// The kernel notices at once when a thread ends that holds the mutex, and the next one gets the guard inside
/// [`LockError::OwnerDied`]. So does everybody after it until one calls [`PosixLockGuard::make_consistent`]; a guard that is
/// dropped by a panic has the same effect. A mark beside the mutex keeps that in mind, for a mutex alone would not: C programs
/// that do not read it are told of a death only if they are the first to come.
///
/// # What it does not promise
///
/// Everything the C library does not:
///
/// - It works within **one pid namespace** only, and among programs of **one C library** (another one's is
///   [`Error::WrongType`]; bytes that are no such mutex are [`Error::NotASegment`]).
/// - The owner is a **thread**, not a participant: a thread that ends while its guard was forgotten counts as dead. The next
///   owner may be told up to some ten milliseconds before the last threads of a killed process have stopped, so what they
///   write without the lock may still change.
/// - A C program that is told of a death and gives the mutex back without `pthread_mutex_consistent` makes it unusable for all,
///   for ever: [`Error::NotRecoverable`].
/// - A thread can hold 2048 of them at once and be recovered.
/// - Whoever writes other bytes into the mutex can crash everybody who uses it: the C library follows addresses that lie in it.
/// - There is no hand-over, no `wait_any`, and no future. Waiting does not spin.
/// - macOS and Windows have no such mutexes: making or opening one fails there.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use procshare::PosixLock;
///
/// let name = format!("doc-posix-lock-{}", std::process::id());
/// let lock = PosixLock::create(&name)?;
/// let same = PosixLock::open(&name)?; // in any process of the user
/// {
///     let _guard = lock.lock()?;
///     assert!(same.try_lock().is_err());
/// }
/// assert!(same.try_lock().is_ok());
/// PosixLock::unlink(&name)?;
/// # }
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct PosixLock {
    words: Shared<PosixWords>,
    mutex: Arc<RobustMutex>,
    attached: Attached,
}

/// Holds a [`PosixLock`] until it is dropped.
///
/// Bound to its thread. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct PosixLockGuard<'a> {
    hold: ManuallyDrop<Hold<'a>>,
    lock: &'a PosixLock,
    /// Keeps the mutex mapped even if the guard is forgotten: the C library goes on writing into a mutex that the thread holds.
    words: Shared<PosixWords>,
    /// The participant that took it: a forked child is another one.
    me: u32,
    /// Whether the thread was unwinding already when it took the lock: then its panic is not this lock's.
    unwinding: bool,
}

type Outcome<'a> = Result<PosixLockGuard<'a>, LockError<PosixLockGuard<'a>>>;

impl PosixLock {
    /// Where in the object's file the `pthread_mutex_t` begins, in bytes; the 32-bit mark follows at 64 bytes from there.
    pub const MUTEX_OFFSET: usize = HEADER_LEN;

    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Deadlock`] if the calling thread's own guard lives;
    /// [`LockError::Failed`] if a forked child cannot join the space, the handle is read-only, or a C program left the mutex
    /// unusable ([`Error::NotRecoverable`]).
    pub fn lock(&self) -> Result<PosixLockGuard<'_>, LockError<PosixLockGuard<'_>>> {
        self.acquire(Deadline::Never)
    }

    /// Takes the lock unless another thread holds it. Never waits; a dead holder is noticed here too.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<PosixLockGuard<'_>, LockError<PosixLockGuard<'_>>> {
        self.acquire(Deadline::Now)
    }

    /// Takes the lock, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// Where the C library cannot wait by the monotonic clock, setting the wall clock back meanwhile prolongs the wait.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<PosixLockGuard<'_>, LockError<PosixLockGuard<'_>>> {
        match self.acquire(Deadline::after(timeout)) {
            Err(LockError::WouldBlock) => Err(LockError::TimedOut),
            other => other,
        }
    }

    fn acquire(&self, deadline: Deadline) -> Outcome<'_> {
        let member = &self.attached.member;
        let me = match member.me() {
            0 => member.join(|| self.attached.object(), "lock it")?,
            me => me,
        };
        let until = match deadline {
            Deadline::Never => None,
            Deadline::Now => Some(0),
            Deadline::At(ns) => Some(ns.max(1)),
        };
        let (hold, got) = self.mutex.lock(until).map_err(|refusal| self.explain(refusal, deadline))?;
        if got == Got::OwnerDied {
            self.words.set_mark(Some(Cause::Died));
        }
        let guard = PosixLockGuard {
            hold: ManuallyDrop::new(hold),
            lock: self,
            words: self.words.clone(),
            me,
            unwinding: std::thread::panicking(),
        };
        match self.words.mark() {
            None => Ok(guard),
            Some(cause) => Err(LockError::OwnerDied(OwnerDied::new(guard, cause))),
        }
    }

    #[cold]
    fn explain<'a>(&self, refusal: Refusal, deadline: Deadline) -> LockError<PosixLockGuard<'a>> {
        match refusal {
            Refusal::TimedOut if deadline == Deadline::Now => LockError::WouldBlock,
            // As with `Lock`: who polls is not about to hang.
            Refusal::Deadlock if deadline == Deadline::Now => LockError::WouldBlock,
            Refusal::TimedOut => LockError::TimedOut,
            Refusal::Deadlock => LockError::Deadlock,
            Refusal::NotRecoverable => {
                LockError::Failed(Error::NotRecoverable { object: self.attached.object() })
            }
            Refusal::Io(source) => {
                let segment = &self.attached.segment;
                LockError::Failed(Error::Io {
                    object: segment.object(),
                    action: "lock",
                    path: segment.site().path(segment.name()),
                    source,
                })
            }
        }
    }
}

constructors! {
    impl[] PosixLock,
    noun: "lock",
    made: ", free",
    errors: "[`Io`](crate::Error::Io) on a system without robust mutexes",
    () => ()
}

impl PosixLockGuard<'_> {
    /// Whether it is the calling process's own: a forked child's copy of its parent's guard is not.
    fn is_mine(&self) -> bool {
        self.lock.attached.member.me() == self.me
    }

    /// Declares what the lock protects consistent again: later acquirers get plain guards.
    pub fn make_consistent(&self) {
        // The C library would let a forked child do this to its parent's mutex.
        if self.is_mine() {
            // In this order: a death between leaves a mutex that its next owner is told of, whatever the mark says.
            self.lock.mutex.make_consistent();
            self.words.set_mark(None);
        }
    }
}

impl Drop for PosixLockGuard<'_> {
    fn drop(&mut self) {
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if !self.is_mine() {
            return;
        }
        if !self.unwinding && std::thread::panicking() && self.words.mark().is_none() {
            self.words.set_mark(Some(Cause::Panicked));
        }
        if self.words.mark().is_some() {
            // The mark keeps the news; the mutex itself must not be left inconsistent, or nobody could take it again.
            self.lock.mutex.make_consistent();
        }
        // SAFETY: (S16) dropped once, here, by the thread that took it (the guard is bound to its thread).
        unsafe { ManuallyDrop::drop(&mut self.hold) };
    }
}

impl fmt::Debug for PosixLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PosixLockGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for PosixLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = sys::read_state(&self.words.mutex);
        f.debug_struct("PosixLock")
            .field("object", &self.attached.object())
            .field("thread", &state.map(|now| now.thread).filter(|thread| *thread != 0))
            .finish_non_exhaustive()
    }
}

impl Object for PosixLock {
    type Init = ();

    fn plan((): &()) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<PosixWords>()))
    }

    fn expect() -> Expect {
        let sys::Abi { name, size, align } = sys::ABI;
        let signature = Signature::of_primitive(name, size, align);
        let type_info = TypeInfo { name, signature, size: size as u64, align: align as u64 };
        Expect { kind: Kind::PosixLock, type_info }
    }

    fn initialise(body: &Body<'_>, (): ()) -> Result<()> {
        let words = Shared::<PosixWords>::new(body.segment, 0)?;
        // SAFETY: (S16) and (S7): the room is there, aligned, and nobody else sees the draft.
        unsafe { RobustMutex::initialise(place(&words)) }.map_err(|source| Error::Io {
            object: body.segment.object(),
            action: "make the mutex of",
            path: body.segment.site().path(body.segment.name()),
            source,
        })
    }

    fn attach(attached: Attached) -> Result<Self> {
        let segment = &attached.segment;
        let words = Shared::<PosixWords>::new(segment, 0)?;
        if !sys::is_robust(&words.mutex) {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "mutex",
                expected: "a robust, error-checking mutex that processes share".into(),
                found: "other bytes".into(),
            });
        }
        // SAFETY: (S16) its creator initialised the mutex; it is locked through writable mappings only (a read-only handle is
        // refused before), and `words` and each guard's copy of it keep the mapping.
        let mutex = unsafe { RobustMutex::at(place(&words)) }.map_err(|source| Error::Io {
            object: segment.object(),
            action: "use the mutex of",
            path: segment.site().path(segment.name()),
            source,
        })?;
        Ok(PosixLock { words, mutex: Arc::new(mutex), attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}

/// Where the mutex lies.
fn place(words: &PosixWords) -> NonNull<u8> {
    NonNull::from(&words.mutex).cast()
}
