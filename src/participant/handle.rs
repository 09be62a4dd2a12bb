//! Handles as data: what travels to another process so that it can attach to the same object.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::object::{self, Attached, Object};
use super::space::Space;
use crate::error::{Error, Result};
use crate::shm::Lifetime;
use crate::shm::header::Birth;
use crate::shm::name::Name;
use crate::sys::{Access, Trust};

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
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle<O> {
    directory: PathBuf,
    trust: TrustData,
    name: String,
    birth: Birth,
    read_only: bool,
    #[serde(skip)]
    object: PhantomData<fn() -> O>,
}

/// [`Trust`] as it travels.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TrustData {
    Owner,
    User(u32),
    Group,
    Anyone,
}

impl<O: Object> Handle<O> {
    /// The handle of `object`.
    pub(crate) fn of(object: &O) -> Self {
        let Attached { segment, member } = object.attached();
        if segment.header().lifetime == Lifetime::Scoped {
            // The pin: a reference that is never given back keeps the object attached until this process ends.
            std::mem::forget(std::sync::Arc::clone(segment));
        }
        let site = segment.site();
        Handle {
            directory: site.directory.to_path_buf(),
            trust: match site.trust {
                Trust::Owner => TrustData::Owner,
                Trust::User(uid) => TrustData::User(uid),
                Trust::Group => TrustData::Group,
                Trust::Anyone => TrustData::Anyone,
            },
            name: segment.name().as_str().to_owned(),
            birth: segment.header().birth,
            read_only: !member.may_write(),
            object: PhantomData,
        }
    }

    /// Attaches to the object.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the object was removed, [`Error::Replaced`] if another one has its name now; else as
    /// [`Builder::open`](crate::Builder::open).
    pub fn attach(&self) -> Result<O> {
        let trust = match self.trust {
            TrustData::Owner => Trust::Owner,
            TrustData::User(uid) => Trust::User(uid),
            TrustData::Group => Trust::Group,
            TrustData::Anyone => Trust::Anyone,
        };
        let name = Name::existing(&self.name)?;
        let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        match Space::at(&self.directory).trust(trust).open() {
            Err(Error::NotFound { .. }) => {
                Err(Error::Gone { object: format!("{}/{name}", self.directory.display()) })
            }
            space => object::open(&space?, &name, access, Some(self.birth)),
        }
    }
}

impl<O> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Handle {
            directory: self.directory.clone(),
            trust: self.trust,
            name: self.name.clone(),
            birth: self.birth,
            read_only: self.read_only,
            object: PhantomData,
        }
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("directory", &self.directory)
            .field("name", &self.name)
            .field("birth", &format_args!("{}", self.birth))
            .finish_non_exhaustive()
    }
}
