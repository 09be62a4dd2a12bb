//! Lock, add one to a plain counter, unlock: alone, by two processes, by a crowd.

use std::sync::Mutex;

use super::held;
use super::ours::Locked;
use super::raw::RawMutex;
use crate::contender::{Contender, solo};
use crate::crew::{Share, Workers, crew};
use crate::failure::{Failure, same};
use crate::pthread::{self, Kind, Semaphore};
use crate::python::python;
use crate::row::{OURS, Placement, Row};

/// A lock with a counter under it.
pub(super) trait Counted: Sized + Send + Sync + 'static {
    fn new() -> Result<Self, Failure>;

    /// Locks, adds one, unlocks, so many times.
    fn add(&self, times: u64) -> Result<(), Failure>;

    fn total(&self) -> Result<u64, Failure>;
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let contended = |id, title, placement| {
        Row::new(id, title, placement)
            .with(together::<Locked>(OURS, Workers::Processes))
            .with(together::<PthreadShared>("pthread shared", Workers::Processes))
            .with(together::<PthreadRobust>("pthread robust", Workers::Processes))
            .with(together::<RawMutex>("raw_sync", Workers::Processes))
            .with(together::<parking_lot::Mutex<u64>>("parking_lot threads", Workers::Threads))
            .with(together::<Mutex<u64>>("std threads", Workers::Threads))
            .with(python("lock"))
    };
    vec![
        Row::new("lock-alone", "Lock, uncontended", Placement::Alone)
            .with(alone::<Locked>(OURS))
            .with(alone::<Mutex<u64>>("std Mutex"))
            .with(alone::<parking_lot::Mutex<u64>>("parking_lot"))
            .with(alone::<PthreadShared>("pthread shared"))
            .with(alone::<PthreadRobust>("pthread robust"))
            .with(alone::<RawMutex>("raw_sync"))
            .with(semaphore())
            .with(python("lock"))
            .goal(1.05, "std Mutex"),
        contended("lock-apart", "Lock, 2 processes pinned apart", Placement::Apart(2))
            .goal(0.65, "pthread shared"),
        contended("lock-crowd", "Lock, 8 processes on 2 cores", Placement::Apart(8))
            .goal(0.45, "pthread shared"),
    ]
}

fn alone<L: Counted>(name: &'static str) -> Box<dyn Contender> {
    solo(name, L::new, |lock, ops| lock.add(ops), |lock, total| same("counter", total, lock.total()?))
}

fn together<L: Counted>(name: &'static str, workers: Workers) -> Box<dyn Contender> {
    crew(
        name,
        workers,
        Share::Split,
        |_| L::new(),
        |lock, _, ops| lock.add(ops),
        |lock: &L, total| same("counter", total, lock.total()?),
    )
}

fn semaphore() -> Box<dyn Contender> {
    solo(
        "sem_t",
        || Semaphore::new(1),
        |lock, ops| (0..ops).try_for_each(|_| lock.add_one()),
        |lock, total| same("counter", total, lock.state()?.0),
    )
}

impl Counted for Mutex<u64> {
    fn new() -> Result<Self, Failure> {
        Ok(Self::new(0))
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        for _ in 0..times {
            *held(self) += 1;
        }
        Ok(())
    }

    fn total(&self) -> Result<u64, Failure> {
        Ok(*held(self))
    }
}

impl Counted for parking_lot::Mutex<u64> {
    fn new() -> Result<Self, Failure> {
        Ok(Self::new(0))
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        for _ in 0..times {
            *self.lock() += 1;
        }
        Ok(())
    }

    fn total(&self) -> Result<u64, Failure> {
        Ok(*self.lock())
    }
}

struct PthreadShared(pthread::Mutex<u64>);

impl Counted for PthreadShared {
    fn new() -> Result<Self, Failure> {
        pthread::Mutex::new(Kind::Shared).map(Self)
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        (0..times).try_for_each(|_| self.0.lock().map(|mut held| *held += 1))
    }

    fn total(&self) -> Result<u64, Failure> {
        Ok(*self.0.lock()?)
    }
}

struct PthreadRobust(pthread::Mutex<u64>);

impl Counted for PthreadRobust {
    fn new() -> Result<Self, Failure> {
        pthread::Mutex::new(Kind::Robust).map(Self)
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        (0..times).try_for_each(|_| self.0.lock().map(|mut held| *held += 1))
    }

    fn total(&self) -> Result<u64, Failure> {
        Ok(*self.0.lock()?)
    }
}

impl Counted for RawMutex {
    fn new() -> Result<Self, Failure> {
        Self::new()
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        (0..times).try_for_each(|_| self.add_one())
    }

    fn total(&self) -> Result<u64, Failure> {
        self.total()
    }
}
