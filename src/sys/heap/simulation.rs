//! Processes that are only said to be: threads act for them, and they die on request.
//!
//! A thread acts for the real process, number 0, until it says otherwise. A simulated process joins spaces by itself, has ids of
//! its own, and holds its seats and attachments until it is killed: from then on the oracle says that it is gone, as
//! the kernel does of a process whose last instruction is over. Its threads must not use objects any more; nothing stops
//! them, since nothing can stop a thread from outside.

#[path = "../shared/hostile.rs"]
mod hostile;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::world;

pub use hostile::overwrite;

/// How many processes one run can simulate, the real one included. Numbers are never used again.
pub const MOST: usize = 4096;

thread_local! {
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// A simulated process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

/// The calling thread acts for a simulated process until this is dropped.
#[derive(Debug)]
#[must_use = "the thread acts for the process only while this lives"]
pub struct Acting {
    before: u32,
    thread: std::marker::PhantomData<*const ()>,
}

impl Process {
    /// Another process.
    ///
    /// # Panics
    ///
    /// If the run has simulated [`MOST`] already.
    pub fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only uniqueness is needed.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!((number as usize) < MOST, "one run simulates at most {MOST} processes");
        Process(number)
    }

    /// Makes the calling thread act for this process.
    pub fn enter(self) -> Acting {
        Acting { before: CURRENT.replace(self.0), thread: std::marker::PhantomData }
    }

    /// Runs `work` as this process.
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let _acting = self.enter();
        work()
    }

    /// Kills it: what it holds is a dead process's from now on, and its seats and attachments are free.
    pub fn kill(self) {
        // Release: pairs with `is_dead`; what the killer saw the process do is seen by who finds it dead.
        DEAD[self.0 as usize].store(true, Ordering::Release);
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

static DEAD: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

/// The process for which the calling thread acts.
pub(super) fn current() -> u32 {
    CURRENT.get()
}

/// Whether the process was killed.
pub(super) fn is_dead(process: u32) -> bool {
    // Acquire: pairs with `kill`.
    DEAD[process as usize].load(Ordering::Acquire)
}

/// Lets the files of `directory` have at most so many backed bytes together; 1 GiB unless said.
///
/// Has an effect on what is allocated later. The directory is made if there is none.
pub fn limit_memory(directory: &Path, bytes: u64) {
    world::with_directory_made(directory, |directory| directory.budget.limit(bytes));
}

/// Forgets `directory` and the names in it, as `remove_dir_all` does; whoever uses its files keeps them.
pub fn remove_directory(directory: &Path) {
    world::forget_directory(directory);
}
