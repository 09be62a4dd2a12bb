//! List: values in a row.

use std::marker::PhantomData;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::object::Object;
use super::seen::update_item;
use crate::manager::Manager;
use crate::manager::client::call::{Call, maybe, nothing, plain};
use crate::manager::error::{ManagerError, ManagerResult};

/// A list on a manager, of whatever serde can carry; every method is one atomic step on the server.
///
/// ```
/// # use procshare::manager::{Address, Server};
/// # fn main() -> procshare::Result<()> {
/// # let address = Address::Unix(std::env::temp_dir().join(format!("procshare-doc-list-{}.sock", std::process::id())));
/// # let server = Server::bind(&address)?;
/// # let handle = server.handle();
/// # let running = std::thread::spawn(move || server.run());
/// use procshare::manager::{List, Manager};
///
/// let manager = Manager::connect(&address)?;
/// let names = List::<String>::anonymous(&manager)?;
/// names.extend(&["Bob".into(), "Ada".into()])?;
/// names.sort(false)?;
/// assert_eq!(names.snapshot()?, ["Ada", "Bob"]);
/// # handle.shutdown();
/// # running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// A process that dies leaves every call it made done or not done.
pub struct List<T> {
    pub(super) object: Object,
    of: PhantomData<fn() -> T>,
}

impl<T> List<T> {
    pub(super) fn from_target(object: Object) -> Self {
        List { object, of: PhantomData }
    }
}

proxy!(List<T>, "list", ());
filled!(List<T>, "list", items: &[T]);

methods!(List, ListCalls, <T>, {
    /// The element at an index, if there is one.
    get(index: u64) -> Option<T> = "get", maybe;
    /// Puts an element in the place of another one, which is returned.
    set(index: u64, item: &T) -> T = "set", plain;
    /// How many elements there are.
    len() -> u64 = "len", plain;
    /// Appends an element.
    push(item: &T) -> () = "push", nothing;
    /// Puts an element in front of all others.
    push_front(item: &T) -> () = "push_front", nothing;
    /// Takes the last element.
    pop() -> Option<T> = "pop", maybe;
    /// Takes the first element.
    pop_front() -> Option<T> = "pop_front", maybe;
    /// Puts an element before the one at an index, or at the end.
    insert(index: u64, item: &T) -> () = "insert", nothing;
    /// Takes the element at an index.
    remove(index: u64) -> T = "remove", plain;
    /// Removes the first element that equals `item`; whether there was one.
    remove_value(item: &T) -> bool = "remove_value", plain;
    /// Appends many elements, in one step.
    extend(items: &[T]) -> () = "extend", nothing;
    /// Keeps the first `len` elements.
    truncate(len: u64) -> () = "truncate", nothing;
    /// Removes all elements.
    clear() -> () = "clear", nothing;
    /// Exchanges two elements.
    swap(a: u64, b: u64) -> () = "swap", nothing;
    /// Sorts by value: nil, bools, numbers, texts, bytes, lists, maps; the greatest first if `descending`.
    sort(descending: bool) -> () = "sort", nothing;
    /// Turns the order round.
    reverse() -> () = "reverse", nothing;
    /// The index of the first element that equals `item`.
    index_of(item: &T) -> Option<u64> = "index_of", plain;
    /// All elements, as they are at one moment; for long lists see [`iter`](List::iter).
    snapshot() -> Vec<T> = "slice", plain;
    /// The last element, if there is one.
    last() -> Option<T> = "last", maybe;
    /// How many elements equal `item`.
    count(item: &T) -> u64 = "count", plain;
    /// Adds to the number at an index; the sum.
    add(index: u64, number: &T) -> T = "add", plain;
});

impl<T: Serialize + DeserializeOwned> List<T> {
    /// Whether there is no element.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> ManagerResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether an element equals `item`.
    ///
    /// # Errors
    ///
    /// As [`index_of`](Self::index_of).
    pub fn contains(&self, item: &T) -> ManagerResult<bool> {
        Ok(self.index_of(item)?.is_some())
    }

    /// The elements of a range, as they are at one moment.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn slice(&self, range: Range<u64>) -> ManagerResult<Vec<T>> {
        self.calls().slice(range)?.run()
    }

    /// Puts elements in the place of a range, which may have another length.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn set_slice(&self, range: Range<u64>, items: &[T]) -> ManagerResult<()> {
        self.calls().set_slice(range, items)?.run()
    }

    /// Takes the elements of a range out.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn drain(&self, range: Range<u64>) -> ManagerResult<Vec<T>> {
        self.calls().drain(range)?.run()
    }

    /// Puts `new` in the place of an element if that equals `expected`; else what is there instead is the inner error.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange).
    pub fn compare_and_swap(&self, index: u64, expected: &T, new: &T) -> ManagerResult<Result<(), T>> {
        compare_and_swap(&self.object, index, expected, new)
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

    /// Changes the whole list by a function, in one step: the function runs again if somebody else was faster, at most 1,000 times.
    ///
    /// For what has no method of its own, such as sorting by a key. All elements travel both ways.
    ///
    /// # Errors
    ///
    /// [`Limit`](crate::manager::ManagerError::Limit) if they do not fit in a frame,
    /// [`Conflict`](crate::manager::ManagerError::Conflict).
    ///
    /// ```
    /// use procshare::manager::{List, Manager};
    ///
    /// let manager = Manager::start()?;
    /// let names = List::<String>::anonymous(&manager)?;
    /// names.extend(&["Charles".into(), "Ada".into()])?;
    /// names.edit(|names| names.sort_by_key(String::len))?;
    /// assert_eq!(names.snapshot()?, ["Ada", "Charles"]);
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn edit<R>(&self, mut change: impl FnMut(&mut Vec<T>) -> R) -> ManagerResult<R> {
        let manager = Manager::through(&self.object.reference().link);
        manager.transaction(|plan| {
            let mut items = plan.read(self.calls().snapshot()?)?;
            let len = items.len() as u64;
            let result = change(&mut items);
            plan.write(self.calls().set_slice(0..len, &items)?)?;
            Ok(result)
        })
    }

    /// All elements by their index, fetched in pages. While others insert or remove, elements may be missed or come twice.
    pub fn iter(&self) -> ListIter<T> {
        ListIter::new(&self.object)
    }
}

impl<'a, T: Serialize + DeserializeOwned> ListCalls<'a, T> {
    /// The elements of a range, as they are at one moment.
    ///
    /// # Errors
    ///
    /// None that depends on the object.
    pub fn slice(&self, range: Range<u64>) -> ManagerResult<Call<'a, Vec<T>>> {
        self.proxy.object.target().call("slice").arg(&range.start).arg(&range.end).reads(plain)
    }

    /// Puts elements in the place of a range, which may have another length.
    ///
    /// # Errors
    ///
    /// If an element cannot be written.
    pub fn set_slice(&self, range: Range<u64>, items: &[T]) -> ManagerResult<Call<'a, ()>> {
        let draft = self.proxy.object.target().call("set_slice").arg(&range.start).arg(&range.end);
        draft.arg(items).reads(nothing)
    }

    /// Takes the elements of a range out.
    ///
    /// # Errors
    ///
    /// None that depends on the object.
    pub fn drain(&self, range: Range<u64>) -> ManagerResult<Call<'a, Vec<T>>> {
        self.proxy.object.target().call("drain").arg(&range.start).arg(&range.end).reads(plain)
    }
}

/// The new element at an index that `change` made of the one there.
pub(super) fn updated<T: Serialize + DeserializeOwned>(
    object: &Object,
    index: u64,
    change: impl FnMut(&T) -> T,
) -> ManagerResult<T> {
    let missing = || ManagerError::OutOfRange { message: format!("there is no element at index {index}") };
    update_item(object, index, change)?.ok_or_else(missing)
}

pub(super) fn compare_and_swap<T: Serialize + DeserializeOwned>(
    object: &Object,
    index: u64,
    expected: &T,
    new: &T,
) -> ManagerResult<Result<(), T>> {
    let draft = object.target().call("compare_and_swap").arg(&index).arg(expected).arg(new);
    let (done, there): (bool, T) = draft.run()?;
    Ok(if done { Ok(()) } else { Err(there) })
}

/// The elements of a [`List`] or [`Array`](super::Array), fetched in pages; after an error it ends.
pub struct ListIter<T> {
    object: Object,
    page: std::vec::IntoIter<T>,
    next: Option<u64>,
}

/// Elements in one page, at most.
const PAGE: u64 = 1000;

impl<T> ListIter<T> {
    pub(super) fn new(object: &Object) -> Self {
        ListIter { object: object.clone(), page: Vec::new().into_iter(), next: Some(0) }
    }
}

impl<T: DeserializeOwned> Iterator for ListIter<T> {
    type Item = ManagerResult<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let start = self.next.take()?;
            match self.object.target().call("page").arg(&start).arg(&PAGE).run::<Vec<T>>() {
                Ok(page) => {
                    self.next = (!page.is_empty()).then_some(start + page.len() as u64);
                    self.page = page.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
