//! A re-entrant lock: lock, lock again, add one, unlock, unlock.

use std::cell::Cell;

use parking_lot::ReentrantMutex;
use procshare::RLock;

use super::ours::refused;
use crate::contender::solo;
use crate::failure::same;
use crate::pthread::{Kind, Mutex};
use crate::python::python;
use crate::row::{OURS, Placement, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let ours = solo(
        OURS,
        || Ok((RLock::anonymous().map_err(refused)?, Cell::new(0_u64))),
        |(lock, counter), ops| {
            for _ in 0..ops {
                let outer = lock.lock().map_err(refused)?;
                let inner = lock.lock().map_err(refused)?;
                counter.set(counter.get() + 1);
                drop((inner, outer));
            }
            Ok(())
        },
        |(lock, counter), total| {
            same("counter", total, counter.get())?;
            same("depth at the end", 0, lock.depth().into())
        },
    );
    let parking_lot = solo(
        "parking_lot",
        || Ok(ReentrantMutex::new(Cell::new(0_u64))),
        |lock, ops| {
            for _ in 0..ops {
                let outer = lock.lock();
                let inner = lock.lock();
                inner.set(inner.get() + 1);
                drop((inner, outer));
            }
            Ok(())
        },
        |lock, total| same("counter", total, lock.lock().get()),
    );
    let pthread = solo(
        "pthread recursive robust",
        || Mutex::new(Kind::RobustRecursive),
        |lock, ops| (0..ops).try_for_each(|_| lock.add_one_twice_locked()),
        |lock, total| same("counter", total, *lock.lock()?),
    );
    vec![
        Row::new("rlock", "RLock: lock, lock, unlock, unlock", Placement::Alone)
            .with(ours)
            .with(parking_lot)
            .with(pthread)
            .with(python("rlock"))
            .goal(1.05, "parking_lot"),
    ]
}
