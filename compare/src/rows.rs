//! The rows of the comparison, one file for each object.

pub mod array;
pub mod barrier;
pub mod condition;
pub mod event;
pub mod lock;
pub mod manager;
pub mod memory;
mod ours;
pub mod process;
pub mod queue;
pub mod raw;
pub mod rlock;
pub mod segment;
pub mod semaphore;
pub mod value;
pub mod wakeup;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::row::Row;

/// Locks std's mutex; a panicked holder fails its batch anyway.
#[inline]
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    [
        lock::rows(),
        rlock::rows(),
        semaphore::rows(),
        event::rows(),
        condition::rows(),
        barrier::rows(),
        wakeup::rows(),
        value::rows(),
        array::rows(),
        queue::rows(),
        segment::rows(),
        memory::rows(),
        process::rows(),
        manager::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::row::OURS;

    #[test]
    fn ids_and_names_are_unique() {
        let rows = all();
        let ids: HashSet<_> = rows.iter().map(|row| &row.id).collect();
        assert_eq!(ids.len(), rows.len());
        for row in &rows {
            let names: HashSet<_> = row.contenders.iter().map(|one| one.name()).collect();
            assert_eq!(names.len(), row.contenders.len(), "{}", row.id);
        }
    }

    #[test]
    fn every_goal_names_a_peer_that_runs_and_judges_us() {
        for row in all() {
            assert!(!row.goals.is_empty(), "{} has no goal", row.id);
            for goal in &row.goals {
                assert!(goal.ours.starts_with(OURS), "{}", row.id);
                assert!(
                    row.contenders.iter().any(|one| one.name() == goal.peer),
                    "{}: {}",
                    row.id,
                    goal.peer
                );
            }
        }
    }
}
