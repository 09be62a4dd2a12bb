//! Robust mutexes where the system has them: initialised through `libc`, operated through `raw_sync`.
//!
//! Three things `raw_sync` cannot do, which are done here: it knows no robust mutexes, so making one and declaring one
//! consistent go through `libc`; it reports the C library's answer inside a sentence only, which is read back; and it adds
//! timeouts without carrying nanoseconds, so waiting with a deadline goes through `libc`, too.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::io;
use std::sync::OnceLock;

use raw_sync::Timeout;
use raw_sync::locks::{LockGuard, LockImpl, LockInit, Mutex};

use super::state::MUTEX_ROOM;
use super::{Got, Refusal};
use crate::sys::monotonic_ns;

/// `libc` does not name these two on every system that has them.
const ROBUST: libc::c_int = 1;
const ERRORCHECK: libc::c_int = if cfg!(target_os = "linux") { 2 } else { 1 };

/// Bytes of a mutex.
pub(super) const SIZE: usize = size_of::<libc::pthread_mutex_t>();
/// Alignment of a mutex.
pub(super) const ALIGN: usize = align_of::<libc::pthread_mutex_t>();

const _: () = assert!(SIZE <= MUTEX_ROOM && ALIGN <= 8, "a mutex larger than the room kept for it");

/// How long one sleep with a deadline lasts where the C library has no monotonic one: the wall clock may be set meanwhile.
const WALL_SLICE_NS: u64 = 50_000_000;

/// A robust mutex that lies in memory which several processes share.
pub(crate) struct RobustMutex {
    lock: Box<dyn LockImpl>,
}

// SAFETY: (S16) `raw_sync`'s mutex is an address and a pointer that is never used; the mutex behind it is for all threads.
unsafe impl Send for RobustMutex {}
// SAFETY: (S16) as above.
unsafe impl Sync for RobustMutex {}

/// A mutex that the calling thread holds; dropping it gives it back. Must not be dropped anywhere else.
pub(crate) enum Hold<'a> {
    /// Taken through `raw_sync`, which gives it back, too.
    Guard { _guard: LockGuard<'a> },
    /// Taken from the dead or before a deadline: `raw_sync` has no guard for it.
    Plain(&'a RobustMutex),
}

impl RobustMutex {
    /// Makes a free mutex of the bytes at `at`.
    ///
    /// # Safety
    ///
    /// `MUTEX_ROOM` writable bytes, aligned to 8, of which nobody else knows yet.
    pub(crate) unsafe fn initialise(at: NonNull<u8>) -> io::Result<()> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: (S1) `attributes` is a valid destination for the call.
        check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        // SAFETY: (S1) the attributes were initialised; (S16) the caller vouches for the place of the mutex.
        let made = unsafe {
            check(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED))
                .and_then(|()| check(libc::pthread_mutexattr_settype(attributes, ERRORCHECK)))
                .and_then(|()| check(libc::pthread_mutexattr_setrobust(attributes, ROBUST)))
                .and_then(|()| check(libc::pthread_mutex_init(at.as_ptr().cast(), attributes)))
        };
        // SAFETY: (S1) the attributes were initialised and are not used any more.
        unsafe { libc::pthread_mutexattr_destroy(attributes) };
        made
    }

    /// Uses the mutex at `at`, which somebody initialised.
    ///
    /// # Safety
    ///
    /// A mutex made by `initialise` lies there, in writable memory that stays mapped while this exists and while any `Hold` of
    /// it was not given back, even a forgotten one.
    pub(crate) unsafe fn at(at: NonNull<u8>) -> io::Result<Self> {
        // SAFETY: (S16) the caller vouches for the mutex; it is aligned to 8, so the address is used as it is. The data
        // pointer is handed back by a guard's deref only, which nobody calls.
        let made = unsafe { Mutex::from_existing(at.as_ptr(), core::ptr::null_mut()) };
        made.map(|(lock, _)| RobustMutex { lock }).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Takes the mutex; waits until `until_ns` (monotonic; 0 polls once), or as long as it takes without one.
    pub(crate) fn lock(&self, until_ns: Option<u64>) -> Result<(Hold<'_>, Got), Refusal> {
        let outcome = match until_ns {
            None => self.lock.lock(),
            // Now plus nothing needs no carry.
            Some(0) => self.lock.try_lock(Timeout::Val(std::time::Duration::ZERO)),
            Some(until_ns) => return self.verdict(self.wait_until(until_ns)),
        };
        match outcome {
            Ok(guard) => Ok((Hold::Guard { _guard: guard }, Got::Clean)),
            Err(error) => self.verdict(code_in(&error.to_string())),
        }
    }

    /// Declares the mutex consistent that the calling thread got from a dead owner; without effect on any other.
    pub(crate) fn make_consistent(&self) {
        // SAFETY: (S16) the mutex is mapped; one that is not inconsistent is answered by EINVAL.
        unsafe { libc::pthread_mutex_consistent(self.address()) };
    }

    fn address(&self) -> *mut libc::pthread_mutex_t {
        self.lock.as_raw().cast()
    }

    /// What an answer of the C library means.
    fn verdict(&self, code: libc::c_int) -> Result<(Hold<'_>, Got), Refusal> {
        match code {
            0 => Ok((Hold::Plain(self), Got::Clean)),
            libc::EOWNERDEAD => Ok((Hold::Plain(self), Got::OwnerDied)),
            libc::EBUSY | libc::ETIMEDOUT => Err(Refusal::TimedOut),
            libc::EDEADLK => Err(Refusal::Deadlock),
            libc::ENOTRECOVERABLE => Err(Refusal::NotRecoverable),
            other => Err(Refusal::Io(io::Error::from_raw_os_error(other))),
        }
    }

    /// Waits until `until_ns` on the monotonic clock, or on the wall's in slices; the C library's answer.
    fn wait_until(&self, until_ns: u64) -> libc::c_int {
        if let Some(clocklock) = clocklock() {
            let until = later_by(libc::CLOCK_MONOTONIC, until_ns.saturating_sub(monotonic_ns()));
            // SAFETY: (S16) the mutex is mapped; (S1) `until` lives for the call.
            return unsafe { clocklock(self.address(), libc::CLOCK_MONOTONIC, &until) };
        }
        loop {
            let left = until_ns.saturating_sub(monotonic_ns());
            let until = later_by(libc::CLOCK_REALTIME, left.min(WALL_SLICE_NS));
            // SAFETY: (S16) the mutex is mapped; (S1) `until` lives for the call.
            let code = unsafe { libc::pthread_mutex_timedlock(self.address(), &until) };
            if code != libc::ETIMEDOUT || left <= WALL_SLICE_NS {
                return code;
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Hold::Plain(mutex) = self {
            // SAFETY: (S16) the mutex is mapped, and the calling thread holds it: anybody else is answered by EPERM.
            unsafe { libc::pthread_mutex_unlock(mutex.address()) };
        }
    }
}

/// `pthread_mutex_clocklock`, which not every C library has.
type ClockLock =
    unsafe extern "C" fn(*mut libc::pthread_mutex_t, libc::clockid_t, *const libc::timespec) -> libc::c_int;

fn clocklock() -> Option<ClockLock> {
    static FOUND: OnceLock<Option<ClockLock>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: (S1) a C string with a terminator; the call has no other precondition.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"pthread_mutex_clocklock".as_ptr()) };
        // SAFETY: (S1) POSIX fixes the signature of a function of that name; a null pointer becomes `None`.
        unsafe { core::mem::transmute::<*mut libc::c_void, Option<ClockLock>>(found) }
    })
}

/// The moment `later_ns` from now on `clock`; the end of time where it would be beyond.
fn later_by(clock: libc::clockid_t, later_ns: u64) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: (S1) `now` is a valid destination; both clocks exist everywhere.
    unsafe { libc::clock_gettime(clock, &mut now) };
    let nanoseconds = now.tv_nsec as u64 + later_ns % 1_000_000_000;
    let seconds = later_ns / 1_000_000_000 + nanoseconds / 1_000_000_000;
    let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    libc::timespec {
        tv_sec: now.tv_sec.saturating_add(seconds),
        tv_nsec: (nanoseconds % 1_000_000_000) as libc::c_long,
    }
}

/// The number at the end of `raw_sync`'s sentence; a sentence without one is no answer of the C library.
fn code_in(sentence: &str) -> libc::c_int {
    let digits = sentence.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(libc::EIO)
}

/// Turns an answer of a `pthread_` function into a result.
fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_sentence() {
        assert_eq!(code_in(&format!("Failed to acquire mutex : {}", libc::EOWNERDEAD)), libc::EOWNERDEAD);
        assert_eq!(code_in("no number"), libc::EIO);
        assert_eq!(code_in(""), libc::EIO);
    }

    #[test]
    fn moments_carry_their_nanoseconds() {
        let (before, after) =
            (later_by(libc::CLOCK_MONOTONIC, 0), later_by(libc::CLOCK_MONOTONIC, 999_999_999));
        assert!((0..1_000_000_000).contains(&after.tv_nsec));
        let ns =
            |moment: libc::timespec| i128::from(moment.tv_sec) * 1_000_000_000 + i128::from(moment.tv_nsec);
        assert!(ns(after) - ns(before) >= 999_999_999);
        assert!(later_by(libc::CLOCK_REALTIME, u64::MAX).tv_sec > before.tv_sec);
    }
}
