//! The C library's process-shared objects, each on a shared page with the data it guards on the same line.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use crate::failure::{Failure, not_negative, zero};
use crate::shared::Shared;

/// A C object and what it guards, side by side.
#[repr(C, align(128))]
struct Beside<R, T> {
    raw: UnsafeCell<R>,
    data: UnsafeCell<T>,
}

// SAFETY: `raw` is only touched by C library calls made for concurrent use, `data` only under the lock it makes.
unsafe impl<R, T: Send> Sync for Beside<R, T> {}
// SAFETY: as above; C objects on shared pages belong to no thread.
unsafe impl<R, T: Send> Send for Beside<R, T> {}

/// Which mutex to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Process-shared, otherwise plain.
    Shared,
    /// Process-shared and robust: the next locker learns of its holder's death.
    Robust,
    /// Process-shared, robust and recursive.
    RobustRecursive,
}

/// A process-shared `pthread_mutex_t` round a value.
pub struct Mutex<T> {
    page: Shared<Beside<libc::pthread_mutex_t, T>>,
}

/// A held [`Mutex`].
pub struct Held<'a, T> {
    page: &'a Beside<libc::pthread_mutex_t, T>,
}

impl Mutex<u64> {
    /// A mutex of that kind round a zero.
    ///
    /// # Errors
    /// [`Failure::Os`] when the page or the mutex cannot be made.
    pub fn new(kind: Kind) -> Result<Self, Failure> {
        // SAFETY: both halves are plain integers and unions of such: zeros are valid until `init` writes the mutex.
        let page: Shared<Beside<libc::pthread_mutex_t, u64>> = unsafe { Shared::zeroed()? };
        // SAFETY: all-zero attributes are overwritten by `init` before use.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
        let at = &raw mut attributes;
        // SAFETY: `at` is valid throughout and initialised by the first call; the mutex's page is fresh, and nobody
        // else knows of it yet.
        unsafe {
            zero("pthread_mutexattr_init", libc::pthread_mutexattr_init(at))?;
            let shared = libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED);
            zero("pthread_mutexattr_setpshared", shared)?;
            if kind != Kind::Shared {
                let robust = libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST);
                zero("pthread_mutexattr_setrobust", robust)?;
            }
            if kind == Kind::RobustRecursive {
                let recursive = libc::pthread_mutexattr_settype(at, libc::PTHREAD_MUTEX_RECURSIVE);
                zero("pthread_mutexattr_settype", recursive)?;
            }
            zero("pthread_mutex_init", libc::pthread_mutex_init(page.raw.get(), at))?;
            zero("pthread_mutexattr_destroy", libc::pthread_mutexattr_destroy(at))?;
        }
        Ok(Self { page })
    }

    /// Locks a recursive mutex twice, adds one, and unlocks twice.
    ///
    /// # Errors
    /// [`Failure::Os`] when a call fails.
    #[inline]
    pub fn add_one_twice_locked(&self) -> Result<(), Failure> {
        let raw = self.page.raw.get();
        // SAFETY: the mutex is initialised; the data is touched between lock and unlock only.
        unsafe {
            zero("pthread_mutex_lock", libc::pthread_mutex_lock(raw))?;
            zero("pthread_mutex_lock", libc::pthread_mutex_lock(raw))?;
            *self.page.data.get() += 1;
            zero("pthread_mutex_unlock", libc::pthread_mutex_unlock(raw))?;
            zero("pthread_mutex_unlock", libc::pthread_mutex_unlock(raw))
        }
    }
}

impl<T> Mutex<T> {
    /// Waits for the mutex; not for recursive ones that are already held.
    ///
    /// # Errors
    /// [`Failure::Os`] when the C library refuses.
    #[inline]
    pub fn lock(&self) -> Result<Held<'_, T>, Failure> {
        // SAFETY: the mutex is initialised and stays mapped as long as `self`.
        zero("pthread_mutex_lock", unsafe { libc::pthread_mutex_lock(self.page.raw.get()) })?;
        Ok(Held { page: &self.page })
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held, so nobody else touches the data.
        unsafe { &*self.page.data.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the mutex is held, so nobody else touches the data.
        unsafe { &mut *self.page.data.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this thread holds the mutex.
        unsafe { libc::pthread_mutex_unlock(self.page.raw.get()) };
    }
}

/// A process-shared `sem_t` with a counter beside it.
pub struct Semaphore {
    page: Shared<Beside<libc::sem_t, u64>>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    ///
    /// # Errors
    /// [`Failure::Os`] when the page or the semaphore cannot be made.
    pub fn new(permits: u32) -> Result<Self, Failure> {
        // SAFETY: zeros are valid bytes for both halves until `sem_init` writes the semaphore.
        let page: Shared<Beside<libc::sem_t, u64>> = unsafe { Shared::zeroed()? };
        // SAFETY: the page is fresh, and nobody else knows of it yet.
        not_negative("sem_init", unsafe { libc::sem_init(page.raw.get(), 1, permits) })?;
        Ok(Self { page })
    }

    /// Takes a permit, adds one to the counter, gives the permit back.
    ///
    /// The counter is only right where one worker at a time holds a permit.
    ///
    /// # Errors
    /// [`Failure::Os`] when a call fails.
    #[inline]
    pub fn add_one(&mut self) -> Result<(), Failure> {
        // SAFETY: the semaphore is initialised; `&mut self` makes this the only thread at the counter, and no worker
        // is forked while it runs.
        unsafe {
            not_negative("sem_wait", libc::sem_wait(self.page.raw.get()))?;
            *self.page.data.get() += 1;
            not_negative("sem_post", libc::sem_post(self.page.raw.get())).map(drop)
        }
    }

    /// The counter, and the permits there are now.
    ///
    /// # Errors
    /// [`Failure::Os`] when the semaphore cannot be read.
    pub fn state(&mut self) -> Result<(u64, u64), Failure> {
        let mut permits = 0;
        // SAFETY: the semaphore is initialised, `permits` is writable, and `&mut self` keeps the counter still.
        let counter = unsafe {
            not_negative("sem_getvalue", libc::sem_getvalue(self.page.raw.get(), &mut permits))?;
            *self.page.data.get()
        };
        Ok((counter, permits as u64))
    }
}

/// A process-shared `pthread_barrier_t`.
pub struct Barrier {
    page: Shared<Beside<libc::pthread_barrier_t, u64>>,
}

impl Barrier {
    /// A barrier for so many parties.
    ///
    /// # Errors
    /// [`Failure::Os`] when the page or the barrier cannot be made.
    pub fn new(parties: usize) -> Result<Self, Failure> {
        // SAFETY: zeros are valid bytes for both halves until `init` writes the barrier.
        let page: Shared<Beside<libc::pthread_barrier_t, u64>> = unsafe { Shared::zeroed()? };
        // SAFETY: all-zero attributes are overwritten by `init` before use.
        let mut attributes: libc::pthread_barrierattr_t = unsafe { std::mem::zeroed() };
        let at = &raw mut attributes;
        // SAFETY: `at` is valid throughout and initialised by the first call; the barrier's page is fresh.
        unsafe {
            zero("pthread_barrierattr_init", libc::pthread_barrierattr_init(at))?;
            let shared = libc::pthread_barrierattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED);
            zero("pthread_barrierattr_setpshared", shared)?;
            let made = libc::pthread_barrier_init(page.raw.get(), at, parties as u32);
            zero("pthread_barrier_init", made)?;
        }
        Ok(Self { page })
    }

    /// Waits for all parties; true for one of them.
    ///
    /// # Errors
    /// [`Failure::Os`] when the C library refuses.
    #[inline]
    pub fn wait(&self) -> Result<bool, Failure> {
        // SAFETY: the barrier is initialised and stays mapped as long as `self`.
        match unsafe { libc::pthread_barrier_wait(self.page.raw.get()) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => Ok(true),
            other => zero("pthread_barrier_wait", other).map(|()| false),
        }
    }
}
