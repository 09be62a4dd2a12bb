//! A condition nobody waits for: lock, change, notify one, unlock.

use std::cell::Cell;

use super::held;
use super::ours::refused;
use crate::contender::solo;
use crate::failure::same;
use crate::python::python;
use crate::row::{OURS, Placement, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let ours = solo(
        OURS,
        || Ok((procshare::Condition::anonymous().map_err(refused)?, Cell::new(0_u64), 0_u64)),
        |(condition, counter, woken), ops| {
            let mut somebody = 0;
            for _ in 0..ops {
                let _held = condition.lock().map_err(refused)?;
                counter.set(counter.get() + 1);
                somebody += u64::from(condition.notify_one().map_err(refused)?);
            }
            *woken += somebody;
            Ok(())
        },
        |(_, counter, woken), total| {
            same("counter", total, counter.get())?;
            same("waiters woken", 0, *woken)
        },
    );
    let parking_lot = solo(
        "parking_lot",
        || Ok((parking_lot::Mutex::new(0_u64), parking_lot::Condvar::new(), 0_u64)),
        |(lock, condition, woken), ops| {
            let mut somebody = 0;
            for _ in 0..ops {
                let mut counter = lock.lock();
                *counter += 1;
                somebody += u64::from(condition.notify_one());
            }
            *woken += somebody;
            Ok(())
        },
        |(lock, _, woken), total| {
            same("counter", total, *lock.lock())?;
            same("waiters woken", 0, *woken)
        },
    );
    let std = solo(
        "std",
        || Ok((std::sync::Mutex::new(0_u64), std::sync::Condvar::new())),
        |(lock, condition), ops| {
            for _ in 0..ops {
                let mut counter = held(lock);
                *counter += 1;
                condition.notify_one();
            }
            Ok(())
        },
        |(lock, _), total| same("counter", total, *held(lock)),
    );
    vec![
        Row::new("condition", "Condition: lock and notify, nobody waits", Placement::Alone)
            .with(ours)
            .with(parking_lot)
            .with(std)
            .with(python("condition"))
            .goal(1.1, "parking_lot"),
    ]
}
