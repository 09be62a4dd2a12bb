//! `LockArray`: many locks, each by itself.

use procshare::{AtomicArray, Handle, Lifetime, LockArray, Space};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn};

/// Those that are fought for, spread over more than one page.
const FOUGHT_FOR: [usize; 3] = [0, 1, 999];
const LEN: usize = 1_000;

pub(in crate::torture) struct LockArraySubject {
    locks: LockArray,
    ledger: AtomicArray<u64>,
}

impl Stage for LockArraySubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let locks = LockArray::builder().space(space).lifetime(Lifetime::Scoped).anonymous(LEN)?;
        Ok(LockArraySubject { locks, ledger: ledger(space, FOUGHT_FOR.len() * Sanctum::LEN)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (locks, ledger): (Handle<LockArray>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(LockArraySubject { locks: locks.attach()?, ledger: ledger.attach()? })
    }
}

impl LockArraySubject {
    fn sanctum(&self, which: usize) -> Sanctum<'_> {
        Sanctum::new(&self.ledger, which * Sanctum::LEN)
    }
}

impl Subject for LockArraySubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.locks, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let which = actor.choose(FOUGHT_FOR.len() as u64) as usize;
        let lock = self.locks.at(FOUGHT_FOR[which])?;
        let (guard, told) = outcome(match actor.below(4) {
            0 if !actor.is_probe() => lock.try_lock(),
            1 if !actor.is_probe() => lock.lock_timeout(actor.patience()),
            _ => lock.lock(),
        })?;
        self.sanctum(which).visit(actor, told, || {
            guard.make_consistent();
            Ok(())
        })
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        for (which, &index) in FOUGHT_FOR.iter().enumerate() {
            let (guard, told) = outcome(self.locks.try_lock(index))?;
            self.sanctum(which).check(calm, told)?;
            guard.make_consistent();
        }
        check_told(calm)
    }
}
