//! `Once`: one does it, nobody twice, and whoever comes after a dead one is told.

use std::cell::RefCell;
use std::path::PathBuf;

use procshare::{AtomicArray, Handle, Once, OnceState, Space};

use super::ledger;
use super::sanctum::{Sanctum, check_told};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

/// How many were done: the number of the next one.
const DONE: usize = Sanctum::LEN;
/// How many were removed since.
const REMOVED: usize = DONE + 1;

pub(in crate::torture) struct OnceSubject {
    space: Space,
    ledger: AtomicArray<u64>,
}

thread_local! {
    /// The last one that this thread used, and its number.
    static LAST: RefCell<Option<(u64, Once)>> = const { RefCell::new(None) };
}

impl Stage for OnceSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        Ok(OnceSubject { space: space.clone(), ledger: ledger(space, REMOVED + 1)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (directory, ledger): (PathBuf, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(OnceSubject { space: Space::at(directory).open()?, ledger: ledger.attach()? })
    }
}

fn name(number: u64) -> String {
    format!("once-{number}")
}

impl OnceSubject {
    fn number(&self, number: u64) -> procshare::Result<Once> {
        LAST.with_borrow_mut(|last| match last {
            Some((known, once)) if *known == number => Ok(once.clone()),
            _ => {
                let once = Once::builder().space(&self.space).open_or_create(&name(number))?;
                *last = Some((number, once.clone()));
                Ok(once)
            }
        })
    }

    /// What is done once.
    fn act(&self, actor: &mut Actor, number: u64, state: &OnceState) -> Turn {
        let told = state.predecessor().is_some();
        actor.granted()?;
        let sanctum = Sanctum::new(&self.ledger, 0);
        sanctum.enter(actor, told)?;
        if told {
            actor.told()?;
        } else if self.ledger.get(DONE)? != number {
            broken!("number {number} is done a second time");
        }
        sanctum.work(actor, told)?;
        sanctum.leave(actor)?;
        Ok(self.ledger.set(DONE, number + 1)?)
    }
}

impl Subject for OnceSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(self.space.directory(), &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let number = self.ledger.get(DONE)?;
        let once = self.number(number)?;
        let mut acted = Ok(());
        let called = once.call_once(|state| acted = self.act(actor, number, state));
        acted?;
        if called? {
            return actor.done();
        }
        actor.granted()?;
        if self.ledger.get(DONE)? <= number {
            broken!("number {number} is said to be done, and nobody has done it");
        }
        Ok(())
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        Sanctum::new(&self.ledger, 0).check(calm, true)?;
        check_told(calm)?;
        let done = self.ledger.get(DONE)?;
        for number in self.ledger.swap(REMOVED, done)?..done {
            Once::builder().space(&self.space).unlink(&name(number))?;
        }
        calm.count("actions", done)
    }
}
