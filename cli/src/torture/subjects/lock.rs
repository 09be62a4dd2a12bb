//! `Lock`: one owner at a time, and whoever comes after a dead one is told.

use procshare::{AtomicArray, Handle, Lifetime, Lock, Space};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn};

pub(in crate::torture) struct LockSubject {
    lock: Lock,
    ledger: AtomicArray<u64>,
}

impl Stage for LockSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let lock = Lock::builder().space(space).lifetime(Lifetime::Scoped).anonymous()?;
        Ok(LockSubject { lock, ledger: ledger(space, Sanctum::LEN)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (lock, ledger): (Handle<Lock>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(LockSubject { lock: lock.attach()?, ledger: ledger.attach()? })
    }
}

impl Subject for LockSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.lock, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let way = if actor.is_probe() { 0 } else { actor.choose(4) };
        let (guard, told) = outcome(match way {
            0 | 1 => self.lock.lock(),
            2 => self.lock.try_lock(),
            _ => self.lock.lock_timeout(actor.patience()),
        })?;
        Sanctum::new(&self.ledger, 0).visit(actor, told, || {
            guard.make_consistent();
            Ok(())
        })
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (guard, told) = outcome(self.lock.try_lock())?;
        Sanctum::new(&self.ledger, 0).check(calm, told)?;
        guard.make_consistent();
        check_told(calm)
    }
}
