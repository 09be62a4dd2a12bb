//! The objects of a storm, and how each of their calls is made.

use procshare::manager::*;

use super::history::{Call, Mishap, Outcome};
use super::record::Place;

/// How much is on the accounts 0, 1 and so on at first.
pub(crate) const ACCOUNTS: &[u64] = &[100, 200, 300];
pub(crate) const PERMITS: u64 = 2;
pub(crate) const ROOM: u64 = 6;
pub(crate) const NAMES: [&str; 14] = [
    "dict", "whole", "list", "value", "lock", "relay", "shared", "permits", "queue", "tasks", "accounts",
    "log", "count", "nest",
];

pub(crate) struct Objects {
    pub(crate) manager: Manager,
    pub(crate) dict: Dict<u64, u64>,
    pub(crate) whole: Dict<u64, u64>,
    pub(crate) list: List<u64>,
    pub(crate) value: Value<u64>,
    pub(crate) lock: Lock,
    pub(crate) relay: Lock,
    pub(crate) shared: RwLock,
    pub(crate) permits: BoundedSemaphore,
    pub(crate) queue: Queue<u64>,
    pub(crate) tasks: JoinableQueue<u64>,
    pub(crate) accounts: Dict<u64, u64>,
    pub(crate) log: List<u64>,
    pub(crate) count: Value<u64>,
    /// Other objects, which come and go.
    pub(crate) nest: Dict<u64, Object>,
}

impl Objects {
    pub(crate) fn open(manager: &Manager) -> ManagerResult<Self> {
        Ok(Objects {
            dict: Dict::open_or_create(manager, "dict")?,
            whole: Dict::open_or_create(manager, "whole")?,
            list: List::open_or_create(manager, "list")?,
            value: Value::open_or_create(manager, "value", &0)?,
            lock: Lock::open_or_create(manager, "lock")?,
            relay: Lock::open_or_create(manager, "relay")?,
            shared: RwLock::open_or_create(manager, "shared")?,
            permits: BoundedSemaphore::open_or_create(manager, "permits", PERMITS)?,
            queue: Queue::open_or_create(manager, "queue", Some(ROOM))?,
            tasks: JoinableQueue::open_or_create(manager, "tasks", None)?,
            accounts: accounts(manager)?,
            log: List::open_or_create(manager, "log")?,
            count: Value::open_or_create(manager, "count", &0)?,
            nest: Dict::open_or_create(manager, "nest")?,
            manager: manager.clone(),
        })
    }

    /// Sends a call of a collection that can be sent before the answer to another one has come.
    pub(crate) fn send(&self, place: Place, call: &Call) -> ManagerResult<Waiter> {
        match place {
            Place::Dict => pairs(&self.dict, call),
            Place::Whole => pairs(&self.whole, call),
            Place::List => items(&self.list, call),
            Place::Value => value(&self.value, call),
            Place::Bank => self.bank(call),
            _ => panic!("{place:?} is no collection"),
        }
    }

    /// Sends calls that answer with a value or none, in one go.
    pub(crate) fn pipe(&self, place: Place, calls: &[Call]) -> ManagerResult<Vec<Outcome>> {
        let (dict, list) = match place {
            Place::Dict => (self.dict.calls(), self.list.calls()),
            _ => (self.whole.calls(), self.list.calls()),
        };
        let mut pipeline = self.manager.pipeline();
        for call in calls {
            pipeline.add(match *call {
                Call::Get(at) if place == Place::List => list.get(at)?,
                Call::PopFirst => list.pop_front()?,
                Call::PopLast => list.pop()?,
                Call::Get(key) => dict.get(&key)?,
                Call::Insert(key, value) => dict.insert(&key, &value)?,
                Call::Remove(key) => dict.remove(&key)?,
                ref other => panic!("{other:?} answers otherwise"),
            })?;
        }
        pipeline.run().into_iter().map(|result| told(result.map(Outcome::Maybe))).collect()
    }

    /// Of the objects of transactions, one alone.
    fn bank(&self, call: &Call) -> ManagerResult<Waiter> {
        match *call {
            Call::Get(account) => later(self.accounts.calls().get(&account), Outcome::Maybe),
            Call::Add(account, amount) => {
                later(self.accounts.calls().add(&account, &amount), Outcome::Number)
            }
            Call::Len => later(self.count.calls().get(), Outcome::Number),
            _ => {
                let log = self.log.snapshot()?;
                Ok(Box::new(|| Ok(Outcome::Items(log))))
            }
        }
    }

    /// Moves money, if there is some.
    pub(crate) fn transfer(&self, from: u64, to: u64, amount: u64, number: u64) -> ManagerResult<Outcome> {
        self.manager.transaction(|plan| {
            let (accounts, count) = (self.accounts.calls(), self.count.calls());
            let read = [plan.read(accounts.get(&from)?)?, plan.read(accounts.get(&to)?)?];
            let [there, beyond] = read.map(|account| account.expect("nobody closes an account"));
            let counted = plan.read(count.get()?)?;
            let moved = amount.min(there);
            plan.write(accounts.set(&from, &(there - moved))?)?;
            plan.write(accounts.set(&to, &(beyond + moved))?)?;
            plan.write(self.log.calls().push(&number)?)?;
            plan.write(count.set(&(counted + 1))?)?;
            Ok(Outcome::Items(vec![there, beyond]))
        })
    }

    /// Everything at one moment.
    pub(crate) fn audit(&self) -> ManagerResult<Outcome> {
        self.manager.transaction(|plan| {
            let mut all = Vec::new();
            for account in 0..ACCOUNTS.len() as u64 {
                all.extend(plan.read(self.accounts.calls().get(&account)?)?);
            }
            all.push(plan.read(self.log.calls().len()?)?);
            all.push(plan.read(self.count.calls().get()?)?);
            Ok(Outcome::Items(all))
        })
    }

    /// Changes everything, and then fails.
    pub(crate) fn spoil(&self) -> ManagerResult<Outcome> {
        self.manager.transaction(|plan| {
            plan.write(self.accounts.calls().set(&0, &0)?)?;
            plan.write(self.accounts.calls().remove(&1)?)?;
            plan.write(self.log.calls().clear()?)?;
            plan.write(self.count.calls().add(&1000)?)?;
            plan.write(self.log.calls().remove(0)?)?;
            Ok(Outcome::Nothing)
        })
    }
}

fn accounts(manager: &Manager) -> ManagerResult<Dict<u64, u64>> {
    let accounts = Dict::open_or_create(manager, "accounts")?;
    for (account, amount) in (0..).zip(ACCOUNTS) {
        accounts.get_or_insert(&account, amount)?;
    }
    Ok(accounts)
}

/// Waits for an answer.
pub(crate) type Waiter = Box<dyn FnOnce() -> ManagerResult<Outcome>>;

fn later<R: 'static>(
    call: ManagerResult<procshare::manager::Call<'_, R>>,
    read: impl FnOnce(R) -> Outcome + 'static,
) -> ManagerResult<Waiter> {
    let pending = call?.send()?;
    Ok(Box::new(move || told(pending.wait().map(read))))
}

fn now(outcome: ManagerResult<Outcome>) -> ManagerResult<Waiter> {
    let outcome = told(outcome)?;
    Ok(Box::new(|| Ok(outcome)))
}

/// Errors that are answers.
pub(crate) fn told(outcome: ManagerResult<Outcome>) -> ManagerResult<Outcome> {
    Ok(match outcome {
        Err(ManagerError::WouldBlock | ManagerError::TimedOut) => Outcome::Blocked,
        Err(ManagerError::NotHeld { .. }) => Outcome::NotHeld,
        Err(ManagerError::OutOfRange { .. }) => Outcome::OutOfRange,
        Err(ManagerError::Conflict { .. }) => Outcome::Conflict,
        other => return other,
    })
}

fn pairs(dict: &Dict<u64, u64>, call: &Call) -> ManagerResult<Waiter> {
    let calls = dict.calls();
    match *call {
        Call::Get(key) => later(calls.get(&key), Outcome::Maybe),
        Call::Set(key, value) => later(calls.set(&key, &value), |()| Outcome::Nothing),
        Call::Insert(key, value) => later(calls.insert(&key, &value), Outcome::Maybe),
        Call::Remove(key) => later(calls.remove(&key), Outcome::Maybe),
        Call::Contains(key) => later(calls.contains(&key), Outcome::Flag),
        Call::Add(key, number) => later(calls.add(&key, &number), Outcome::Number),
        Call::Len => later(calls.len(), Outcome::Number),
        Call::Clear => later(calls.clear(), |()| Outcome::Nothing),
        Call::Snapshot => later(calls.snapshot(), Outcome::Pairs),
        Call::ExtendPairs(ref pairs) => later(calls.extend(pairs), |()| Outcome::Nothing),
        Call::PopFirst => later(calls.pop_first(), Outcome::Pair),
        Call::PopLast => later(calls.pop_last(), Outcome::Pair),
        // These are no values, but calls: only alone.
        Call::GetOrInsert(key, value) => now(dict.get_or_insert(&key, &value).map(Outcome::Number)),
        Call::Swap(key, expected, new) => {
            now(dict.compare_and_swap(&key, expected.as_ref(), new.as_ref()).map(Outcome::Swapped))
        }
        ref other => panic!("{other:?} is of no dict"),
    }
}

fn items(list: &List<u64>, call: &Call) -> ManagerResult<Waiter> {
    let calls = list.calls();
    let nothing = |()| Outcome::Nothing;
    match *call {
        Call::Get(at) => later(calls.get(at), Outcome::Maybe),
        Call::Set(at, item) => later(calls.set(at, &item), Outcome::Number),
        Call::Insert(at, item) => later(calls.insert(at, &item), nothing),
        Call::Remove(at) => later(calls.remove(at), Outcome::Number),
        Call::Add(at, number) => later(calls.add(at, &number), Outcome::Number),
        Call::Len => later(calls.len(), Outcome::Number),
        Call::Clear => later(calls.clear(), nothing),
        Call::Extend(ref items) => later(calls.extend(items), nothing),
        Call::Push(item) => later(calls.push(&item), nothing),
        Call::PushFront(item) => later(calls.push_front(&item), nothing),
        Call::PopFirst => later(calls.pop_front(), Outcome::Maybe),
        Call::PopLast => later(calls.pop(), Outcome::Maybe),
        Call::Sort => later(calls.sort(false), nothing),
        Call::Reverse => later(calls.reverse(), nothing),
        Call::Snapshot => now(list.snapshot().map(Outcome::Items)),
        ref other => panic!("{other:?} is of no list"),
    }
}

/// As a list of one.
fn value(value: &Value<u64>, call: &Call) -> ManagerResult<Waiter> {
    let calls = value.calls();
    match *call {
        Call::Get(_) => later(calls.get(), |value| Outcome::Maybe(Some(value))),
        Call::Set(_, new) => later(calls.set(&new), Outcome::Number),
        Call::Add(_, number) => later(calls.add(&number), Outcome::Number),
        Call::Swap(_, Some(expected), Some(new)) => {
            let swapped = value.compare_and_swap(&expected, &new);
            now(swapped.map(|swapped| Outcome::Swapped(swapped.map_err(Some))))
        }
        ref other => panic!("{other:?} is of no value"),
    }
}

/// What the proxies call it.
pub(crate) fn mishap(cause: procshare::Cause) -> Mishap {
    match cause {
        procshare::Cause::Died => Mishap::Died,
        procshare::Cause::Lost => Mishap::Lost,
        other => panic!("nobody {other}"),
    }
}
