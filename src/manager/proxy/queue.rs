//! Queue and JoinableQueue.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::object::Object;
use super::timeout::Wait;
use crate::manager::client::call::Call;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::read::{Malformed, Reader};
use crate::queue::{GetError, PutError};

/// Items from many producers to many consumers, through a manager; first in, first out.
///
/// An item whose `put` returned is delivered: a consumer that dies before `get` has returned to it gives the item back, to its place.
/// So work may be begun twice, never zero times.
pub struct Queue<T> {
    pub(super) object: Object,
    of: PhantomData<fn() -> T>,
}

/// A [`Queue`] whose items are tasks: they count as unfinished until they are done, and come back if their worker dies.
pub struct JoinableQueue<T> {
    pub(super) object: Object,
    of: PhantomData<fn() -> T>,
}

macro_rules! queues {
    ($name:ident, $kind:literal) => {
        impl<T> $name<T> {
            pub(super) fn from_target(object: Object) -> Self {
                $name { object, of: PhantomData }
            }

            /// How many items wait to be taken; outdated as soon as it is told.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn len(&self) -> ManagerResult<u64> {
                self.object.target().call("len").run()
            }

            /// Whether no item waits to be taken.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn is_empty(&self) -> ManagerResult<bool> {
                Ok(self.len()? == 0)
            }

            /// Whether a `put` would wait.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn is_full(&self) -> ManagerResult<bool> {
                let (items, _, _, most, _) = status(&self.object)?;
                Ok(most.is_some_and(|most| items >= most))
            }

            /// As many items as fit, given out ones not counted; `None` if there is no end.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn room(&self) -> ManagerResult<Option<u64>> {
                Ok(status(&self.object)?.3)
            }

            /// Whether it is closed; what is there can still be taken.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn is_closed(&self) -> ManagerResult<bool> {
                Ok(status(&self.object)?.4)
            }

            /// Lets nobody put any more; what is there can be taken.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn close(&self) -> ManagerResult<()> {
                self.object.target().call("close").done()
            }
        }

        impl<T: Serialize> $name<T> {
            /// Puts an item, waiting for room as long as it takes.
            ///
            /// # Errors
            ///
            /// [`PutError::Closed`], [`PutError::Failed`]; the item comes back.
            pub fn put(&self, item: T) -> Result<(), PutError<T>> {
                put(&self.object, item, Wait::Never)
            }

            /// Puts an item if there is room.
            ///
            /// # Errors
            ///
            /// As [`put`](Self::put), and [`PutError::Full`].
            pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
                put(&self.object, item, Wait::Now)
            }

            /// Puts an item, waiting for room for so long.
            ///
            /// # Errors
            ///
            /// As [`put`](Self::put), and [`PutError::TimedOut`].
            pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
                put(&self.object, item, Wait::For(timeout))
            }
        }

        proxy!($name<T>, $kind, (room: Option<u64>));
    };
}

queues!(Queue, "queue");
queues!(JoinableQueue, "joinable_queue");

/// Items, given out, unfinished, room, closed.
fn status(object: &Object) -> ManagerResult<(u64, u64, u64, Option<u64>, bool)> {
    object.target().call("status").run()
}

fn put<T: Serialize>(object: &Object, item: T, wait: Wait) -> Result<(), PutError<T>> {
    match object.target().call("put").arg(&item).arg(&wait.milliseconds()).done() {
        Ok(()) => Ok(()),
        Err(ManagerError::WouldBlock) => Err(PutError::Full(item)),
        Err(ManagerError::TimedOut) => Err(PutError::TimedOut(item)),
        Err(ManagerError::Closed) => Err(PutError::Closed(item)),
        Err(error) => Err(PutError::Failed(item, error.into())),
    }
}

/// An item that was given out: the number by which it is acknowledged, and what it is.
struct Given<T> {
    tag: u64,
    item: Result<T, String>,
}

impl<T: DeserializeOwned> Given<T> {
    fn read(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        let bad = |malformed: Malformed| rmp_serde::decode::Error::custom(malformed);
        let mut reader = Reader::new(bytes);
        reader.array().map_err(bad)?;
        let tag = reader.uint().map_err(bad)?;
        let item = rmp_serde::from_slice(reader.rest()).map_err(|error| error.to_string());
        Ok(Given { tag, item })
    }
}

/// An item that was given out, with its number. What is no `T` goes back to its place, for whoever knows what it is.
fn get<T: DeserializeOwned>(object: &Object, wait: Wait) -> Result<(u64, T), GetError> {
    let draft = object.target().call("get").arg(&wait.milliseconds());
    let given = draft.reads(Given::<T>::read).and_then(Call::run).map_err(|error| match error {
        ManagerError::WouldBlock => GetError::Empty,
        ManagerError::TimedOut => GetError::TimedOut,
        ManagerError::Closed => GetError::Closed,
        error => GetError::Failed(error.into()),
    })?;
    match given.item {
        Ok(item) => Ok((given.tag, item)),
        Err(reason) => {
            object.target().call("give_back").arg(&given.tag).tell();
            let error = ManagerError::Decode { what: std::any::type_name::<T>(), reason };
            Err(GetError::Failed(error.into()))
        }
    }
}

fn taken<T: DeserializeOwned>(object: &Object, wait: Wait) -> Result<T, GetError> {
    let (tag, item) = get(object, wait)?;
    object.target().call("ack").arg(&tag).tell();
    Ok(item)
}

impl<T: DeserializeOwned> Queue<T> {
    /// Takes an item, waiting for one as long as it takes.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`], [`GetError::Failed`].
    pub fn get(&self) -> Result<T, GetError> {
        taken(&self.object, Wait::Never)
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`GetError::Empty`].
    pub fn try_get(&self) -> Result<T, GetError> {
        taken(&self.object, Wait::Now)
    }

    /// Takes an item, waiting for one for so long.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        taken(&self.object, Wait::For(timeout))
    }
}

impl<T: DeserializeOwned> JoinableQueue<T> {
    /// Takes a task, waiting for one as long as it takes.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`], [`GetError::Failed`].
    pub fn get(&self) -> Result<Task<T>, GetError> {
        self.task(Wait::Never)
    }

    /// Takes a task if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`GetError::Empty`].
    pub fn try_get(&self) -> Result<Task<T>, GetError> {
        self.task(Wait::Now)
    }

    /// Takes a task, waiting for one for so long.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<Task<T>, GetError> {
        self.task(Wait::For(timeout))
    }

    fn task(&self, wait: Wait) -> Result<Task<T>, GetError> {
        let (tag, item) = get(&self.object, wait)?;
        Ok(Task { object: self.object.clone(), tag, item })
    }
}

impl<T> JoinableQueue<T> {
    /// Waits until every task that was put is done.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn join(&self) -> ManagerResult<()> {
        self.object.target().call("join").arg(&Wait::Never.milliseconds()).done()
    }

    /// The same, for so long.
    ///
    /// # Errors
    ///
    /// [`ManagerError::TimedOut`].
    pub fn join_timeout(&self, timeout: Duration) -> ManagerResult<()> {
        let done = self.object.target().call("join").arg(&Wait::For(timeout).milliseconds()).done();
        done.map_err(|error| match error {
            ManagerError::WouldBlock => ManagerError::TimedOut,
            error => error,
        })
    }

    /// How many tasks are not done: those that wait, and those that are worked on.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn unfinished(&self) -> ManagerResult<u64> {
        Ok(status(&self.object)?.2)
    }
}

/// A task under way: done when it is dropped, given back if that happens in a panic, or if the worker dies.
#[must_use = "dropping it says that the task is done"]
pub struct Task<T> {
    object: Object,
    tag: u64,
    item: T,
}

impl<T> Task<T> {
    /// Says that the task is done, and finds out whether that counted.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if it was given to another worker meanwhile, [`ManagerError::Disconnected`].
    pub fn done(mut self) -> ManagerResult<()> {
        let tag = std::mem::take(&mut self.tag);
        self.object.target().call("ack").arg(&tag).done()
    }

    /// Whether the connection is gone: then the task goes to another worker. Asks the server.
    pub fn is_lost(&self) -> bool {
        self.object.is_cut_off()
    }

    /// Gives the task back, to its place.
    ///
    /// # Errors
    ///
    /// As [`done`](Self::done).
    pub fn give_back(mut self) -> ManagerResult<()> {
        let tag = std::mem::take(&mut self.tag);
        self.object.target().call("give_back").arg(&tag).done()
    }
}

impl<T> std::ops::Deref for Task<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.tag != 0 {
            let how = if std::thread::panicking() { "give_back" } else { "ack" };
            self.object.target().call(how).arg(&self.tag).tell();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.item).finish()
    }
}
