//! A semaphore of four permits: take one, give it back.

use crate::contender::solo;
use crate::failure::same;
use crate::pthread::Semaphore;
use crate::python::python;
use crate::row::{Placement, Row};

const PERMITS: u32 = 4;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
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
            .with(sem_t)
            .with(python("semaphore"))
            .goal(1.0, "sem_t")
            .goal_of("procshare counting", 0.8, "sem_t"),
    ]
}
