//! Dict: keys and values, in the order the keys came.

use std::borrow::Borrow;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::object::Object;
use super::seen::update_pair;
use crate::manager::client::call::{maybe, nothing, plain, swapped};
use crate::manager::error::ManagerResult;

/// A map on a manager: from any key to any value that serde can carry, in the order the keys came.
///
/// Every method is one atomic step on the server. Keys are compared by their content: `1`, `1.0` and `1u64` are one key;
/// NaN is none. `K` and `V` are what this process takes them for; another one may use other types, and [`Any`](crate::manager::Any)
/// takes all.
///
/// ```
/// # use procshare::manager::{Address, Server};
/// # fn main() -> procshare::Result<()> {
/// # let address = Address::Unix(std::env::temp_dir().join(format!("procshare-doc-dict-{}.sock", std::process::id())));
/// # let server = Server::bind(&address)?;
/// # let handle = server.handle();
/// # let running = std::thread::spawn(move || server.run());
/// use procshare::manager::{Dict, Manager};
///
/// let manager = Manager::connect(&address)?;
/// let words = Dict::<String, u64>::open_or_create(&manager, "words")?;
/// words.add("shared", &1)?; // never lost, however many do it at once
/// assert_eq!(words.get("shared")?, Some(1));
/// # handle.shutdown();
/// # running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// A process that dies leaves every call it made done or not done. An object without a name goes with the last reference to it.
pub struct Dict<K, V> {
    pub(super) object: Object,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Dict<K, V> {
    pub(super) fn from_target(object: Object) -> Self {
        Dict { object, of: PhantomData }
    }
}

proxy!(Dict<K, V>, "dict", ());
filled!(Dict<K, V>, "dict", pairs: &[(K, V)]);

/// What can be given where a key is only looked at: the key, or what it can be borrowed as.
pub trait KeyOf<K>: Serialize {}

impl<K: Borrow<Q>, Q: Serialize + ?Sized> KeyOf<K> for Q {}

methods!(Dict, DictCalls, <K, V>, {
    /// The value under a key.
    get<Q: KeyOf<K>>(key: &Q) -> Option<V> = "get", maybe;
    /// Puts a value under a key; the one that was there.
    insert<Q: KeyOf<K>>(key: &Q, value: &V) -> Option<V> = "insert", maybe;
    /// Puts a value under a key, without asking what was there.
    set<Q: KeyOf<K>>(key: &Q, value: &V) -> () = "set", nothing;
    /// Removes a key; the value that was there.
    remove<Q: KeyOf<K>>(key: &Q) -> Option<V> = "remove", maybe;
    /// Whether there is a value under a key.
    contains<Q: KeyOf<K>>(key: &Q) -> bool = "contains", plain;
    /// How many keys there are.
    len() -> u64 = "len", plain;
    /// Removes all keys.
    clear() -> () = "clear", nothing;
    /// Puts many values, in one step.
    extend(pairs: &[(K, V)]) -> () = "extend", nothing;
    /// Removes the pair whose key came first.
    pop_first() -> Option<(K, V)> = "pop_first", maybe;
    /// Removes the pair whose key came last.
    pop_last() -> Option<(K, V)> = "pop_last", maybe;
    /// Adds to the number under a key, which counts as 0 if it is missing; the sum.
    add<Q: KeyOf<K>>(key: &Q, number: &V) -> V = "add", plain;
    /// The value under a key, which becomes `value` if there is none: of many who do it at once all get the same one.
    get_or_insert<Q: KeyOf<K>>(key: &Q, value: &V) -> V = "get_or_insert", inserted;
    /// All pairs, as they are at one moment; for large dicts see [`iter`](Dict::iter).
    snapshot() -> Vec<(K, V)> = "snapshot", plain;
    /// All keys, as they are at one moment.
    keys() -> Vec<K> = "keys", plain;
    /// All values, as they are at one moment.
    values() -> Vec<V> = "values", plain;
});

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Dict<K, V> {
    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> ManagerResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Puts `new` (or removes the key, for `None`) if what is there equals `expected` (nothing, for `None`); else what is there instead
    /// is the inner error.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn compare_and_swap<Q: KeyOf<K> + ?Sized>(
        &self,
        key: &Q,
        expected: Option<&V>,
        new: Option<&V>,
    ) -> ManagerResult<Result<(), Option<V>>> {
        let draft = self.object.target().call("compare_and_swap").arg(key);
        draft.arg(expected.as_slice()).arg(new.as_slice()).reads(swapped)?.run()
    }

    /// Changes the value under a key by a function of what is there, in one step: the function runs again if somebody else was faster.
    /// `None` removes the key. The new value.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn update<Q: KeyOf<K> + ?Sized>(
        &self,
        key: &Q,
        change: impl FnMut(Option<&V>) -> Option<V>,
    ) -> ManagerResult<Option<V>> {
        update_pair(&self.object, key, change)
    }

    /// All pairs, fetched in pages. Pairs that are there all the time come exactly once; of what comes or goes meanwhile some may.
    pub fn iter(&self) -> DictIter<K, V> {
        DictIter { dict: self.clone(), page: Vec::new().into_iter(), next: Some(0) }
    }
}

/// The value that is there, of whether it was put there and the value.
fn inserted<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, rmp_serde::decode::Error> {
    plain::<(bool, V)>(bytes).map(|(_, value)| value)
}

/// The pairs of a [`Dict`], fetched in pages; after an error it ends.
pub struct DictIter<K, V> {
    dict: Dict<K, V>,
    page: std::vec::IntoIter<(K, V)>,
    next: Option<u64>,
}

/// Pairs in one page, at most.
const PAGE: u64 = 1000;

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Iterator for DictIter<K, V> {
    type Item = ManagerResult<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.page.next() {
                return Some(Ok(pair));
            }
            let cursor = self.next.take()?;
            let draft = self.dict.object.target().call("page").arg(&cursor).arg(&PAGE);
            match draft.run::<(Option<u64>, Vec<(K, V)>)>() {
                Ok((next, page)) => (self.next, self.page) = (next, page.into_iter()),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
