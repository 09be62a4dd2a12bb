//! The proxies' path: files and sums in a manager, and every step a transaction.
//!
//! | object | holds | changes |
//! |---|---|---|
//! | `files` | a [`List`] of the files that nobody has | a worker takes the first one into its hands; the parent puts back what the dead had |
//! | `hands N` | a [`List`] with the file that worker N has, or none | with `files`, and with `tally` |
//! | `tally` | a [`Dict`] of sums by name | a worker adds a file's counts and empties its hands in one step |
//! | `skipped` | a [`List`] of files that cannot be read | with `tally` |
//! | `over` | an [`Event`]: nothing comes any more | the parent sets it |
//!
//! A worker that dies has at most one file in its hands; then it was not added, and goes back. What it sent before its death may
//! arrive later than that: it depends on the version of its hands, which have changed then, and is refused.

use std::collections::HashMap;

use anyhow::{Context, Result};
use procshare::manager::{Address, Dict, Event, List, Manager, ManagerProcess, ManagerResult, Transaction};
use procshare::process::Process;

use super::crew::{Work, Worker};
use super::files::Listed;
use super::tally::{self, Counts};
use super::worker::work_by_proxy;

/// How many files are sent at once.
const PAGE: usize = 1000;

/// A file and its number.
type Numbered = (u64, Listed);

/// The objects, as a process sees them.
struct Desk {
    files: List<Numbered>,
    tally: Dict<String, u64>,
    skipped: List<u64>,
    over: Event,
}

impl Desk {
    fn open(manager: &Manager) -> ManagerResult<Self> {
        Ok(Desk {
            files: List::open_or_create(manager, "files")?,
            tally: Dict::open_or_create(manager, "tally")?,
            skipped: List::open_or_create(manager, "skipped")?,
            over: Event::open_or_create(manager, "over")?,
        })
    }

    /// What a worker has in its hands.
    fn hands(manager: &Manager, seat: usize) -> ManagerResult<List<Numbered>> {
        List::open_or_create(manager, &format!("hands {seat}"))
    }

    /// Moves the first file, if there is one, to these hands.
    fn take(&self, manager: &Manager, hands: &List<Numbered>) -> ManagerResult<Option<Numbered>> {
        manager.transaction(|plan| self.plan_to_take(plan, hands))
    }

    fn plan_to_take(
        &self,
        plan: &mut Transaction<'_>,
        hands: &List<Numbered>,
    ) -> ManagerResult<Option<Numbered>> {
        // Depends on the hands, so that it fails once somebody has settled them.
        plan.read(hands.calls().len()?)?;
        let first = plan.read(self.files.calls().get(0)?)?;
        if let Some(file) = &first {
            plan.write(self.files.calls().pop_front()?)?;
            plan.write(hands.calls().push(file)?)?;
        }
        Ok(first)
    }

    /// Adds the counts of the file in these hands, unless it was taken out of them.
    fn commit(
        &self,
        manager: &Manager,
        hands: &List<Numbered>,
        number: u64,
        counts: &Counts,
    ) -> ManagerResult<()> {
        manager.transaction(|plan| self.plan_to_commit(plan, hands, number, counts))
    }

    fn plan_to_commit(
        &self,
        plan: &mut Transaction<'_>,
        hands: &List<Numbered>,
        number: u64,
        counts: &Counts,
    ) -> ManagerResult<()> {
        if plan.read(hands.calls().len()?)? == 0 {
            return Ok(());
        }
        plan.write(hands.calls().clear()?)?;
        for (name, count) in counts.named() {
            plan.write(self.tally.calls().add(&name, &count)?)?;
        }
        if counts.skipped > 0 {
            plan.write(self.skipped.calls().push(&number)?)?;
        }
        Ok(())
    }

    /// Puts what is in these hands back in front of all others. From now on their owner's calls that are under way fail.
    fn put_back(&self, manager: &Manager, hands: &List<Numbered>) -> ManagerResult<()> {
        manager.transaction(|plan| {
            if let Some(file) = plan.read(hands.calls().get(0)?)? {
                plan.write(self.files.calls().push_front(&file)?)?;
            }
            // A change in any case: clearing is one, even if there is nothing.
            plan.write(hands.calls().clear()?)
        })
    }
}

/// Takes files and counts them, as the worker of a seat, until all are taken; then waits for the end.
pub(super) fn work(seat: usize, address: &Address) -> ManagerResult<()> {
    let manager = Manager::connect(address)?;
    let (desk, hands) = (Desk::open(&manager)?, Desk::hands(&manager, seat)?);
    while let Some((number, file)) = desk.take(&manager, &hands)? {
        let counts = tally::count(&file.path, file.limit).unwrap_or_else(|_| Counts::skipped());
        desk.commit(&manager, &hands, number, &counts)?;
    }
    // What comes back from the dead is for those who are started in their place.
    desk.over.wait()?;
    Ok(())
}

/// The parent's side: a manager of its own, which ends with it.
pub(super) struct ProxyPath {
    manager: ManagerProcess,
    desk: Desk,
    workers: usize,
    files: u64,
    /// The last file, kept back until somebody was killed, if somebody shall be.
    held: Option<Numbered>,
}

impl ProxyPath {
    pub(super) fn new(files: &[Listed], workers: usize, hold: bool) -> Result<Self> {
        let manager = Manager::start().context("cannot start a manager")?;
        let desk = Desk::open(&manager)?;
        let mut numbered: Vec<Numbered> = (0..).zip(files.iter().cloned()).collect();
        let held = if hold { numbered.pop() } else { None };
        for page in numbered.chunks(PAGE) {
            desk.files.extend(page)?;
        }
        Ok(ProxyPath { manager, desk, workers, files: files.len() as u64, held })
    }
}

impl Work for ProxyPath {
    fn seats(&self) -> usize {
        self.workers
    }

    fn start(&self, seat: usize) -> Result<Worker> {
        let started = Process::start::<work_by_proxy>((seat, self.manager.address().to_string()));
        started.with_context(|| format!("cannot start worker {seat} of the manager"))
    }

    fn has_begun(&self) -> Result<bool> {
        let there = self.files - u64::from(self.held.is_some());
        Ok(there == 0 || self.desk.files.len()? < there || !self.desk.tally.is_empty()?)
    }

    fn settle(&self, seat: usize) -> Result<()> {
        Ok(self.desk.put_back(&self.manager, &Desk::hands(&self.manager, seat)?)?)
    }

    fn let_go(&mut self) -> Result<()> {
        if let Some(file) = self.held.take() {
            self.desk.files.push(&file)?;
        }
        Ok(())
    }

    fn is_done(&self) -> Result<bool> {
        let calls = ["files", "skipped"].map(|name| self.desk.tally.calls().get(name));
        let mut done = 0;
        for count in self.manager.batch(calls.into_iter().collect::<ManagerResult<_>>()?)? {
            done += count?.unwrap_or(0);
        }
        if done == self.files {
            self.desk.over.set()?;
        }
        Ok(done == self.files)
    }

    fn sums(&self) -> Result<(Counts, Vec<usize>)> {
        let named: HashMap<String, u64> = self.desk.tally.snapshot()?.into_iter().collect();
        let mut skipped: Vec<usize> =
            self.desk.skipped.snapshot()?.into_iter().map(|number| number as usize).collect();
        skipped.sort_unstable();
        Ok((Counts::from_named(|name| named.get(name).copied().unwrap_or(0)), skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server in this process: nobody's task is to be found in a unit test's program.
    fn desk(name: &str, test: impl FnOnce(&Manager, &Desk)) {
        let path = std::env::temp_dir().join(format!("procshare-demo-{name}-{}", std::process::id()));
        let address = Address::Unix(path);
        let server = procshare::manager::Server::bind(&address).unwrap();
        let handle = server.handle();
        let running = std::thread::spawn(move || server.run());
        let manager = Manager::connect(&address).unwrap();
        test(&manager, &Desk::open(&manager).unwrap());
        handle.shutdown();
        running.join().unwrap().unwrap();
    }

    #[test]
    fn what_the_dead_sent_before_they_were_settled_is_refused_after_it() {
        desk("late", |manager, desk| {
            let hands = Desk::hands(manager, 0).unwrap();
            desk.files.push(&(3, Listed { path: "x".into(), limit: 1 })).unwrap();
            // Settled between a worker's look and its change: what it planned fails.
            let (mut takes, mut commits) = (0, 0);
            let taken = manager.transaction(|plan| {
                takes += 1;
                let first = desk.plan_to_take(plan, &hands)?;
                if takes == 1 {
                    desk.put_back(manager, &hands)?;
                }
                Ok(first)
            });
            assert_eq!((taken.unwrap().map(|file| file.0), takes), (Some(3), 2));
            let one = Counts { files: 1, bytes: 5, ..Counts::zero() };
            let committed = manager.transaction(|plan| {
                commits += 1;
                desk.plan_to_commit(plan, &hands, 3, &one)?;
                if commits == 1 {
                    desk.put_back(manager, &hands)?;
                }
                Ok(())
            });
            assert_eq!((committed.is_ok(), commits), (true, 2));
            assert_eq!((desk.files.len().unwrap(), desk.tally.len().unwrap()), (1, 0));
        });
    }

    #[test]
    fn a_file_is_nobodys_in_somebodys_hands_or_counted_once() {
        desk("hands", |manager, desk| {
            let (dead, other) = (Desk::hands(manager, 0).unwrap(), Desk::hands(manager, 1).unwrap());
            desk.files.push(&(7, Listed { path: "x".into(), limit: 1 })).unwrap();
            assert_eq!(desk.take(manager, &dead).unwrap().unwrap().0, 7);
            assert!(desk.take(manager, &other).unwrap().is_none());
            desk.put_back(manager, &dead).unwrap();
            assert_eq!(desk.take(manager, &other).unwrap().unwrap().0, 7);
            // Too late: it is in other hands.
            let one = Counts { files: 1, bytes: 5, ..Counts::zero() };
            desk.commit(manager, &dead, 7, &one).unwrap();
            assert!(desk.tally.is_empty().unwrap());
            desk.commit(manager, &other, 7, &Counts::skipped()).unwrap();
            desk.commit(manager, &other, 7, &Counts::skipped()).unwrap();
            assert_eq!(desk.tally.snapshot().unwrap(), [("skipped".to_owned(), 1)]);
            assert_eq!(desk.skipped.snapshot().unwrap(), [7]);
        });
    }
}
