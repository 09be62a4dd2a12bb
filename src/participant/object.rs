//! What all objects have in common: how they are planned, initialised and attached.

use std::sync::Arc;

use super::member::Member;
use crate::error::{Error, Result};
use crate::shm::Kind;
use crate::shm::header::{Birth, Lifetime, NewHeader, TypeInfo};
use crate::shm::name::Name;
use crate::shm::segment::{Extent, Segment};
use crate::sys::{self, Access};

use super::home;
use super::space::Space;

pub(crate) mod sealed {
    /// Keeps [`Object`](super::Object) to this crate.
    pub trait Sealed {}
}

/// A kind of object that lives in a segment of its own: implemented by this crate's objects only.
pub trait Object: sealed::Sealed + Sized {
    /// What a creator supplies besides the name.
    type Init;

    #[doc(hidden)]
    fn plan(init: &Self::Init) -> Result<Plan, PlanFault>;

    #[doc(hidden)]
    fn expect() -> Expect;

    #[doc(hidden)]
    fn initialise(segment: &Body<'_>, init: Self::Init) -> Result<()>;

    #[doc(hidden)]
    fn attach(attached: Attached) -> Result<Self>;

    #[doc(hidden)]
    fn attached(&self) -> &Attached;
}

/// How large a new object is.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub(crate) body: u64,
    pub(crate) backed: u64,
}

impl Plan {
    /// A body that is backed by memory as a whole.
    pub(crate) fn whole(body: usize) -> Self {
        Plan { body: body as u64, backed: body as u64 }
    }
}

/// A size no object can have.
#[doc(hidden)]
#[derive(Debug)]
pub struct PlanFault {
    pub(crate) what: &'static str,
    pub(crate) found: u64,
    pub(crate) expected: String,
}

/// What an opener demands of a header.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    pub(crate) kind: Kind,
    pub(crate) type_info: TypeInfo,
}

/// A body in the making, which nobody else sees.
#[doc(hidden)]
pub struct Body<'a> {
    pub(crate) segment: &'a Arc<Segment>,
}

/// A segment and the calling process's membership in its space.
#[doc(hidden)]
#[derive(Clone)]
pub struct Attached {
    pub(crate) segment: Arc<Segment>,
    pub(crate) member: Member,
}

impl Attached {
    /// A participant of a model that is attached to its segment.
    #[cfg(all(loom, test))]
    pub(crate) fn of_model(segment: &Arc<Segment>, participant: crate::model::Participant) -> Self {
        Attached { segment: Arc::clone(segment), member: Member::of_model(participant) }
    }

    /// How messages call the object.
    pub(crate) fn object(&self) -> String {
        self.segment.object()
    }

    /// How messages call its space.
    pub(crate) fn space_name(&self) -> String {
        self.segment.site().space.to_string()
    }
}

/// How a new object is published.
#[derive(Clone, Copy)]
pub(super) struct Publish {
    pub(super) lifetime: Lifetime,
    pub(super) mode: Option<u32>,
}

/// Makes an object under `name`.
pub(super) fn create<O: Object>(space: &Space, name: &Name, how: Publish, init: O::Init) -> Result<O> {
    let id = space.join()?;
    let plan = O::plan(&init).map_err(|fault| Error::BadSize {
        object: space.0.site.object(name),
        what: fault.what,
        found: fault.found,
        expected: fault.expected,
    })?;
    let Expect { kind, type_info } = O::expect();
    let header = NewHeader {
        kind,
        lifetime: how.lifetime,
        birth: Birth(sys::random_u128()),
        type_info,
        creator: id.to_bits(),
        home: space.0.registry.home(),
    };
    let extent = Extent { body: plan.body, backed: plan.backed };
    let segment = Segment::create(&space.0.site, name, &header, extent, how.mode, |segment| {
        O::initialise(&Body { segment }, init)
    })?;
    O::attach(Attached { segment, member: Member::new(space, Access::ReadWrite) })
}

/// Opens the object `name`; with a birth id only that very one.
pub(super) fn open<O: Object>(space: &Space, name: &Name, access: Access, birth: Option<Birth>) -> Result<O> {
    let id = match access {
        Access::ReadWrite => space.join()?.to_bits(),
        // A reader may be unable to join, and needs no id: nothing it does is ever owned.
        Access::ReadOnly => 0,
    };
    let segment = match (Segment::open(&space.0.site, name, access, Some(id)), birth) {
        (Err(Error::NotFound { object }), Some(_)) => return Err(Error::Gone { object }),
        (Ok(segment), Some(birth)) if segment.header().birth != birth => {
            return Err(Error::Replaced { object: segment.object() });
        }
        (result, _) => result?,
    };
    let Expect { kind, type_info } = O::expect();
    segment.header().expect(kind, &type_info, &|| segment.object())?;
    if access == Access::ReadWrite {
        home::settle(space, &segment)?;
    }
    O::attach(Attached { segment, member: Member::new(space, access) })
}
