//! `Lock` and `PosixLock`: one owner at a time, and whoever comes after a dead one is told.

use procshare::{
    AtomicArray, Handle, Lifetime, Lock, LockError, LockGuard, Object, PosixLock, PosixLockGuard, Space,
};
use serde::Serialize;

use super::sanctum::{Sanctum, check_told};
use super::{Wait, ledger, outcome};
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn};

/// What has one owner at a time.
pub(in crate::torture) trait Mutex: Object + Serialize + Send + Sync + 'static {
    type Guard<'a>
    where
        Self: 'a;

    fn make(space: &Space) -> procshare::Result<Self>;

    fn take(&self, wait: Wait) -> Result<Self::Guard<'_>, LockError<Self::Guard<'_>>>;

    /// Says that what a dead owner left is mended.
    fn mended(guard: &Self::Guard<'_>);
}

macro_rules! mutex {
    ($lock:ty, $guard:ident) => {
        impl Mutex for $lock {
            type Guard<'a> = $guard<'a>;

            fn make(space: &Space) -> procshare::Result<Self> {
                Self::builder().space(space).lifetime(Lifetime::Scoped).anonymous()
            }

            fn take(&self, wait: Wait) -> Result<$guard<'_>, LockError<$guard<'_>>> {
                match wait {
                    Wait::Not => self.try_lock(),
                    Wait::For(time) => self.lock_timeout(time),
                    Wait::Ever => self.lock(),
                }
            }

            fn mended(guard: &$guard<'_>) {
                guard.make_consistent();
            }
        }
    };
}

mutex!(Lock, LockGuard);
mutex!(PosixLock, PosixLockGuard);

pub(in crate::torture) struct LockSubject<L> {
    lock: L,
    ledger: AtomicArray<u64>,
}

impl<L: Mutex> Stage for LockSubject<L> {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        Ok(LockSubject { lock: L::make(space)?, ledger: ledger(space, Sanctum::LEN)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (lock, ledger): (Handle<L>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(LockSubject { lock: lock.attach()?, ledger: ledger.attach()? })
    }
}

impl<L: Mutex> Subject for LockSubject<L> {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.lock, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let way = if actor.is_probe() { 0 } else { actor.choose(4) };
        let (guard, told) = outcome(self.lock.take(match way {
            0 | 1 => Wait::Ever,
            2 => Wait::Not,
            _ => Wait::For(actor.patience()),
        }))?;
        Sanctum::new(&self.ledger, 0).visit(actor, told, || {
            L::mended(&guard);
            Ok(())
        })
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (guard, told) = outcome(self.lock.take(Wait::Not))?;
        Sanctum::new(&self.ledger, 0).check(calm, told)?;
        L::mended(&guard);
        check_told(calm)
    }
}
