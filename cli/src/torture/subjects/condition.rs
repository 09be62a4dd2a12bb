//! `Condition`: its lock is a lock, and the dead eat no notification.

use procshare::{AtomicArray, Condition, Handle, Lifetime, LockError, LockGuard, Space};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// How many were woken by a notification, and how many were notified, since the last check.
const WOKEN: usize = Sanctum::LEN;
const NOTIFIED: usize = Sanctum::LEN + 1;

pub(in crate::torture) struct ConditionSubject {
    condition: Condition,
    ledger: AtomicArray<u64>,
}

impl Stage for ConditionSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let condition = Condition::builder().space(space).lifetime(Lifetime::Scoped).anonymous()?;
        Ok(ConditionSubject { condition, ledger: ledger(space, Sanctum::LEN + 2)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (condition, ledger): (Handle<Condition>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(ConditionSubject { condition: condition.attach()?, ledger: ledger.attach()? })
    }
}

impl ConditionSubject {
    /// Works inside, with the lock held.
    fn visit(&self, actor: &mut Actor, guard: &LockGuard<'_>, told: bool) -> Turn {
        Sanctum::new(&self.ledger, 0).visit(actor, told, || {
            // Whoever died may have been about to notify.
            self.notify(u32::MAX)?;
            guard.make_consistent();
            Ok(())
        })
    }

    /// Notifies with the lock held.
    fn notify(&self, count: u32) -> Turn {
        let notified = self.condition.notify(count)?;
        self.ledger.add(NOTIFIED, u64::from(notified))?;
        Ok(())
    }

    fn wait(&self, actor: &mut Actor) -> Turn {
        let (guard, told) = outcome(self.condition.lock())?;
        self.visit(actor, &guard, told)?;
        match self.condition.wait_timeout(guard, actor.patience()) {
            Ok((_, result)) if result.timed_out() => Err(Stop::Again),
            Ok((guard, _)) => {
                self.ledger.add(WOKEN, 1)?;
                self.visit(actor, &guard, false)
            }
            Err(LockError::OwnerDied(died)) => self.visit(actor, &died.into_guard(), true),
            Err(error) => Err(error.into()),
        }
    }

    /// A probe: the holder either has the lock, or is the first to be notified.
    fn probe(&self, actor: &mut Actor) -> Turn {
        let (guard, told) = outcome(self.condition.lock())?;
        if actor.choose(2) == 0 {
            return self.visit(actor, &guard, told);
        }
        actor.announce()?;
        // The lock stays clean, as nobody dies with it.
        let _guard = self.condition.wait(guard)?;
        actor.granted()?;
        self.ledger.add(WOKEN, 1)?;
        self.notify(1)
    }
}

impl Subject for ConditionSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.condition, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.probe(actor);
        }
        let count = match actor.choose(5) {
            0 | 1 => return self.wait(actor),
            2 | 3 => 1,
            _ => u32::MAX,
        };
        let (guard, told) = outcome(self.condition.lock())?;
        self.visit(actor, &guard, told)?;
        self.notify(count)
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (guard, told) = outcome(self.condition.try_lock())?;
        Sanctum::new(&self.ledger, 0).check(calm, told)?;
        guard.make_consistent();
        // Between a notification and its entry in the ledger there is a moment to die in.
        let (woken, notified) = (self.ledger.swap(WOKEN, 0)?, self.ledger.swap(NOTIFIED, 0)?);
        let unrecorded = calm.fresh_deaths * calm.board.rows() as u64;
        if woken > notified + unrecorded {
            broken!("{woken} were woken, {notified} notified, {} died", calm.fresh_deaths);
        }
        if self.condition.notify_all()? != 0 {
            broken!("somebody waits who is not there");
        }
        check_told(calm)
    }

    fn part(&self) -> Turn {
        self.ledger.add(NOTIFIED, u64::from(self.condition.notify_all()?))?;
        Ok(())
    }

    fn aftermath(&self, variant: u64) -> Turn {
        if variant.is_multiple_of(2) {
            return Ok(());
        }
        let (_guard, told) = outcome(self.condition.lock())?;
        if told {
            broken!("told of a dead owner, where nobody died with the lock");
        }
        self.notify(1)
    }
}
