//! `Semaphore` and `BoundedSemaphore`: never more permits out than there are, and all back in the calm.

use std::time::Duration;

use procshare::{
    AtomicArray, BoundedSemaphore, Error, Handle, Lifetime, PermitError, Semaphore, SemaphorePermit, Space,
};

use super::ledger;
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

const PERMITS: u32 = 3;

/// What both have in common.
pub(in crate::torture) trait Permits: Sized + Send + Sync + serde::Serialize {
    /// Whether releasing one more than there were is an error.
    const BOUNDED: bool;
    fn make(space: &Space) -> procshare::Result<Self>;
    fn of_handle(text: &str) -> anyhow::Result<(Self, AtomicArray<u64>)>;
    fn acquire(&self) -> procshare::Result<SemaphorePermit<'_>>;
    fn try_acquire(&self) -> procshare::Result<SemaphorePermit<'_>>;
    fn acquire_timeout(&self, timeout: Duration) -> procshare::Result<SemaphorePermit<'_>>;
    fn release(&self, count: u32) -> Result<(), PermitError>;
    fn available(&self) -> u32;
}

macro_rules! permits {
    ($name:ident, $bounded:literal) => {
        impl Permits for $name {
            const BOUNDED: bool = $bounded;

            fn make(space: &Space) -> procshare::Result<Self> {
                $name::builder().space(space).lifetime(Lifetime::Scoped).anonymous(PERMITS)
            }

            fn of_handle(text: &str) -> anyhow::Result<(Self, AtomicArray<u64>)> {
                let (semaphore, ledger): (Handle<$name>, Handle<AtomicArray<u64>>) =
                    serde_json::from_str(text)?;
                Ok((semaphore.attach()?, ledger.attach()?))
            }

            fn acquire(&self) -> procshare::Result<SemaphorePermit<'_>> {
                self.acquire()
            }

            fn try_acquire(&self) -> procshare::Result<SemaphorePermit<'_>> {
                self.try_acquire()
            }

            fn acquire_timeout(&self, timeout: Duration) -> procshare::Result<SemaphorePermit<'_>> {
                self.acquire_timeout(timeout)
            }

            fn release(&self, count: u32) -> Result<(), PermitError> {
                self.release(count)
            }

            fn available(&self) -> u32 {
                self.available()
            }
        }
    };
}

permits!(Semaphore, false);
permits!(BoundedSemaphore, true);

/// In the ledger, for each contender: how often it had a permit, and its token while it has.
const VISITS: usize = 0;
const TOKEN: usize = 1;

/// A semaphore and its ledger.
pub(in crate::torture) struct Permitted<S> {
    semaphore: S,
    ledger: AtomicArray<u64>,
}

pub(in crate::torture) type SemaphoreSubject = Permitted<Semaphore>;
pub(in crate::torture) type BoundedSemaphoreSubject = Permitted<BoundedSemaphore>;

impl<S: Permits> Stage for Permitted<S> {
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self> {
        Ok(Permitted { semaphore: S::make(space)?, ledger: ledger(space, 2 * 2 * contenders)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (semaphore, ledger) = S::of_handle(plan)?;
        Ok(Permitted { semaphore, ledger })
    }
}

impl<S: Permits> Permitted<S> {
    /// Counts who holds a permit and lives. Looks twice: who was there both times, and did not leave in between, was there
    /// at the moment between the two looks, as were all others counted.
    fn look(&self, actor: &Actor) -> Turn {
        let first = self.ledger.to_vec();
        let second = self.ledger.to_vec();
        let mut inside = 0;
        for (row, pair) in first.as_chunks::<2>().0.iter().enumerate() {
            let stayed = pair[..] == second[2 * row..2 * row + 2] && pair[TOKEN] != 0;
            inside += u32::from(stayed && !actor.board.is_condemned(pair[TOKEN])?);
        }
        if inside > PERMITS {
            broken!("{inside} hold a permit, and there are {PERMITS}");
        }
        Ok(())
    }

    /// With a permit in hand.
    fn visit(&self, actor: &mut Actor) -> Turn {
        let row = 2 * actor.token.row;
        self.ledger.add(row + VISITS, 1)?;
        self.ledger.swap(row + TOKEN, actor.token.to_word())?;
        self.look(actor)?;
        actor.inside()?;
        self.look(actor)?;
        self.ledger.swap(row + TOKEN, 0)?;
        Ok(())
    }

    fn hold_all(&self, actor: &mut Actor) -> Turn {
        let _permits = (0..PERMITS).map(|_| self.semaphore.acquire()).collect::<Result<Vec<_>, _>>()?;
        actor.inside()
    }

    /// As in Python: a permit without an owner, for a moment. A death in it takes the permit with it.
    fn forget_and_release(&self, actor: &Actor) -> Turn {
        actor.excuse(1)?;
        match self.semaphore.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(Error::WouldBlock) => return actor.excuse(0).and(Err(Stop::Again)),
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = self.semaphore.release(1) {
            broken!("what was forgotten cannot be released: {error}");
        }
        actor.excuse(0)
    }
}

impl<S: Permits> Subject for Permitted<S> {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.semaphore, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_holder() {
            return self.hold_all(actor);
        }
        let way = if actor.is_probe() { 0 } else { actor.choose(5) };
        let permit = match way {
            0 | 1 => self.semaphore.acquire(),
            2 => self.semaphore.try_acquire(),
            3 => self.semaphore.acquire_timeout(actor.patience()),
            _ => return self.forget_and_release(actor),
        };
        let _permit = match permit {
            Err(Error::WouldBlock | Error::TimedOut) => return Err(Stop::Again),
            permit => permit?,
        };
        actor.granted()?;
        self.visit(actor)
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        // What the dead owned comes back to whoever asks.
        let mut permits = Vec::new();
        while let Ok(permit) = self.semaphore.try_acquire() {
            permits.push(permit);
            if permits.len() > PERMITS as usize {
                broken!("more than {PERMITS} permits can be acquired");
            }
        }
        let missing = u64::from(PERMITS) - permits.len() as u64;
        if missing > calm.excused {
            broken!("{missing} of {PERMITS} permits are lost, {} were forgotten by the dead", calm.excused);
        }
        drop(permits);
        if missing > 0
            && let Err(error) = self.semaphore.release(missing as u32)
        {
            broken!("what is missing cannot be released: {error}");
        }
        if self.semaphore.available() != PERMITS {
            broken!("{} permits are available, not {PERMITS}", self.semaphore.available());
        }
        match self.semaphore.release(1) {
            Err(PermitError::TooMany { .. }) if S::BOUNDED => Ok(()),
            Ok(()) if !S::BOUNDED => {
                self.semaphore.try_acquire()?.forget();
                Ok(())
            }
            other => broken!("releasing one too many gave {other:?}"),
        }
    }
}
