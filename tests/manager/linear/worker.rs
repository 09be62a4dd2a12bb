//! A client of a storm: it does what its dice say, and writes it down.

use std::path::PathBuf;
use std::time::Duration;

use procshare::manager::*;
use procshare::{AtomicValue, GetError, LockError, PutError};
use procshare_harness::{Rng, entered};
use serde::{Deserialize, Serialize};

use super::history::{Call, Outcome, Who};
use super::objects::{Objects, mishap, told};
use super::record::{Place, Recorder};
use super::shared::Half;

/// What a worker is told.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) address: String,
    pub(crate) transport: String,
    pub(crate) process: u32,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
    pub(crate) directory: PathBuf,
    /// The names of the clock, and of the word that ends it all.
    pub(crate) clock: String,
    pub(crate) stop: String,
}

/// How far apart things are that everybody uses: few keys, so that they meet.
const KEYS: u64 = 5;

/// Patience where nobody may ever come.
pub(crate) const BRIEF: Duration = Duration::from_millis(5);

#[test]
fn entry_worker() {
    let Some(orders) = entered("linear::worker::entry_worker") else { return };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let connector = Manager::builder().key(crate::support::key()).timeout(Duration::from_secs(60));
    let connector = connector.transport(orders.transport.parse().unwrap());
    let manager = connector.connect(&orders.address.parse().unwrap()).unwrap();
    let objects = Objects::open(&manager).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..orders.threads {
            let (orders, objects) = (&orders, &objects);
            scope.spawn(move || Worker::new(objects, orders, thread).work(&orders.stop));
        }
    });
}

/// One thread.
pub(crate) struct Worker<'a> {
    pub(super) objects: &'a Objects,
    pub(super) recorder: Recorder,
    pub(super) random: Rng,
    /// The last part of what no other thread makes.
    unique: u64,
    guard: Option<LockGuard>,
    permit: Option<Permit>,
    task: Option<Task<u64>>,
    pub(super) half: Option<Half>,
    /// What was seen last, and may be expected.
    seen: Option<u64>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(objects: &'a Objects, orders: &Orders, thread: u32) -> Self {
        let who = Who { process: orders.process, thread };
        let clock = AtomicValue::open(&orders.clock).unwrap();
        Worker {
            objects,
            recorder: Recorder::new(&orders.directory, who, clock),
            random: Rng::new(orders.seed ^ (u64::from(thread) << 32 | u64::from(orders.process))),
            unique: (u64::from(orders.process) * 16 + u64::from(thread)) << 24,
            guard: None,
            permit: None,
            task: None,
            half: None,
            seen: None,
        }
    }

    fn work(mut self, stop: &str) {
        let stop = AtomicValue::<bool>::open(stop).unwrap();
        let mut step = || -> ManagerResult<()> {
            while !stop.load() {
                self.step()?;
            }
            self.put_down()
        };
        match step() {
            Ok(()) => {}
            // The server is gone: whoever started us knows whether it should be.
            Err(ManagerError::Disconnected { maybe_done, .. }) => self.recorder.ended(maybe_done),
            Err(error) => panic!("{error}"),
        }
    }

    fn unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    fn step(&mut self) -> ManagerResult<()> {
        match self.random.below(18) {
            0..4 => self.collection(Place::Dict),
            4 => self.collection(Place::Whole),
            5 | 6 => self.collection(Place::List),
            7 => self.collection(Place::Value),
            8 => self.lock(),
            9 => self.relay(),
            10 => self.permits(),
            11 => self.queue(),
            12 | 13 => self.tasks(),
            14 => self.bank(),
            15 | 16 => self.shared(),
            _ => self.nest(),
        }
    }

    /// Makes one call of a collection, or several at once.
    fn collection(&mut self, place: Place) -> ManagerResult<()> {
        if place != Place::Value && self.random.one_in(8) {
            return self.pipe(place);
        }
        let count = if self.random.one_in(4) { 2 + self.random.below(6) } else { 1 };
        let alone = count == 1;
        let calls: Vec<Call> = (0..count).map(|_| self.any(place, alone)).collect();
        self.together(place, &calls)
    }

    /// Makes many calls in one go.
    fn pipe(&mut self, place: Place) -> ManagerResult<()> {
        let calls: Vec<Call> = (0..2 + self.random.below(20))
            .map(|_| match (self.random.below(3), place) {
                (0, Place::List) => Call::PopFirst,
                (1, Place::List) => Call::PopLast,
                (0, _) => Call::Insert(self.random.below(KEYS), self.unique()),
                (1, _) => Call::Remove(self.random.below(KEYS)),
                _ => Call::Get(self.random.below(KEYS)),
            })
            .collect();
        let first = self.recorder.ask(place, &calls);
        let outcomes = self.objects.pipe(place, &calls)?;
        self.recorder.told(first, &outcomes);
        Ok(())
    }

    pub(crate) fn together(&mut self, place: Place, calls: &[Call]) -> ManagerResult<()> {
        let first = self.recorder.ask(place, calls);
        let waiters =
            calls.iter().map(|call| self.objects.send(place, call)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = waiters.into_iter().map(|wait| wait()).collect::<Result<Vec<_>, _>>()?;
        if let Some(Outcome::Maybe(Some(value)) | Outcome::Number(value)) = outcomes.last() {
            self.seen = Some(*value);
        }
        self.recorder.told(first, &outcomes);
        Ok(())
    }

    fn any(&mut self, place: Place, alone: bool) -> Call {
        let (key, value) = (self.random.below(KEYS), self.unique());
        let expected = self.seen.filter(|_| self.random.one_in(2));
        match (place, self.random.below(16)) {
            (Place::Value, 0..6) => Call::Get(0),
            (Place::Value, 6..9) => Call::Set(0, value),
            (Place::Value, 9..12) if alone => Call::Swap(0, Some(expected.unwrap_or(0)), Some(value)),
            (Place::Value, _) => Call::Add(0, 1 + key),
            (Place::List, 0..3) => Call::Push(value),
            (Place::List, 3) => Call::PushFront(value),
            (Place::List, 4..6) => Call::PopFirst,
            (Place::List, 6..8) => Call::PopLast,
            (Place::List, 8) => Call::Insert(key, value),
            (Place::List, 9) => Call::Remove(key),
            (Place::List, 10) => Call::Set(key, value),
            (Place::List, 11) => Call::Get(key),
            (Place::List, 12) => [Call::Sort, Call::Reverse][(key % 2) as usize].clone(),
            (Place::List, 13) => Call::Extend(vec![value, value + (1 << 23)]),
            (Place::List, 14) if alone => Call::Snapshot,
            (Place::List, _) => Call::Len,
            (Place::Whole, 0) => Call::Clear,
            (Place::Whole, 1) => Call::ExtendPairs(vec![(key, value), (key + 1, value)]),
            (Place::Whole, 2) => Call::PopFirst,
            (Place::Whole, 3) => Call::PopLast,
            (Place::Whole, 4) => Call::Snapshot,
            (Place::Whole, 5) => Call::Len,
            (_, 6 | 0) => Call::Set(key, value),
            (_, 7 | 1) => Call::Insert(key, value),
            (_, 8) => Call::Remove(key),
            (_, 9) => Call::Contains(key),
            (_, 10 | 2) => Call::Add(key, 1),
            (_, 11) if alone => Call::GetOrInsert(key, value),
            (_, 12 | 3) if alone => {
                Call::Swap(key, expected, Some(value).filter(|_| !value.is_multiple_of(4)))
            }
            _ => Call::Get(key),
        }
    }

    /// Notes a call that is made at once.
    pub(super) fn alone(
        &mut self,
        place: Place,
        call: Call,
        run: impl FnOnce(&Objects) -> ManagerResult<Outcome>,
    ) -> ManagerResult<Outcome> {
        let number = self.recorder.ask(place, &[call]);
        let outcome = told(run(self.objects))?;
        self.recorder.told(number, std::slice::from_ref(&outcome));
        Ok(outcome)
    }

    /// Notes a call to which no answer comes.
    pub(super) fn tell(&mut self, place: Place, call: Call, run: impl FnOnce()) {
        let number = self.recorder.ask(place, &[call]);
        run();
        self.recorder.sent(number);
    }

    fn acquire(
        &mut self,
        place: Place,
        run: impl FnOnce(&Objects) -> Result<LockGuard, LockError<LockGuard>>,
    ) -> ManagerResult<Option<LockGuard>> {
        let number = self.recorder.ask(place, &[Call::Acquire]);
        let (guard, mishap) = match run(self.objects) {
            Ok(guard) => (guard, None),
            Err(LockError::OwnerDied(died)) => {
                let cause = died.cause();
                (died.into_guard(), Some(mishap(cause)))
            }
            Err(LockError::WouldBlock | LockError::TimedOut) => {
                self.recorder.told(number, &[Outcome::Blocked]);
                return Ok(None);
            }
            Err(error) => return Err(broken(error.into())),
        };
        let fence = guard.fence();
        self.recorder.told(number, &[Outcome::Held { fence, mishap }]);
        if mishap.is_some() && self.random.one_in(2) {
            self.alone(place, Call::MakeConsistent(fence), |_| {
                guard.make_consistent().map(|()| Outcome::Nothing)
            })?;
        }
        Ok(Some(guard))
    }

    fn lock(&mut self) -> ManagerResult<()> {
        if let Some(guard) = self.guard.take() {
            let fence = guard.fence();
            if self.random.one_in(2) {
                self.tell(Place::Lock, Call::Release(fence), || drop(guard));
            } else {
                let unlock = |_: &Objects| guard.unlock().map(|()| Outcome::Nothing);
                self.alone(Place::Lock, Call::Release(fence), unlock)?;
            }
            return Ok(());
        }
        self.guard = match self.random.below(3) {
            0 => self.acquire(Place::Lock, |objects| objects.lock.try_lock())?,
            1 => self.acquire(Place::Lock, |objects| objects.lock.lock_timeout(BRIEF))?,
            // Whatever happens to the others, it comes.
            _ => self.acquire(Place::Lock, |objects| objects.lock.lock())?,
        };
        Ok(())
    }

    /// A lock that is taken by one and given back by another one.
    fn relay(&mut self) -> ManagerResult<()> {
        if self.random.one_in(2) {
            self.alone(Place::Relay, Call::ReleaseForgotten, |objects| {
                objects.relay.release().map(|()| Outcome::Nothing)
            })?;
        } else if let Some(guard) = self.acquire(Place::Relay, |objects| objects.relay.lock_timeout(BRIEF))? {
            let forget = Call::Forget(guard.fence());
            self.alone(Place::Relay, forget, |_| guard.forget().map(|()| Outcome::Nothing))?;
        }
        Ok(())
    }

    fn permits(&mut self) -> ManagerResult<()> {
        if let Some(permit) = self.permit.take() {
            self.tell(Place::Permits, Call::Release(permit.fence()), || drop(permit));
            return Ok(());
        }
        let is_brief = self.random.one_in(2);
        let mut permit = None;
        self.alone(Place::Permits, Call::Acquire, |objects| {
            let permits = &objects.permits;
            let taken = if is_brief { permits.acquire_timeout(BRIEF) } else { permits.try_acquire() }?;
            let fence = permit.insert(taken).fence();
            Ok(Outcome::Held { fence, mishap: None })
        })?;
        self.permit = permit;
        Ok(())
    }

    fn queue(&mut self) -> ManagerResult<()> {
        if self.random.one_in(2) {
            let item = self.unique();
            let waits = self.random.one_in(2);
            self.alone(Place::Queue, Call::Put(item), |objects| {
                let queue = &objects.queue;
                put(if waits { queue.put_timeout(item, BRIEF) } else { queue.try_put(item) })
            })?;
            return Ok(());
        }
        let number = self.recorder.ask(Place::Queue, &[Call::Take, Call::DoneLast]);
        let queue = &self.objects.queue;
        let taken = if self.random.one_in(2) { queue.get_timeout(BRIEF) } else { queue.try_get() };
        let outcome = told(got(taken).map(Outcome::Number))?;
        self.recorder.told(number, std::slice::from_ref(&outcome));
        // `get` has sent its acknowledgement before it returned, if there was something to acknowledge.
        self.recorder.sent(number + 1);
        Ok(())
    }

    fn tasks(&mut self) -> ManagerResult<()> {
        if let Some(task) = self.task.take() {
            let item = *task;
            match self.random.below(3) {
                0 => self.tell(Place::Tasks, Call::Done(item), || drop(task)),
                1 => drop(
                    self.alone(Place::Tasks, Call::Done(item), |_| task.done().map(|()| Outcome::Nothing))?,
                ),
                _ => drop(self.alone(Place::Tasks, Call::GiveBack(item), |_| {
                    task.give_back().map(|()| Outcome::Nothing)
                })?),
            }
            return Ok(());
        }
        // More are taken than put: in a short queue it is soon seen who was before whom.
        match self.random.below(8) {
            0..2 => {
                let item = self.unique();
                self.alone(Place::Tasks, Call::Put(item), |objects| put(objects.tasks.put(item)))?;
            }
            2 => drop(self.alone(Place::Tasks, Call::Join, |objects| {
                objects.tasks.join_timeout(BRIEF).map(|()| Outcome::Nothing)
            })?),
            3 => {
                drop(self.alone(Place::Tasks, Call::Len, |objects| objects.tasks.len().map(Outcome::Number))?)
            }
            how => {
                let mut task = None;
                self.alone(Place::Tasks, Call::Take, |objects| {
                    let tasks = &objects.tasks;
                    let taken = if how < 6 { tasks.get_timeout(BRIEF) } else { tasks.try_get() };
                    Ok(Outcome::Number(**task.insert(got(taken)?)))
                })?;
                self.task = task;
            }
        }
        Ok(())
    }

    fn bank(&mut self) -> ManagerResult<()> {
        let (from, to, amount) = (self.random.below(3), self.random.below(3), self.random.below(50));
        match self.random.below(8) {
            0..3 if from != to => {
                let number = self.unique();
                let call = Call::Transfer { from, to, amount, number };
                self.alone(Place::Bank, call, |objects| objects.transfer(from, to, amount, number))?;
            }
            0..4 => drop(self.alone(Place::Bank, Call::Audit, Objects::audit)?),
            4 => drop(self.alone(Place::Bank, Call::Spoil, Objects::spoil)?),
            5 => return self.together(Place::Bank, &[Call::Get(from), Call::Add(to, amount), Call::Len]),
            6 => return self.together(Place::Bank, &[Call::Snapshot]),
            _ => return self.together(Place::Bank, &[Call::Add(from, amount), Call::Get(from)]),
        }
        Ok(())
    }

    /// Objects that are stored, fetched, handed on and dropped: in the end none is left.
    fn nest(&mut self) -> ManagerResult<()> {
        let (nest, key) = (&self.objects.nest, self.random.below(4));
        match self.random.below(4) {
            0 => nest.set(&key, List::<u64>::anonymous(&self.objects.manager)?.object()),
            1 => nest.get(&key).map(drop),
            2 => nest.remove(&key).map(drop),
            _ => {
                if let Some(object) = nest.get(&key)? {
                    let handle = object.handle(BRIEF)?;
                    if self.random.one_in(2) {
                        // It may have expired.
                        let _ = handle.attach(&self.objects.manager);
                    }
                }
                Ok(())
            }
        }
    }

    /// Gives back what is held.
    fn put_down(&mut self) -> ManagerResult<()> {
        while self.guard.is_some() {
            self.lock()?;
        }
        while self.permit.is_some() {
            self.permits()?;
        }
        while self.task.is_some() {
            self.tasks()?;
        }
        while self.half.is_some() {
            self.shared()?;
        }
        Ok(())
    }

    /// Looks at everything, takes everything and leaves nothing: the last of all.
    pub(crate) fn finish(&mut self) -> ManagerResult<()> {
        for key in 0..KEYS {
            self.together(Place::Dict, &[Call::Get(key)])?;
        }
        self.together(Place::Whole, &[Call::Snapshot])?;
        self.together(Place::List, &[Call::Snapshot])?;
        self.together(Place::Value, &[Call::Get(0)])?;
        self.alone(Place::Bank, Call::Audit, Objects::audit)?;
        self.together(Place::Bank, &[Call::Snapshot])?;
        self.alone(Place::Permits, Call::Len, |objects| objects.permits.available().map(Outcome::Number))?;
        // Nobody holds it any more, unless it was handed over.
        self.guard = self.acquire(Place::Lock, |objects| objects.lock.lock())?;
        self.share_at_last()?;
        self.alone(Place::Relay, Call::ReleaseForgotten, |objects| {
            objects.relay.release().map(|()| Outcome::Nothing)
        })?;
        let relay = self.acquire(Place::Relay, |objects| objects.relay.lock())?;
        let fence = relay.as_ref().map_or(0, LockGuard::fence);
        self.tell(Place::Relay, Call::Release(fence), || drop(relay));
        loop {
            let taken = self.recorder.ask(Place::Queue, &[Call::Take, Call::DoneLast]);
            let outcome = told(got(self.objects.queue.try_get()).map(Outcome::Number))?;
            self.recorder.told(taken, std::slice::from_ref(&outcome));
            self.recorder.sent(taken + 1);
            if outcome == Outcome::Blocked {
                break;
            }
        }
        loop {
            let mut task = None;
            let outcome = self.alone(Place::Tasks, Call::Take, |objects| {
                Ok(Outcome::Number(**task.insert(got(objects.tasks.try_get())?)))
            })?;
            let (Outcome::Number(item), Some(task)) = (outcome, task) else { break };
            self.alone(Place::Tasks, Call::Done(item), |_| task.done().map(|()| Outcome::Nothing))?;
        }
        self.alone(Place::Tasks, Call::Join, |objects| objects.tasks.join().map(|()| Outcome::Nothing))?;
        self.put_down()?;
        self.objects.nest.clear()
    }
}

/// A failure as its proxy made it.
pub(super) fn broken(error: procshare::Error) -> ManagerError {
    match error {
        procshare::Error::Manager(error) => *error.downcast().unwrap(),
        other => panic!("{other}"),
    }
}

fn put(done: Result<(), PutError<u64>>) -> ManagerResult<Outcome> {
    match done {
        Ok(()) => Ok(Outcome::Nothing),
        Err(PutError::Full(_) | PutError::TimedOut(_)) => Ok(Outcome::Blocked),
        Err(PutError::Failed(_, error)) => Err(broken(error)),
        Err(other) => panic!("{other}"),
    }
}

fn got<T>(taken: Result<T, GetError>) -> ManagerResult<T> {
    taken.map_err(|error| match error {
        GetError::Empty => ManagerError::WouldBlock,
        GetError::TimedOut => ManagerError::TimedOut,
        GetError::Failed(error) => broken(error),
        other => panic!("{other}"),
    })
}
