//! Namespace: values of different types under names.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::any::Any;
use super::object::Object;
use crate::manager::client::call::{Call, maybe, nothing};
use crate::manager::error::ManagerResult;

/// Values of different types under names, on a manager; every method is one atomic step on the server.
///
/// A process that dies leaves every call it made done or not done.
pub struct Namespace {
    pub(super) object: Object,
}

impl Namespace {
    pub(super) fn from_target(object: Object) -> Self {
        Namespace { object }
    }

    /// The value of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::manager::ManagerError::Decode) if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> ManagerResult<Option<T>> {
        self.get_call(name)?.run()
    }

    /// The same as a call, for batches and transactions.
    ///
    /// # Errors
    ///
    /// None that depends on the object.
    pub fn get_call<T: DeserializeOwned>(&self, name: &str) -> ManagerResult<Call<Option<T>>> {
        self.object.target().call("get").arg(name).reads(maybe)
    }

    /// Gives a name a value.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::manager::ManagerError::Encode), and limits of the server.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> ManagerResult<()> {
        self.set_call(name, value)?.run()
    }

    /// The same as a call, for batches and transactions.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::manager::ManagerError::Encode).
    pub fn set_call<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> ManagerResult<Call<()>> {
        self.object.target().call("set").arg(name).arg(value).reads(nothing)
    }

    /// Adds to the number of this name, which counts as 0 if it is missing; the sum.
    ///
    /// # Errors
    ///
    /// [`Arithmetic`](crate::manager::ManagerError::Arithmetic) if it is no number, or the sum fits none.
    pub fn add<T: Serialize + DeserializeOwned>(&self, name: &str, number: &T) -> ManagerResult<T> {
        self.object.target().call("add").arg(name).arg(number).run()
    }

    /// Takes a name away; whether it was there.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn remove(&self, name: &str) -> ManagerResult<bool> {
        let removed: Vec<Any> = self.object.target().call("remove").arg(name).run()?;
        Ok(!removed.is_empty())
    }

    /// Whether there is such a name.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn contains(&self, name: &str) -> ManagerResult<bool> {
        self.object.target().call("contains").arg(name).run()
    }

    /// All names and values, as they are at one moment, in the order the names came.
    ///
    /// # Errors
    ///
    /// [`Limit`](crate::manager::ManagerError::Limit) if they do not fit in a frame.
    pub fn snapshot(&self) -> ManagerResult<Vec<(String, Any)>> {
        self.object.target().call("snapshot").run()
    }
}

proxy!(Namespace, "namespace", ());
