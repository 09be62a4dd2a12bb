//! What there is to know of one object.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manager::Manager;
use crate::manager::error::ManagerResult;
use crate::manager::proxy::Any;

/// All there is to know of an object of a manager, as [`Manager::describe`] tells: a moment later it may be otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ObjectDetail {
    /// Its number, which is never used again as long as the server runs.
    pub number: u64,
    /// Its kind, such as `dict`, or the name of a registered type.
    pub kind: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How many references keep it: its name, clients, stored values.
    pub references: u64,
    /// What it is in: such as `elements`, `held`, `free`, `closed`, by its kind.
    pub state: BTreeMap<String, Any>,
    /// The clients that refer to it, wait for it, or hold it.
    pub clients: Vec<ObjectClient>,
    /// The numbers of the clients whose calls wait in it, in the order in which they came.
    pub waiting: Vec<u64>,
    /// Who has the lock, permits, seats, or items that were not acknowledged.
    pub holders: Vec<ObjectHolder>,
    /// The first elements of a collection: of a dict as lists of key and value.
    pub first: Vec<Any>,
}

/// A client that has to do with an object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ObjectClient {
    /// Its number, which is never used again as long as the server runs.
    pub client: u64,
    /// Its process and user, or its address, in words; empty if its connection was cut.
    pub who: String,
    /// How many references to the object were sent to it and not given back.
    pub references: u64,
}

/// A holding of something that an object gives out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ObjectHolder {
    /// The client's number.
    pub client: u64,
    /// Such as `fence`, `permits` or `item`.
    pub figures: BTreeMap<String, u64>,
}

impl Manager {
    /// All there is to know of the object of this name, with at most so many elements. Looking changes nothing.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotFound`](crate::manager::ManagerError::NotFound),
    /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected).
    ///
    /// ```
    /// use procshare::manager::{Lock, Manager};
    ///
    /// let manager = Manager::start()?;
    /// let turn = Lock::create(&manager, "turn")?;
    /// let guard = turn.lock()?;
    /// let seen = manager.describe("turn", 0)?;
    /// assert_eq!((seen.kind.as_str(), seen.holders.len()), ("lock", 1));
    /// assert_eq!(seen.holders[0].figures["fence"], guard.fence());
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn describe(&self, name: &str, elements: u64) -> ManagerResult<ObjectDetail> {
        self.call("describe").arg(name).arg(&()).arg(&elements).run()
    }

    /// All there is to know of the object of this number, which may have no name, with at most so many elements.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if there is none,
    /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn describe_number(&self, number: u64, elements: u64) -> ManagerResult<ObjectDetail> {
        self.call("describe").arg(&()).arg(&number).arg(&elements).run()
    }
}
