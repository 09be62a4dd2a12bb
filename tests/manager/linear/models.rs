//! The objects as one thread would know them.

use super::check::Model;
use super::history::{Call, Mishap, Op, Outcome, Who};

/// A dict, or one key of it: pairs in the order their keys came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Dict(pub(crate) Vec<(u64, u64)>);

impl Dict {
    pub(crate) fn get(&self, key: u64) -> Option<u64> {
        self.0.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// What was there.
    pub(crate) fn put(&mut self, key: u64, value: u64) -> Option<u64> {
        match self.0.iter_mut().find(|pair| pair.0 == key) {
            Some(pair) => Some(std::mem::replace(&mut pair.1, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    fn remove(&mut self, key: u64) -> Option<u64> {
        let at = self.0.iter().position(|pair| pair.0 == key)?;
        Some(self.0.remove(at).1)
    }

    fn swap(&mut self, key: u64, expected: Option<u64>, new: Option<u64>) -> Outcome {
        let there = self.get(key);
        if there != expected {
            return Outcome::Swapped(Err(there));
        }
        let _ = match new {
            Some(new) => self.put(key, new),
            None => self.remove(key),
        };
        Outcome::Swapped(Ok(()))
    }

    pub(crate) fn answer(&mut self, call: &Call) -> Option<Outcome> {
        Some(match *call {
            Call::Get(key) => Outcome::Maybe(self.get(key)),
            Call::Contains(key) => Outcome::Flag(self.get(key).is_some()),
            Call::Set(key, value) => {
                self.put(key, value);
                Outcome::Nothing
            }
            Call::Insert(key, value) => Outcome::Maybe(self.put(key, value)),
            Call::Remove(key) => Outcome::Maybe(self.remove(key)),
            Call::Add(key, number) => {
                let sum = self.get(key).unwrap_or(0) + number;
                self.put(key, sum);
                Outcome::Number(sum)
            }
            Call::GetOrInsert(key, value) => {
                let there = self.get(key).unwrap_or(value);
                self.put(key, there);
                Outcome::Number(there)
            }
            Call::Swap(key, expected, new) => self.swap(key, expected, new),
            Call::Len => Outcome::Number(self.0.len() as u64),
            Call::Snapshot => Outcome::Pairs(self.0.clone()),
            Call::Clear => {
                self.0.clear();
                Outcome::Nothing
            }
            Call::ExtendPairs(ref pairs) => {
                for &(key, value) in pairs {
                    self.put(key, value);
                }
                Outcome::Nothing
            }
            Call::PopFirst => Outcome::Pair((!self.0.is_empty()).then(|| self.0.remove(0))),
            Call::PopLast => Outcome::Pair(self.0.pop()),
            _ => return None,
        })
    }
}

/// Whether an operation came out as the model says.
fn as_told(op: &Op, answer: Option<Outcome>) -> bool {
    answer.is_some_and(|answer| op.outcome.as_ref().is_none_or(|told| *told == answer))
}

impl Model for Dict {
    fn step(&mut self, op: &Op) -> bool {
        let answer = self.answer(&op.call);
        as_told(op, answer)
    }
}

/// A list; a value is one of one element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct List(pub(crate) Vec<u64>);

impl List {
    pub(crate) fn answer(&mut self, call: &Call) -> Option<Outcome> {
        let items = &mut self.0;
        Some(match *call {
            Call::Get(at) => Outcome::Maybe(items.get(at as usize).copied()),
            Call::Set(at, item) => match items.get_mut(at as usize) {
                Some(place) => Outcome::Number(std::mem::replace(place, item)),
                None => Outcome::OutOfRange,
            },
            Call::Add(at, number) => match items.get_mut(at as usize) {
                Some(place) => {
                    *place += number;
                    Outcome::Number(*place)
                }
                None => Outcome::OutOfRange,
            },
            Call::Swap(at, expected, new) => match items.get_mut(at as usize) {
                Some(place) if Some(*place) == expected => {
                    *place = new?;
                    Outcome::Swapped(Ok(()))
                }
                Some(place) => Outcome::Swapped(Err(Some(*place))),
                None => Outcome::OutOfRange,
            },
            Call::Insert(at, _) if at as usize > items.len() => Outcome::OutOfRange,
            Call::Remove(at) if at as usize >= items.len() => Outcome::OutOfRange,
            Call::Remove(at) => Outcome::Number(items.remove(at as usize)),
            Call::Len => Outcome::Number(items.len() as u64),
            Call::Snapshot => Outcome::Items(items.clone()),
            Call::PopFirst => Outcome::Maybe((!items.is_empty()).then(|| items.remove(0))),
            Call::PopLast => Outcome::Maybe(items.pop()),
            _ => {
                self.change(call)?;
                Outcome::Nothing
            }
        })
    }

    /// What has no result.
    fn change(&mut self, call: &Call) -> Option<()> {
        let items = &mut self.0;
        match *call {
            Call::Insert(at, item) => items.insert(at as usize, item),
            Call::Clear => items.clear(),
            Call::Extend(ref more) => items.extend(more),
            Call::Push(item) => items.push(item),
            Call::PushFront(item) => items.insert(0, item),
            Call::Sort => items.sort_unstable(),
            Call::Reverse => items.reverse(),
            _ => return None,
        }
        Some(())
    }
}

impl Model for List {
    fn step(&mut self, op: &Op) -> bool {
        let answer = self.answer(&op.call);
        as_told(op, answer)
    }
}

/// Permits, and who has them; a lock is one permit whose holder's death is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Permits {
    free: u64,
    tells: bool,
    /// Sorted, so that equal states are equal.
    held: Vec<(Who, u64)>,
    handed_over: u64,
    mishap: Option<Mishap>,
    /// The greatest fence that was told.
    last: u64,
}

impl Permits {
    pub(crate) fn lock() -> Self {
        Permits { tells: true, ..Permits::semaphore(1) }
    }

    pub(crate) fn semaphore(free: u64) -> Self {
        Permits { free, tells: false, held: Vec::new(), handed_over: 0, mishap: None, last: 0 }
    }

    fn acquire(&mut self, op: &Op) -> bool {
        match op.outcome {
            Some(Outcome::Blocked) => self.free == 0,
            Some(Outcome::Held { fence, mishap }) if self.free > 0 => {
                let greater = fence > self.last;
                self.last = fence;
                self.hold(op.who, fence);
                greater && mishap == self.mishap
            }
            // Nobody has seen its number, so nobody but a death gives it back.
            None if self.free > 0 => {
                self.hold(op.who, 0);
                true
            }
            _ => false,
        }
    }

    fn hold(&mut self, who: Who, fence: u64) {
        self.free -= 1;
        self.held.push((who, fence));
        self.held.sort_unstable();
    }

    /// Ends one holding, if it is one.
    fn end(&mut self, fence: u64) -> Outcome {
        match self.held.iter().position(|holding| holding.1 == fence) {
            Some(at) => {
                self.held.remove(at);
                Outcome::Nothing
            }
            None => Outcome::NotHeld,
        }
    }
}

impl Model for Permits {
    fn step(&mut self, op: &Op) -> bool {
        let answer = match op.call {
            Call::Acquire => return self.acquire(op),
            Call::Release(fence) => {
                let answer = self.end(fence);
                self.free += u64::from(answer == Outcome::Nothing);
                answer
            }
            Call::Forget(fence) => {
                let answer = self.end(fence);
                self.handed_over += u64::from(answer == Outcome::Nothing);
                answer
            }
            Call::ReleaseForgotten if self.handed_over == 0 => Outcome::NotHeld,
            Call::ReleaseForgotten => {
                self.handed_over -= 1;
                self.free += 1;
                Outcome::Nothing
            }
            Call::MakeConsistent(fence) => match self.held.iter().any(|holding| holding.1 == fence) {
                true => {
                    self.mishap = None;
                    Outcome::Nothing
                }
                false => Outcome::NotHeld,
            },
            Call::Len => Outcome::Number(self.free),
            Call::Death(cause) => {
                let before = self.held.len();
                self.held.retain(|holding| holding.0.process != op.who.process);
                let ended = before - self.held.len();
                self.free += ended as u64;
                if self.tells && ended > 0 {
                    self.mishap = Some(cause);
                }
                Outcome::Nothing
            }
            _ => return false,
        };
        as_told(op, Some(answer))
    }
}

/// Items in order, and those that somebody took and has not done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    room: usize,
    next: u64,
    /// By the order in which they came: what comes back comes back to its place.
    items: Vec<(u64, u64)>,
    taken: Vec<(Who, (u64, u64))>,
}

impl Queue {
    pub(crate) fn new(room: usize) -> Self {
        Queue { room, next: 0, items: Vec::new(), taken: Vec::new() }
    }

    fn come_back(&mut self, item: (u64, u64)) {
        self.items.push(item);
        self.items.sort_unstable();
    }

    fn give_up(&mut self, who: Who, item: u64) -> Option<(u64, u64)> {
        let mine = |taken: &(Who, (u64, u64))| taken.0.process == who.process && taken.1.1 == item;
        let at = self.taken.iter().position(mine)?;
        Some(self.taken.remove(at).1)
    }

    fn take(&mut self, who: Who) -> Outcome {
        if self.items.is_empty() {
            return Outcome::Blocked;
        }
        let item = self.items.remove(0);
        self.taken.push((who, item));
        self.taken.sort_unstable();
        Outcome::Number(item.1)
    }
}

impl Model for Queue {
    fn step(&mut self, op: &Op) -> bool {
        let found = |item: Option<_>| if item.is_some() { Outcome::Nothing } else { Outcome::NotHeld };
        let answer = match op.call {
            Call::Put(_) if self.items.len() >= self.room => Outcome::Blocked,
            Call::Put(item) => {
                self.come_back((self.next, item));
                self.next += 1;
                Outcome::Nothing
            }
            Call::Take => self.take(op.who),
            Call::DoneLast => {
                self.taken.retain(|taken| taken.0 != op.who);
                Outcome::Nothing
            }
            Call::Done(item) => found(self.give_up(op.who, item)),
            Call::GiveBack(item) => {
                let item = self.give_up(op.who, item);
                item.into_iter().for_each(|item| self.come_back(item));
                found(item)
            }
            Call::Join if self.items.len() + self.taken.len() > 0 => Outcome::Blocked,
            Call::Join => Outcome::Nothing,
            Call::Len => Outcome::Number(self.items.len() as u64),
            Call::Death(_) => {
                let taken = std::mem::take(&mut self.taken);
                for (who, item) in taken {
                    match who.process == op.who.process {
                        true => self.come_back(item),
                        false => self.taken.push((who, item)),
                    }
                }
                Outcome::Nothing
            }
            _ => return false,
        };
        // What was not told and would have had to wait has not happened yet.
        (answer != Outcome::Blocked || op.outcome.is_some()) && as_told(op, Some(answer))
    }
}

/// Accounts, a log and a count, which transactions change together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bank {
    accounts: Vec<u64>,
    log: Vec<u64>,
    count: u64,
}

impl Bank {
    pub(crate) fn new(accounts: &[u64]) -> Self {
        Bank { accounts: accounts.to_vec(), log: Vec::new(), count: 0 }
    }
}

impl Model for Bank {
    fn step(&mut self, op: &Op) -> bool {
        if matches!(op.call, Call::Transfer { .. } | Call::Audit | Call::Spoil)
            && op.outcome == Some(Outcome::Conflict)
        {
            return true;
        }
        let answer = match op.call {
            // What it read, as an answer.
            Call::Transfer { from, to, amount, number } => {
                let (from, to) = (from as usize, to as usize);
                let read = vec![self.accounts[from], self.accounts[to]];
                let moved = amount.min(self.accounts[from]);
                self.accounts[from] -= moved;
                self.accounts[to] += moved;
                self.log.push(number);
                self.count += 1;
                Outcome::Items(read)
            }
            Call::Audit => {
                let rest = [self.log.len() as u64, self.count];
                Outcome::Items(self.accounts.iter().copied().chain(rest).collect())
            }
            Call::Spoil => Outcome::OutOfRange,
            // One object alone.
            Call::Get(account) => Outcome::Maybe(self.accounts.get(account as usize).copied()),
            Call::Add(account, amount) => {
                self.accounts[account as usize] += amount;
                Outcome::Number(self.accounts[account as usize])
            }
            Call::Len => Outcome::Number(self.count),
            Call::Snapshot => Outcome::Items(self.log.clone()),
            _ => return false,
        };
        as_told(op, Some(answer))
    }
}
