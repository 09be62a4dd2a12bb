//! `Value`: whole at every instant, whoever is killed while writing it.

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{AtomicArray, Error, Handle, Lifetime, Plain, Space, Value};

use super::sanctum::{Sanctum, check_told};
use super::{ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

/// A count, in as many copies as take time to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.torture.record")]
#[repr(C)]
pub(in crate::torture) struct Record {
    copies: [u64; 32],
}

impl Record {
    fn of(count: u64) -> Self {
        Record { copies: [count; 32] }
    }

    /// The count, if all copies agree.
    fn count(&self) -> Turn<u64> {
        if self.copies.iter().any(|&copy| copy != self.copies[0]) {
            broken!("torn: {:?}", self.copies);
        }
        Ok(self.copies[0])
    }
}

/// Where the sanctum of guards that commit lies, and that of guards in place.
const COMMITTED: usize = 0;
const IN_PLACE: usize = Sanctum::LEN;

/// One value that no death leaves half-done, and one that is edited in place.
pub(in crate::torture) struct ValueSubject {
    whole: Value<Record>,
    in_place: Value<Record>,
    ledger: AtomicArray<u64>,
}

type Plan = (Handle<Value<Record>>, Handle<Value<Record>>, Handle<AtomicArray<u64>>);

impl Stage for ValueSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let value = || Value::builder().space(space).lifetime(Lifetime::Scoped).anonymous(Record::of(0));
        Ok(ValueSubject { whole: value()?, in_place: value()?, ledger: ledger(space, 2 * Sanctum::LEN)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (whole, in_place, ledger): Plan = serde_json::from_str(plan)?;
        Ok(ValueSubject { whole: whole.attach()?, in_place: in_place.attach()?, ledger: ledger.attach()? })
    }
}

impl ValueSubject {
    /// Reads twice: what others commit meanwhile only ever grows.
    fn read(&self) -> Turn {
        let (first, second) = (self.whole.get()?.count()?, self.whole.get()?.count()?);
        if second < first {
            broken!("{second} was read after {first}");
        }
        match self.in_place.get() {
            // Readers of a value that is edited in place wait for the editor.
            Ok(record) => record.count().map(drop),
            Err(Error::OwnerDied { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn update(&self, actor: &Actor) -> Turn {
        self.whole.update(|record| {
            let next = record.count()? + 1;
            *record = Record::of(next);
            Turn::Ok(())
        })??;
        actor.done()
    }

    /// Edits a copy under a guard; the drop commits it.
    fn edit_copy(&self, actor: &mut Actor) -> Turn {
        let (mut guard, told) = outcome(self.whole.lock())?;
        if told {
            broken!("told of a dead owner, who cannot have left anything half-done");
        }
        actor.granted()?;
        let sanctum = Sanctum::new(&self.ledger, COMMITTED);
        // Who died here is nobody's concern: entering as if told.
        sanctum.enter(actor, true)?;
        *guard = Record::of(guard.count()? + 1);
        actor.inside()?;
        sanctum.leave(actor)?;
        drop(guard);
        actor.done()
    }

    fn edit_in_place(&self, actor: &mut Actor) -> Turn {
        let (mut guard, told) = outcome(self.in_place.lock_in_place())?;
        actor.granted()?;
        let sanctum = Sanctum::new(&self.ledger, IN_PLACE);
        sanctum.enter(actor, told)?;
        if told {
            let repaired = Record::of(guard.copies[0]);
            *guard = repaired;
            guard.make_consistent();
            actor.told()?;
        }
        let next = guard.count()? + 1;
        guard.copies[..16].fill(next);
        actor.inside()?;
        guard.copies[16..].fill(next);
        sanctum.leave(actor)
    }
}

impl Subject for ValueSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.whole, &self.in_place, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let way = if actor.is_probe() { 3 + actor.choose(2) } else { actor.choose(5) };
        match way {
            0 => self.read(),
            1 | 2 => self.update(actor),
            3 => self.edit_copy(actor),
            _ => self.edit_in_place(actor),
        }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        calm.count("updates", self.whole.get()?.count()?)?;
        let (mut guard, told) = outcome(self.in_place.try_lock_in_place())?;
        Sanctum::new(&self.ledger, IN_PLACE).check(calm, told)?;
        if told {
            let repaired = Record::of(guard.copies[0]);
            *guard = repaired;
            guard.make_consistent();
        }
        guard.count()?;
        check_told(calm)
    }
}
