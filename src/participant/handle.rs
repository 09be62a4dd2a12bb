//! Handles as data: what travels to another process so that it can attach to the same object.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::address::{self, Address};
use super::object::{self, Attached, Object};
use crate::error::Result;
use crate::shm::Lifetime;

/// An object's address as data: serialise it, send it anywhere, and [`attach`](Handle::attach) there.
///
/// It names the space's directory, the object, and the object's birth id, so that a successor of the same name is never taken
/// for it. Deserialising does no I/O. Objects serialise as their handle: a struct with a `Lock` field on the sending
/// side reads as one with a `Handle<Lock>` field on the receiving side.
///
/// Making the handle of a [scoped](Lifetime::Scoped) object pins the object until the process that made the handle ends, so
/// that it is still there when the receiver attaches.
///
/// ```
/// use procshare::{Handle, Lock};
///
/// let lock = Lock::anonymous()?;
/// let text = serde_json::to_string(&lock).unwrap(); // to another process ...
/// let handle: Handle<Lock> = serde_json::from_str(&text).unwrap(); // ... which then holds the same lock
/// let same = handle.attach()?;
/// let guard = same.lock()?;
/// assert!(lock.try_lock().is_err());
/// # drop(guard);
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct Handle<O> {
    address: Address,
    object: PhantomData<fn() -> O>,
}

impl<O: Object> Handle<O> {
    /// The handle of `object`.
    pub(crate) fn of(object: &O) -> Self {
        let Attached { segment, member } = object.attached();
        if segment.header().lifetime == Lifetime::Scoped {
            address::pin(segment);
        }
        Handle { address: Address::of(segment, member.may_write()), object: PhantomData }
    }

    /// Attaches to the object.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`](crate::Error::Gone) if the object was removed, [`Error::Replaced`](crate::Error::Replaced) if another one has its name now; else as
    /// [`Builder::open`](crate::Builder::open).
    pub fn attach(&self) -> Result<O> {
        let Address { birth, .. } = self.address;
        let access = self.address.access();
        let name = self.address.name()?;
        object::open(&self.address.space(&name)?, &name, access, Some(birth))
    }
}

impl<O> Serialize for Handle<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.address.serialize(serializer)
    }
}

impl<'de, O> Deserialize<'de> for Handle<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = Address::deserialize(deserializer)?;
        address::note(&address);
        Ok(Handle { address, object: PhantomData })
    }
}

impl<O> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Handle { address: self.address.clone(), object: PhantomData }
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { directory, name, birth, .. } = &self.address;
        f.debug_struct("Handle")
            .field("directory", directory)
            .field("name", name)
            .field("birth", &format_args!("{birth}"))
            .finish_non_exhaustive()
    }
}
