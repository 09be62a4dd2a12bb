//! Value and Array: one value, and a fixed number of them.

use std::marker::PhantomData;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::list::{ListIter, compare_and_swap, updated};
use super::object::Object;
use crate::manager::client::call::{maybe, nothing, plain};
use crate::manager::error::ManagerResult;

/// One value on a manager, of whatever serde can carry; every method is one atomic step on the server.
///
/// A process that dies leaves the old value or the new one.
pub struct Value<T> {
    pub(super) object: Object,
    of: PhantomData<fn() -> T>,
}

impl<T> Value<T> {
    pub(super) fn from_target(object: Object) -> Self {
        Value { object, of: PhantomData }
    }
}

proxy!(travels Value<T>);

impl<T: Serialize + DeserializeOwned> Value<T> {
    /// Makes a new value under a name.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::manager::ManagerError::AlreadyExists) if the name is taken.
    pub fn create(manager: &crate::manager::Manager, name: &str, value: &T) -> ManagerResult<Self> {
        made(manager, "create", Some(name), "value", value).map(Self::from_target)
    }

    /// Opens the value of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::manager::ManagerError::NotFound), [`WrongKind`](crate::manager::ManagerError::WrongKind).
    pub fn open(manager: &crate::manager::Manager, name: &str) -> ManagerResult<Self> {
        manager.object(manager.call("open").arg("value").arg(name)).map(Self::from_target)
    }

    /// Opens the value of this name, or makes it.
    ///
    /// # Errors
    ///
    /// [`WrongKind`](crate::manager::ManagerError::WrongKind) if it exists and is of another kind.
    pub fn open_or_create(manager: &crate::manager::Manager, name: &str, value: &T) -> ManagerResult<Self> {
        made(manager, "open_or_create", Some(name), "value", value).map(Self::from_target)
    }

    /// Makes a new value without a name.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected), and limits of the server.
    pub fn anonymous(manager: &crate::manager::Manager, value: &T) -> ManagerResult<Self> {
        made(manager, "create", None, "value", value).map(Self::from_target)
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::manager::ManagerError::Decode) if somebody stored another type.
    pub fn get(&self) -> ManagerResult<T> {
        self.calls().get()?.run()
    }

    /// Puts a value in the place of the one that is there, which is returned.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn set(&self, value: &T) -> ManagerResult<T> {
        self.calls().set(value)?.run()
    }

    /// Adds to the number; the sum.
    ///
    /// # Errors
    ///
    /// [`Arithmetic`](crate::manager::ManagerError::Arithmetic) if it is no number, or the sum fits none.
    pub fn add(&self, number: &T) -> ManagerResult<T> {
        self.calls().add(number)?.run()
    }

    /// Puts `new` in the place of the value if that equals `expected`; else what is there instead is the inner error.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn compare_and_swap(&self, expected: &T, new: &T) -> ManagerResult<Result<(), T>> {
        compare_and_swap(&self.object, 0, expected, new)
    }

    /// Changes the value by a function of it, in one step: the function runs again if somebody else was faster. The new value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn update(&self, change: impl FnMut(&T) -> T) -> ManagerResult<T> {
        updated(&self.object, 0, change)
    }

    /// The same methods as values: to be sent together, or in a transaction.
    pub fn calls(&self) -> ValueCalls<'_, T> {
        ValueCalls { proxy: self }
    }
}

/// The methods of [`Value`] as calls.
pub struct ValueCalls<'a, T> {
    proxy: &'a Value<T>,
}

impl<'a, T: Serialize + DeserializeOwned> ValueCalls<'a, T> {
    /// The value.
    ///
    /// # Errors
    ///
    /// None; the others can fail where their argument cannot be written.
    pub fn get(&self) -> ManagerResult<crate::manager::Call<'a, T>> {
        self.proxy.object.target().call("get").arg(&0).reads(only)
    }

    /// Puts a value; the one that was there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn set(&self, value: &T) -> ManagerResult<crate::manager::Call<'a, T>> {
        self.proxy.object.target().call("set").arg(&0).arg(value).reads(plain)
    }

    /// Adds to the number; the sum.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn add(&self, number: &T) -> ManagerResult<crate::manager::Call<'a, T>> {
        self.proxy.object.target().call("add").arg(&0).arg(number).reads(plain)
    }
}

fn only<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let missing = || serde::de::Error::custom("the value is missing");
    maybe(bytes)?.ok_or_else(missing)
}

fn made<T: Serialize + ?Sized>(
    manager: &crate::manager::Manager,
    how: &'static str,
    name: Option<&str>,
    kind: &str,
    content: &T,
) -> ManagerResult<Object> {
    manager.object(manager.call(how).arg(kind).arg(&name).arg(content))
}

/// A fixed number of values on a manager; every method is one atomic step on the server.
///
/// A process that dies leaves every call it made done or not done.
pub struct Array<T> {
    pub(super) object: Object,
    of: PhantomData<fn() -> T>,
}

impl<T> Array<T> {
    pub(super) fn from_target(object: Object) -> Self {
        Array { object, of: PhantomData }
    }
}

proxy!(travels Array<T>);

impl<T: Serialize + DeserializeOwned> Array<T> {
    /// Whether it has no element.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> ManagerResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes a new array of these elements under a name.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::manager::ManagerError::AlreadyExists) if the name is taken.
    pub fn create(manager: &crate::manager::Manager, name: &str, items: &[T]) -> ManagerResult<Self> {
        made(manager, "create", Some(name), "array", items).map(Self::from_target)
    }

    /// Opens the array of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::manager::ManagerError::NotFound), [`WrongKind`](crate::manager::ManagerError::WrongKind).
    pub fn open(manager: &crate::manager::Manager, name: &str) -> ManagerResult<Self> {
        manager.object(manager.call("open").arg("array").arg(name)).map(Self::from_target)
    }

    /// Opens the array of this name, or makes it of these elements.
    ///
    /// # Errors
    ///
    /// [`WrongKind`](crate::manager::ManagerError::WrongKind) if it exists and is of another kind.
    pub fn open_or_create(manager: &crate::manager::Manager, name: &str, items: &[T]) -> ManagerResult<Self> {
        made(manager, "open_or_create", Some(name), "array", items).map(Self::from_target)
    }

    /// Makes a new array of these elements without a name.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected), and limits of the server.
    pub fn anonymous(manager: &crate::manager::Manager, items: &[T]) -> ManagerResult<Self> {
        made(manager, "create", None, "array", items).map(Self::from_target)
    }

    /// The elements of a range, as they are at one moment.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn slice(&self, range: Range<u64>) -> ManagerResult<Vec<T>> {
        self.object.target().call("slice").arg(&range.start).arg(&range.end).run()
    }

    /// Whether an element equals `item`.
    ///
    /// # Errors
    ///
    /// As [`index_of`](Self::index_of).
    pub fn contains(&self, item: &T) -> ManagerResult<bool> {
        Ok(self.index_of(item)?.is_some())
    }

    /// Changes the element at an index by a function of it, in one step: the function runs again if somebody else was faster.
    /// The new element.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn update(&self, index: u64, change: impl FnMut(&T) -> T) -> ManagerResult<T> {
        updated(&self.object, index, change)
    }

    /// All elements by their index, fetched in pages.
    pub fn iter(&self) -> ListIter<T> {
        ListIter::new(&self.object)
    }

    /// Puts elements from `start` on, in one step.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange) if they go beyond the end.
    pub fn set_slice(&self, start: u64, items: &[T]) -> ManagerResult<()> {
        let end = start.saturating_add(items.len() as u64);
        self.object.target().call("set_slice").arg(&start).arg(&end).arg(items).done()
    }

    /// Puts `new` in the place of an element if that equals `expected`; else what is there instead is the inner error.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn compare_and_swap(&self, index: u64, expected: &T, new: &T) -> ManagerResult<Result<(), T>> {
        compare_and_swap(&self.object, index, expected, new)
    }
}

methods!(Array, ArrayCalls, <T>, {
    /// The element at an index, if there is one.
    get(index: u64) -> Option<T> = "get", maybe;
    /// Puts an element in the place of another one, which is returned.
    set(index: u64, item: &T) -> T = "set", plain;
    /// How many elements there are.
    len() -> u64 = "len", plain;
    /// Exchanges two elements.
    swap(a: u64, b: u64) -> () = "swap", nothing;
    /// All elements, as they are at one moment; for long arrays see [`iter`](Array::iter).
    snapshot() -> Vec<T> = "slice", plain;
    /// Sorts by value, as [`List::sort`](super::List::sort).
    sort(descending: bool) -> () = "sort", nothing;
    /// Turns the order round.
    reverse() -> () = "reverse", nothing;
    /// The index of the first element that equals `item`.
    index_of(item: &T) -> Option<u64> = "index_of", plain;
    /// How many elements equal `item`.
    count(item: &T) -> u64 = "count", plain;
    /// Puts one element everywhere.
    fill(item: &T) -> () = "fill", nothing;
    /// Adds to the number at an index; the sum.
    add(index: u64, number: &T) -> T = "add", plain;
});
