//! `RwLock`: one writer or many readers, and the dead count as neither.

use procshare::{AtomicArray, Handle, Lifetime, RwLock, Space};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

/// In the ledger, behind the writers' sanctum: each contender's token while it reads.
const READERS: usize = Sanctum::LEN;

pub(in crate::torture) struct RwLockSubject {
    lock: RwLock,
    ledger: AtomicArray<u64>,
}

impl Stage for RwLockSubject {
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self> {
        let lock = RwLock::builder().space(space).lifetime(Lifetime::Scoped).anonymous()?;
        Ok(RwLockSubject { lock, ledger: ledger(space, READERS + 2 * contenders)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (lock, ledger): (Handle<RwLock>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(RwLockSubject { lock: lock.attach()?, ledger: ledger.attach()? })
    }
}

impl RwLockSubject {
    fn sanctum(&self) -> Sanctum<'_> {
        Sanctum::new(&self.ledger, 0)
    }

    /// With a read guard in hand: no writer is there, nor comes.
    fn look_around(&self, actor: &mut Actor, told: bool) -> Turn {
        let cell = READERS + actor.token.row;
        self.ledger.swap(cell, actor.token.to_word())?;
        self.sanctum().spectate(actor, told)?;
        actor.inside()?;
        self.sanctum().spectate(actor, told)?;
        self.ledger.swap(cell, 0)?;
        Ok(())
    }

    fn read(&self, actor: &mut Actor, way: u64) -> Turn {
        let (_guard, told) = outcome(match way {
            0 => self.lock.try_read(),
            1 => self.lock.read_timeout(actor.patience()),
            _ => self.lock.read(),
        })?;
        actor.granted()?;
        self.look_around(actor, told)
    }

    fn write(&self, actor: &mut Actor, way: u64) -> Turn {
        let (guard, told) = outcome(match way {
            0 => self.lock.try_write(),
            1 => self.lock.write_timeout(actor.patience()),
            _ => self.lock.write(),
        })?;
        actor.granted()?;
        for word in self.ledger.to_vec().into_iter().skip(READERS) {
            if word != 0 && !actor.board.is_condemned(word)? {
                broken!("{word:#x} reads, alive, while {:#x} writes", actor.token.to_word());
            }
        }
        self.sanctum().visit(actor, told, || {
            guard.make_consistent();
            Ok(())
        })?;
        if way == 3 {
            let _reading = guard.downgrade();
            self.look_around(actor, false)?;
        }
        Ok(())
    }
}

impl Subject for RwLockSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.lock, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        const WAIT: u64 = 2;
        if !actor.is_probe() {
            let way = actor.below(4);
            return if actor.choose(2) == 0 { self.write(actor, way) } else { self.read(actor, way) };
        }
        // A dead writer has kept everybody out, a dead reader only writers.
        let writer_dies = actor.choose(2) == 0;
        let reads = if actor.is_holder() { !writer_dies } else { writer_dies && actor.below(2) == 0 };
        if reads { self.read(actor, WAIT) } else { self.write(actor, WAIT) }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (guard, told) = outcome(self.lock.try_write())?;
        self.sanctum().check(calm, told)?;
        guard.make_consistent();
        drop(guard);
        if self.lock.readers() != 0 || self.lock.writer().is_some() {
            broken!("{} readers and the writer {:?} are not there", self.lock.readers(), self.lock.writer());
        }
        check_told(calm)
    }
}
