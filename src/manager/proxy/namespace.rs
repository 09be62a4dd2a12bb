//! Namespace: values of different types under names.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::any::Any;
use super::object::Object;
use super::seen::update_pair;
use crate::manager::client::call::{Call, maybe, nothing, plain};
use crate::manager::error::ManagerResult;

/// Values of different types under names, on a manager; every method is one atomic step on the server.
///
/// Each name is read as what the reader takes it for; [`Any`] takes all.
///
/// ```
/// use procshare::manager::{Manager, Namespace};
///
/// let manager = Manager::start()?;
/// let config = Namespace::create(&manager, "config")?;
/// config.set("host", "localhost")?;
/// config.set("threads", &4)?;
/// assert_eq!(config.get::<u32>("threads")?, Some(4));
/// assert_eq!(config.names()?, ["host", "threads"]);
/// # Ok::<(), procshare::Error>(())
/// ```
///
/// A process that dies leaves every call it made done or not done.
pub struct Namespace {
    pub(super) object: Object,
}

impl Namespace {
    pub(super) fn from_target(object: Object) -> Self {
        Namespace { object }
    }

    /// The same methods as values: to be sent together, or in a transaction.
    pub fn calls(&self) -> NamespaceCalls<'_> {
        NamespaceCalls { proxy: self }
    }

    /// The value of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::manager::ManagerError::Decode) if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> ManagerResult<Option<T>> {
        self.calls().get(name)?.run()
    }

    /// Gives a name a value.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::manager::ManagerError::Encode), and limits of the server.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> ManagerResult<()> {
        self.calls().set(name, value)?.run()
    }

    /// Adds to the number of this name, which counts as 0 if it is missing; the sum.
    ///
    /// # Errors
    ///
    /// [`Arithmetic`](crate::manager::ManagerError::Arithmetic) if it is no number, or the sum fits none.
    pub fn add<T: Serialize + DeserializeOwned>(&self, name: &str, number: &T) -> ManagerResult<T> {
        self.calls().add(name, number)?.run()
    }

    /// The value of this name, which becomes `value` if there is none: of many who do it at once all get the same one.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set) and [`get`](Self::get).
    pub fn get_or_insert<T: Serialize + DeserializeOwned>(&self, name: &str, value: &T) -> ManagerResult<T> {
        let draft = self.object.target().call("get_or_insert").arg(name).arg(value);
        draft.run::<(bool, T)>().map(|(_, value)| value)
    }

    /// Changes the value of a name by a function of what is there, in one step: the function runs again if somebody else was
    /// faster. `None` takes the name away. The new value.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set) and [`get`](Self::get).
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        change: impl FnMut(Option<&T>) -> Option<T>,
    ) -> ManagerResult<Option<T>> {
        update_pair(&self.object, name, change)
    }

    /// Takes a name away; whether it was there.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn remove(&self, name: &str) -> ManagerResult<bool> {
        self.calls().remove(name)?.run()
    }

    /// Whether there is such a name.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn contains(&self, name: &str) -> ManagerResult<bool> {
        self.object.target().call("contains").arg(name).run()
    }

    /// All names, in the order they came.
    ///
    /// # Errors
    ///
    /// [`Limit`](crate::manager::ManagerError::Limit) if they do not fit in a frame.
    pub fn names(&self) -> ManagerResult<Vec<String>> {
        self.object.target().call("keys").run()
    }

    /// How many names there are.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn len(&self) -> ManagerResult<u64> {
        self.object.target().call("len").run()
    }

    /// Whether there is no name.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> ManagerResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Takes all names away.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn clear(&self) -> ManagerResult<()> {
        self.object.target().call("clear").done()
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

/// The methods of [`Namespace`] as calls.
pub struct NamespaceCalls<'a> {
    proxy: &'a Namespace,
}

impl<'a> NamespaceCalls<'a> {
    /// The value of this name, if there is one.
    ///
    /// # Errors
    ///
    /// None; the others can fail where their argument cannot be written.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> ManagerResult<Call<'a, Option<T>>> {
        self.proxy.object.target().call("get").arg(name).reads(maybe)
    }

    /// Gives a name a value.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> ManagerResult<Call<'a, ()>> {
        self.proxy.object.target().call("set").arg(name).arg(value).reads(nothing)
    }

    /// Adds to the number of this name, which counts as 0 if it is missing; the sum.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn add<T: Serialize + DeserializeOwned>(&self, name: &str, number: &T) -> ManagerResult<Call<'a, T>> {
        self.proxy.object.target().call("add").arg(name).arg(number).reads(plain)
    }

    /// Takes a name away; whether it was there.
    ///
    /// # Errors
    ///
    /// None.
    pub fn remove(&self, name: &str) -> ManagerResult<Call<'a, bool>> {
        self.proxy.object.target().call("remove").arg(name).reads(was_there)
    }
}

/// Whether an array of none or one has one.
fn was_there(bytes: &[u8]) -> Result<bool, rmp_serde::decode::Error> {
    plain::<Vec<serde::de::IgnoredAny>>(bytes).map(|removed| !removed.is_empty())
}
