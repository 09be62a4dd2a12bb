//! What can be tortured: one small face for every kind of object.

use procshare::{BytesQueue, Error, Lock, LockError, PosixLock, Queue, Space};

use super::actor::Actor;
use super::board::{Board, Cell};
use super::subjects;

/// Why a turn ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nothing went wrong, but nothing was done either.
    Again,
    /// This is the child of a fork in the middle of the turn: it owns nothing, and must leave.
    Forked,
    /// A promise was broken.
    Broken(String),
}

/// How a turn went.
pub(super) type Turn<T = ()> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Broken(format!("an operation failed that cannot fail here: {error}"))
    }
}

impl<G> From<LockError<G>> for Stop {
    fn from(error: LockError<G>) -> Self {
        Stop::from(Error::from(error))
    }
}

/// Ends the turn with a broken promise, formatted.
macro_rules! broken {
    ($($message:tt)*) => {
        return Err($crate::torture::subject::Stop::Broken(format!($($message)*)))
    };
}
pub(super) use broken;

/// An object and its witnesses.
pub(super) trait Subject: Send + Sync {
    /// One turn of a contender: takes the object, calls [`Actor::granted`] at once, looks, calls [`Actor::inside`] in
    /// the middle of its work, and gives the object back.
    fn turn(&self, actor: &mut Actor) -> Turn;

    /// Looks at everything from a process that nobody hurts, while nobody else does anything.
    fn check(&self, calm: &Calm<'_>) -> Turn;

    /// The handles by which a contender attaches.
    fn plan(&self) -> serde_json::Result<String>;

    /// Before a probe, while nobody does anything.
    fn prepare(&self, _board: &Board) -> Turn {
        Ok(())
    }

    /// After the kill in a probe: what the others wait for, if not for the death itself.
    fn aftermath(&self, _variant: u64) -> Turn {
        Ok(())
    }

    /// Lets go whoever waits for other contenders, so that all can park. Called again and again until they have.
    fn part(&self) -> Turn {
        Ok(())
    }

    /// Whether contenders can be made to wait for one of them.
    fn waits(&self) -> bool {
        true
    }

    /// Whether those sleep who are made to wait.
    fn sleeps(&self) -> bool {
        self.waits()
    }

    /// Whether contenders may fork.
    fn forks(&self) -> bool {
        true
    }
}

/// What a check may rely on.
pub(super) struct Calm<'a> {
    pub(super) board: &'a Board,
    /// Deaths so far.
    pub(super) deaths: u64,
    /// Those since the last check.
    pub(super) fresh_deaths: u64,
    /// How much the dead may have taken with them since the last check.
    pub(super) excused: u64,
}

impl Calm<'_> {
    /// Checks a count: what the living have done, and at most one more for each of the dead.
    pub(super) fn count(&self, what: &str, found: u64) -> Turn {
        let done = self.board.sum(Cell::Done)?;
        if found < done || found > done + self.fresh_deaths {
            broken!(
                "{what}: {found} found, {done} done by the living, {} died since the last check",
                self.fresh_deaths
            );
        }
        // What the dead did not note is noted now.
        self.board.add(0, Cell::Done, found - done)?;
        Ok(())
    }
}

/// How subjects are made.
pub(super) trait Stage: Subject + Sized {
    /// Makes the object for so many contenders.
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self>;

    /// Attaches to it in another process.
    fn attach(plan: &str) -> anyhow::Result<Self>;
}

/// A kind of object.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) set: fn(&Space, usize) -> procshare::Result<Box<dyn Subject>>,
    pub(super) attach: fn(&str) -> anyhow::Result<Box<dyn Subject>>,
}

const fn entry<S: Stage + 'static>(name: &'static str) -> Entry {
    Entry {
        name,
        set: |space, contenders| Ok(Box::new(S::set(space, contenders)?)),
        attach: |plan| Ok(Box::new(S::attach(plan)?)),
    }
}

/// Everything that can be tortured.
pub(super) const CATALOGUE: &[Entry] = &[
    entry::<subjects::LockSubject<Lock>>("Lock"),
    entry::<subjects::LockSubject<PosixLock>>("PosixLock"),
    entry::<subjects::LockArraySubject>("LockArray"),
    entry::<subjects::RLockSubject>("RLock"),
    entry::<subjects::RwLockSubject>("RwLock"),
    entry::<subjects::SemaphoreSubject>("Semaphore"),
    entry::<subjects::BoundedSemaphoreSubject>("BoundedSemaphore"),
    entry::<subjects::EventSubject>("Event"),
    entry::<subjects::ConditionSubject>("Condition"),
    entry::<subjects::BarrierSubject>("Barrier"),
    entry::<subjects::LatchSubject>("Latch"),
    entry::<subjects::OnceSubject>("Once"),
    entry::<subjects::ValueSubject>("Value"),
    entry::<subjects::AtomicValueSubject>("AtomicValue"),
    entry::<subjects::ArraySubject>("Array"),
    entry::<subjects::QueueSubject<Queue<subjects::Item>>>("Queue"),
    entry::<subjects::QueueSubject<BytesQueue>>("BytesQueue"),
    entry::<subjects::SpscSubject>("SpscQueue"),
    entry::<subjects::JoinableSubject>("JoinableQueue"),
    entry::<subjects::PipeSubject>("Pipe"),
    entry::<subjects::BroadcastSubject>("Broadcast"),
];

/// The kind of this name, however it is written.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}
