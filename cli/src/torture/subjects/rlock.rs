//! `RLock`: as `Lock`, and nobody inherits a dead owner's depth.

use procshare::{AtomicArray, Handle, Lifetime, RLock, Space};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

pub(in crate::torture) struct RLockSubject {
    lock: RLock,
    ledger: AtomicArray<u64>,
}

impl Stage for RLockSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let lock = RLock::builder().space(space).lifetime(Lifetime::Scoped).anonymous()?;
        Ok(RLockSubject { lock, ledger: ledger(space, Sanctum::LEN)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (lock, ledger): (Handle<RLock>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(RLockSubject { lock: lock.attach()?, ledger: ledger.attach()? })
    }
}

impl Subject for RLockSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.lock, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let way = if actor.is_probe() { 0 } else { actor.choose(3) };
        let (guard, told) = outcome(match way {
            0 => self.lock.lock(),
            1 => self.lock.try_lock(),
            _ => self.lock.lock_timeout(actor.patience()),
        })?;
        if self.lock.depth() != 1 {
            broken!("the first level is level {}", self.lock.depth());
        }
        let sanctum = Sanctum::new(&self.ledger, 0);
        sanctum.visit(actor, told, || {
            guard.make_consistent();
            Ok(())
        })?;
        // Again from inside: never waits, and the way out is as long as the way in.
        let (again, told) = outcome(self.lock.try_lock())?;
        if self.lock.depth() != 2 {
            broken!("the second level is level {}", self.lock.depth());
        }
        sanctum.visit(actor, told, || broken!("told of its own death"))?;
        drop(again);
        if self.lock.depth() != 1 {
            broken!("level {} is left after the second was", self.lock.depth());
        }
        Ok(())
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (guard, told) = outcome(self.lock.try_lock())?;
        Sanctum::new(&self.ledger, 0).check(calm, told)?;
        guard.make_consistent();
        check_told(calm)
    }
}
