//! The lock of many readers or one writer, in a storm: as one thread would know it, and as clients use it.

use procshare::LockError;
use procshare::manager::*;

use super::check::Model;
use super::history::{Call, Mishap, Op, Outcome, Who};
use super::objects::{Objects, mishap};
use super::record::Place;
use super::worker::{BRIEF, Worker, broken};

/// Who reads or writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shared {
    /// Sorted, so that equal states are equal.
    readers: Vec<(Who, u64)>,
    writer: Option<(Who, u64)>,
    mishap: Option<Mishap>,
    /// The greatest fence that was told.
    last: u64,
}

impl Shared {
    fn acquire(&mut self, op: &Op, writes: bool) -> bool {
        let is_free = self.writer.is_none() && (!writes || self.readers.is_empty());
        let fence = match op.outcome {
            // Also behind a writer that waits, which waits for somebody who holds it.
            Some(Outcome::Blocked) => return self.writer.is_some() || !self.readers.is_empty(),
            Some(Outcome::Held { fence, mishap })
                if is_free && fence > self.last && mishap == self.mishap =>
            {
                self.last = fence;
                fence
            }
            None if is_free => 0,
            _ => return false,
        };
        match writes {
            true => self.writer = Some((op.who, fence)),
            false => self.read((op.who, fence)),
        }
        true
    }

    fn read(&mut self, holding: (Who, u64)) {
        self.readers.push(holding);
        self.readers.sort_unstable();
    }

    fn end(&mut self, fence: u64) -> Outcome {
        let before = self.readers.len();
        self.readers.retain(|reader| reader.1 != fence);
        match self.writer.take_if(|writer| writer.1 == fence).is_some() || self.readers.len() < before {
            true => Outcome::Nothing,
            false => Outcome::NotHeld,
        }
    }
}

impl Model for Shared {
    fn step(&mut self, op: &Op) -> bool {
        let answer = match op.call {
            Call::Read => return self.acquire(op, false),
            Call::Acquire => return self.acquire(op, true),
            Call::Release(fence) => self.end(fence),
            Call::Downgrade(fence) => match self.writer.take_if(|writer| writer.1 == fence) {
                Some(writer) => {
                    self.read(writer);
                    Outcome::Nothing
                }
                None => Outcome::NotHeld,
            },
            Call::MakeConsistent(fence) if self.writer.is_some_and(|writer| writer.1 == fence) => {
                self.mishap = None;
                Outcome::Nothing
            }
            Call::MakeConsistent(_) => Outcome::NotHeld,
            Call::Len => Outcome::Number(self.readers.len() as u64),
            Call::Death(how) => {
                self.readers.retain(|reader| reader.0.process != op.who.process);
                if self.writer.take_if(|writer| writer.0.process == op.who.process).is_some() {
                    self.mishap = Some(how);
                }
                Outcome::Nothing
            }
            _ => return false,
        };
        op.outcome.as_ref().is_none_or(|told| *told == answer)
    }
}

/// What a worker holds of it.
pub(crate) enum Half {
    Reads(RwLockReadGuard),
    Writes(RwLockWriteGuard),
}

impl Half {
    fn fence(&self) -> u64 {
        match self {
            Half::Reads(guard) => guard.fence(),
            Half::Writes(guard) => guard.fence(),
        }
    }

    fn unlock(self) -> ManagerResult<()> {
        match self {
            Half::Reads(guard) => guard.unlock(),
            Half::Writes(guard) => guard.unlock(),
        }
    }
}

impl Worker<'_> {
    /// One step: taken, changed, or given back.
    pub(crate) fn shared(&mut self) -> ManagerResult<()> {
        match self.half.take() {
            Some(Half::Writes(guard)) if self.random.one_in(3) => {
                let mut half = None;
                self.alone(Place::Shared, Call::Downgrade(guard.fence()), |_| {
                    half = Some(Half::Reads(guard.downgrade()?));
                    Ok(Outcome::Nothing)
                })?;
                self.half = half;
            }
            Some(half) => {
                let release = Call::Release(half.fence());
                match self.random.one_in(2) {
                    true => self.tell(Place::Shared, release, || drop(half)),
                    false => drop(
                        self.alone(Place::Shared, release, |_| half.unlock().map(|()| Outcome::Nothing))?,
                    ),
                }
            }
            None => {
                let (writes, at_once) = (self.random.one_in(3), self.random.one_in(2));
                self.share(writes, |shared| match (writes, at_once) {
                    (true, true) => taken(shared.try_write(), Half::Writes),
                    (true, false) => taken(shared.write_timeout(BRIEF), Half::Writes),
                    (false, true) => taken(shared.try_read(), Half::Reads),
                    (false, false) => taken(shared.read_timeout(BRIEF), Half::Reads),
                })?;
            }
        }
        Ok(())
    }

    /// Takes it, and may say that all is well again.
    fn share(&mut self, writes: bool, run: impl FnOnce(&RwLock) -> Taken) -> ManagerResult<()> {
        let objects: &Objects = self.objects;
        let number = self.recorder.ask(Place::Shared, &[if writes { Call::Acquire } else { Call::Read }]);
        let Some((half, mishap)) = run(&objects.shared)? else {
            self.recorder.told(number, &[Outcome::Blocked]);
            return Ok(());
        };
        let fence = half.fence();
        self.recorder.told(number, &[Outcome::Held { fence, mishap }]);
        if let (Half::Writes(guard), Some(_)) = (&half, mishap) {
            let repair = |_: &Objects| guard.make_consistent().map(|()| Outcome::Nothing);
            self.alone(Place::Shared, Call::MakeConsistent(fence), repair)?;
        }
        self.half = Some(half);
        Ok(())
    }

    /// Takes it however long that takes: nobody is left who could have it.
    pub(crate) fn share_at_last(&mut self) -> ManagerResult<()> {
        self.share(true, |shared| taken(shared.write(), Half::Writes))?;
        self.shared()
    }
}

/// What came of taking it, and what the last writer left; nothing where it would have been a wait.
type Taken = ManagerResult<Option<(Half, Option<Mishap>)>>;

fn taken<G>(taken: Result<G, LockError<G>>, half: fn(G) -> Half) -> Taken {
    match taken {
        Ok(guard) => Ok(Some((half(guard), None))),
        Err(LockError::OwnerDied(died)) => {
            let cause = died.cause();
            Ok(Some((half(died.into_guard()), Some(mishap(cause)))))
        }
        Err(LockError::WouldBlock | LockError::TimedOut) => Ok(None),
        Err(error) => Err(broken(error.into())),
    }
}
