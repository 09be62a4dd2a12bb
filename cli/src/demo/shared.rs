//! The objects that parent and workers share.

use procshare::{AtomicArray, AtomicValue, Handle, Lifetime, Result, SharedMemory, Space, Value};
use serde::{Deserialize, Serialize};

use super::files::Listed;
use super::tally::{Counts, Tally};
use crate::random;

/// What a file's state is; any other number is a claim.
const FREE: u32 = 0;
const COUNTED: u32 = u32::MAX;
const SKIPPED: u32 = u32::MAX - 1;

/// The objects' names, behind what they have in common.
const TALLY: &str = "tally";
const STATES: &str = "states";
const NEXT: &str = "next";
const HOLD: &str = "hold";
const LIST: &str = "list";

/// The objects, attached.
pub(super) struct Shared {
    tally: Value<Tally>,
    states: AtomicArray<u32>,
    next: AtomicValue<u64>,
    /// Whether the last file waits: until somebody was killed, if somebody shall be.
    hold: AtomicValue<bool>,
    list: SharedMemory,
    /// What the objects' names begin with, where they are to be removed in the end.
    made: Option<String>,
}

/// The objects as they travel.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    tally: Handle<Value<Tally>>,
    states: Handle<AtomicArray<u32>>,
    next: Handle<AtomicValue<u64>>,
    hold: Handle<AtomicValue<bool>>,
    list: Handle<SharedMemory>,
}

impl Shared {
    /// Makes the objects, under names that `procshare ls` shows. They are scoped: should this process be killed, they go with
    /// the workers.
    pub(super) fn new(files: &[Listed], hold: bool) -> anyhow::Result<Self> {
        let list = serde_json::to_vec(files)?;
        let made = format!("demo-{}-{:06x}", std::process::id(), random::seed());
        let name = |part: &str| format!("{made}-{part}");
        let scoped = Lifetime::Scoped;
        let shared = Shared {
            tally: Value::builder().lifetime(scoped).create(&name(TALLY), Tally::zero())?,
            states: AtomicArray::builder().lifetime(scoped).create(&name(STATES), vec![FREE; files.len()])?,
            next: AtomicValue::builder().lifetime(scoped).create(&name(NEXT), 0)?,
            hold: AtomicValue::builder().lifetime(scoped).create(&name(HOLD), hold)?,
            list: SharedMemory::builder().lifetime(scoped).create(&name(LIST), list.len())?,
            made: Some(made),
        };
        shared.list.write(0, &list)?;
        Ok(shared)
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            tally: self.tally.handle(),
            states: self.states.handle(),
            next: self.next.handle(),
            hold: self.hold.handle(),
            list: self.list.handle(),
        }
    }

    pub(super) fn attach(plan: &Plan) -> Result<Self> {
        Ok(Shared {
            tally: plan.tally.attach()?,
            states: plan.states.attach()?,
            next: plan.next.attach()?,
            hold: plan.hold.attach()?,
            list: plan.list.attach()?,
            made: None,
        })
    }

    /// The list of files.
    pub(super) fn files(&self) -> serde_json::Result<Vec<Listed>> {
        serde_json::from_slice(&self.list.to_vec())
    }

    /// The next file that nobody was sent to yet.
    pub(super) fn next(&self) -> Result<usize> {
        Ok(usize::try_from(self.next.fetch_add(1)?).unwrap_or(usize::MAX))
    }

    /// Whether any file was taken.
    pub(super) fn has_begun(&self) -> bool {
        self.next.load() > 0
    }

    /// Claims a file for a worker, if it is free.
    pub(super) fn claim(&self, worker: usize, file: usize) -> Result<bool> {
        Ok(self.states.compare_exchange(file, FREE, claim_of(worker))?.is_ok())
    }

    /// Commits the counts of a file that the worker has claimed, and gives the claim up. Says `false`, and does nothing, if
    /// the file is the last and must wait until somebody was killed.
    pub(super) fn commit(&self, worker: usize, file: usize, counts: &Counts) -> Result<bool> {
        let files = self.states.len() as u64;
        let committed = self.tally.update(|tally| {
            // Asked under the value's lock: two workers cannot both take the other's file for the last one.
            let held = self.hold.load() && tally.counts.done() + 1 == files;
            if !held {
                tally.commit(worker, file, counts);
            }
            !held
        })?;
        if committed {
            self.states.set(file, if counts.skipped > 0 { SKIPPED } else { COUNTED })?;
        }
        Ok(committed)
    }

    /// Settles what a dead worker had claimed: done if it was committed, else free again.
    pub(super) fn settle(&self, worker: usize) -> Result<()> {
        let last = self.tally.get()?.last_of(worker);
        for (file, state) in self.states.iter().enumerate() {
            if state == claim_of(worker) {
                let settled = match last {
                    Some((committed, true)) if committed == file => SKIPPED,
                    Some((committed, false)) if committed == file => COUNTED,
                    _ => FREE,
                };
                self.states.set(file, settled)?;
            }
        }
        Ok(())
    }

    /// The sums so far.
    pub(super) fn counts(&self) -> Result<Counts> {
        Ok(self.tally.get()?.counts)
    }

    /// The skipped files.
    pub(super) fn skipped(&self) -> Vec<usize> {
        self.states.iter().enumerate().filter(|&(_, state)| state == SKIPPED).map(|(file, _)| file).collect()
    }

    /// Lets the last file pass.
    pub(super) fn let_go(&self) -> Result<()> {
        self.hold.store(false)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Handles pin scoped objects until this process ends, and then there is nobody to take the names away.
        if let (Some(made), Ok(space)) = (&self.made, Space::default_space()) {
            for part in [TALLY, STATES, NEXT, HOLD, LIST] {
                let _ = space.unlink(&format!("{made}-{part}"));
            }
        }
    }
}

fn claim_of(worker: usize) -> u32 {
    worker as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_files() -> Shared {
        let file = Listed { path: "x".into(), limit: 1 };
        Shared::new(&[file.clone(), file.clone(), file], false).unwrap()
    }

    #[test]
    fn what_the_dead_had_claimed_is_done_if_committed_and_free_if_not() {
        let shared = three_files();
        let one = Counts { files: 1, bytes: 5, ..Counts::zero() };
        // Killed between claim and commit.
        assert!(shared.claim(0, 0).unwrap());
        assert!(!shared.claim(1, 0).unwrap());
        shared.settle(0).unwrap();
        assert!(shared.claim(1, 0).unwrap());
        assert!(shared.commit(1, 0, &one).unwrap());
        // Killed between commit and giving the claim up.
        assert!(shared.claim(1, 1).unwrap());
        shared.tally.update(|tally| tally.commit(1, 1, &Counts::skipped())).unwrap();
        shared.settle(1).unwrap();
        assert!(!shared.claim(0, 1).unwrap());
        assert_eq!(shared.skipped(), [1]);
        assert_eq!((shared.counts().unwrap().bytes, shared.counts().unwrap().done()), (5, 2));
    }

    #[test]
    fn only_the_last_commit_is_held() {
        let file = Listed { path: "x".into(), limit: 1 };
        let shared = Shared::new(&[file.clone(), file], true).unwrap();
        assert!(shared.claim(0, 0).unwrap() && shared.claim(1, 1).unwrap());
        assert!(shared.commit(0, 0, &Counts::skipped()).unwrap());
        assert!(!shared.commit(1, 1, &Counts::skipped()).unwrap());
        assert_eq!(shared.counts().unwrap().done(), 1);
        shared.let_go().unwrap();
        assert!(shared.commit(1, 1, &Counts::skipped()).unwrap());
        assert_eq!(shared.skipped(), [0, 1]);
    }
}
