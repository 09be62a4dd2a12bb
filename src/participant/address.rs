//! Where an object is, whatever it is; and how objects that travel as arguments are kept until the receiver has them.
//!
//! A sender that can tell when the receiver is attached collects the references that would else never be given back
//! ([`pinning`]). A receiver that can tell when its arguments are complete notes which objects are among them ([`receiving`]), and keeps
//! them ([`Address::keep`]) before it says so.

use std::cell::{Cell, RefCell};
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
    /// How many collect references now, each while another one does.
    static COLLECTORS: Cell<usize> = const { Cell::new(0) };
    /// How many references there are for them.
    static PINNED: Cell<usize> = const { Cell::new(0) };
    /// The references that were taken for handles while somebody collects them: those for the innermost are last.
    static PINS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    /// The addresses that arrived, while somebody wants to know.
    static RECEIVED: RefCell<Option<Vec<Address>>> = const { RefCell::new(None) };
}

/// Keeps `segment` for the receiver of a handle: until this process ends, or as long as the collector wants.
pub(super) fn pin(segment: &Arc<Segment>) {
    let kept = Kept { _segment: Arc::clone(segment) };
    if COLLECTORS.get() == 0 {
        // A reference that is never given back keeps the object attached until this process ends.
        return std::mem::forget(kept);
    }
    PINS.with_borrow_mut(|pins| {
        pins.push(kept);
        PINNED.set(pins.len());
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
///
/// Costs next to nothing if there are none: tasks by the million are encoded so.
#[cfg_attr(not(feature = "process"), allow(dead_code, reason = "arguments go to processes only"))]
#[inline]
pub(crate) fn pinning<R>(make: impl FnOnce() -> R) -> (R, Option<Vec<Kept>>) {
    let collector = Collector::begin();
    let made = make();
    (made, collector.take())
}

/// Somebody who collects references.
struct Collector {
    /// So many are for others.
    before: usize,
}

impl Collector {
    #[inline]
    fn begin() -> Self {
        COLLECTORS.set(COLLECTORS.get() + 1);
        Collector { before: PINNED.get() }
    }

    /// What there is for it, if there is anything.
    #[inline]
    fn take(&self) -> Option<Vec<Kept>> {
        (PINNED.get() != self.before).then(|| self.take_some())
    }

    #[cold]
    fn take_some(&self) -> Vec<Kept> {
        PINNED.set(self.before);
        PINS.with_borrow_mut(|pins| pins.split_off(self.before))
    }
}

impl Drop for Collector {
    #[inline]
    fn drop(&mut self) {
        COLLECTORS.set(COLLECTORS.get() - 1);
        // After a panic nobody wants them.
        drop(self.take());
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::participant::Object;
    use crate::sync::Lock;

    #[test]
    fn each_collector_has_the_references_that_were_taken_for_it() {
        let lock = Lock::anonymous().unwrap();
        let references = || Arc::strong_count(&Object::attached(&lock).segment);
        let before = references();
        let take = || pin(&Object::attached(&lock).segment);
        let ((inner, none), outer) = pinning(|| {
            take();
            let (_, inner) = pinning(|| (take(), take()));
            take();
            let (_, none) = pinning(|| ());
            (inner.unwrap(), none)
        });
        assert_eq!((inner.len(), none.is_none(), outer.as_ref().map(Vec::len)), (2, true, Some(2)));
        assert_eq!(references(), before + 4);
        drop(inner);
        assert_eq!(references(), before + 2);
        drop(outer);
        assert_eq!(references(), before);
        take();
        assert_eq!(references(), before + 1, "for nobody: kept until the process ends");
    }

    #[test]
    fn after_a_panic_nothing_is_kept_and_others_have_theirs() {
        let lock = Lock::anonymous().unwrap();
        let references = || Arc::strong_count(&Object::attached(&lock).segment);
        let before = references();
        let take = || pin(&Object::attached(&lock).segment);
        let (caught, outer) = pinning(|| {
            take();
            let inner = || {
                pinning(|| {
                    take();
                    panic!("no more");
                })
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(inner)).map(|_: ((), _)| ())
        });
        assert!(caught.is_err());
        assert_eq!((outer.as_ref().map(Vec::len), references()), (Some(1), before + 1));
    }
}
