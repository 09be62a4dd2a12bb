//! A semaphore of four permits: take one, give it back.

use std::cell::Cell;

use super::ours::refused;
use crate::contender::solo;
use crate::failure::same;
use crate::pthread::Semaphore;
use crate::python::python;
use crate::row::{OURS, Placement, Row};

const PERMITS: u32 = 4;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let ours = solo(
        OURS,
        || Ok((procshare::Semaphore::anonymous(PERMITS).map_err(refused)?, Cell::new(0_u64))),
        |(semaphore, counter), ops| {
            for _ in 0..ops {
                let _permit = semaphore.acquire().map_err(refused)?;
                counter.set(counter.get() + 1);
            }
            Ok(())
        },
        |(semaphore, counter), total| {
            same("counter", total, counter.get())?;
            same("permits left", PERMITS.into(), semaphore.available().into())
        },
    );
    let sem_t = solo(
        "sem_t",
        || Semaphore::new(PERMITS),
        |semaphore, ops| (0..ops).try_for_each(|_| semaphore.add_one()),
        |semaphore, total| {
            let (counter, permits) = semaphore.state()?;
            same("counter", total, counter)?;
            same("permits left", PERMITS.into(), permits)
        },
    );
    vec![
        Row::new("semaphore", "Semaphore: acquire and release", Placement::Alone)
            .with(ours)
            .with(sem_t)
            .with(python("semaphore"))
            .goal(1.0, "sem_t")
            .goal_of("procshare counting", 0.8, "sem_t"),
    ]
}
