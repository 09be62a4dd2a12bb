//! Where an object is, whatever it is; and how objects that travel as arguments are kept until the receiver has them.
//!
//! A sender that can tell when the receiver is attached collects the references that would else never be given back
//! ([`pinning`]). A receiver that can tell when its arguments are complete notes which objects are among them ([`receiving`]), and keeps
//! them ([`Address::keep`]) before it says so.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::space::Space;
use crate::error::{Error, Result};
use crate::shm::header::Birth;
use crate::shm::name::Name;
use crate::shm::segment::Segment;
use crate::sys::{Access, Trust};

/// Where an object is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    pub(super) directory: PathBuf,
    trust: TrustData,
    pub(super) name: String,
    pub(super) birth: Birth,
    read_only: bool,
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

/// An object that stays as long as this does, unless it is unlinked.
pub(crate) struct Kept {
    _segment: Arc<Segment>,
}

impl Address {
    pub(super) fn of(segment: &Segment, may_write: bool) -> Self {
        let site = segment.site();
        Address {
            directory: site.directory.to_path_buf(),
            trust: match site.trust {
                Trust::Owner => TrustData::Owner,
                Trust::User(uid) => TrustData::User(uid),
                Trust::Group => TrustData::Group,
                Trust::Anyone => TrustData::Anyone,
            },
            name: segment.name().as_str().to_owned(),
            birth: segment.header().birth,
            read_only: !may_write,
        }
    }

    pub(super) fn name(&self) -> Result<Name> {
        Name::existing(&self.name)
    }

    pub(super) fn access(&self) -> Access {
        if self.read_only { Access::ReadOnly } else { Access::ReadWrite }
    }

    /// The space of the object, which must exist.
    pub(super) fn space(&self, name: &Name) -> Result<Space> {
        let trust = match self.trust {
            TrustData::Owner => Trust::Owner,
            TrustData::User(uid) => Trust::User(uid),
            TrustData::Group => Trust::Group,
            TrustData::Anyone => Trust::Anyone,
        };
        Space::at(&self.directory).trust(trust).open().map_err(|error| match error {
            Error::NotFound { .. } => Error::Gone { object: format!("{}/{name}", self.directory.display()) },
            other => other,
        })
    }

    /// Attaches to the object, whatever it is.
    #[cfg_attr(not(feature = "process"), allow(dead_code, reason = "arguments come to processes only"))]
    pub(crate) fn keep(&self) -> Result<Kept> {
        let name = self.name()?;
        let space = self.space(&name)?;
        let id = match self.access() {
            Access::ReadWrite => space.join()?.to_bits(),
            Access::ReadOnly => 0,
        };
        let segment = Segment::open(&space.0.site, &name, self.access(), Some(id))?;
        if segment.header().birth != self.birth {
            return Err(Error::Replaced { object: segment.object() });
        }
        Ok(Kept { _segment: segment })
    }
}

thread_local! {
    /// The references that were taken for handles, while somebody collects them.
    static PINS: RefCell<Option<Vec<Kept>>> = const { RefCell::new(None) };
    /// The addresses that arrived, while somebody wants to know.
    static RECEIVED: RefCell<Option<Vec<Address>>> = const { RefCell::new(None) };
}

/// Keeps `segment` for the receiver of a handle: until this process ends, or as long as the collector wants.
pub(super) fn pin(segment: &Arc<Segment>) {
    let kept = Kept { _segment: Arc::clone(segment) };
    PINS.with(|pins| match &mut *pins.borrow_mut() {
        Some(pins) => pins.push(kept),
        // A reference that is never given back keeps the object attached until this process ends.
        None => std::mem::forget(kept),
    });
}

/// Notes an address that arrived.
pub(super) fn note(address: &Address) {
    RECEIVED.with(|received| {
        if let Some(received) = &mut *received.borrow_mut() {
            received.push(address.clone());
        }
    });
}

/// Calls `make` and returns the objects that handles were made of meanwhile, which stay as long as the caller keeps them.
#[cfg_attr(not(feature = "process"), allow(dead_code, reason = "arguments go to processes only"))]
pub(crate) fn pinning<R>(make: impl FnOnce() -> R) -> (R, Vec<Kept>) {
    let before = PINS.replace(Some(Vec::new()));
    let _restore = Restore(Some(before));
    let made = make();
    (made, PINS.with(|pins| pins.borrow_mut().take()).unwrap_or_default())
}

/// Gives an outer collector its place back, also after a panic.
struct Restore(Option<Option<Vec<Kept>>>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            drop(PINS.replace(before));
        }
    }
}

/// Calls `read` with a function that tells, once, which objects' handles have arrived since.
#[cfg_attr(not(feature = "process"), allow(dead_code, reason = "arguments come to processes only"))]
pub(crate) fn receiving<R>(read: impl FnOnce(&dyn Fn() -> Vec<Address>) -> R) -> R {
    RECEIVED.set(Some(Vec::new()));
    let result = read(&|| RECEIVED.take().unwrap_or_default());
    RECEIVED.set(None);
    result
}
