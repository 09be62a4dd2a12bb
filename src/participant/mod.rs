//! Participants: processes that joined a space, their ids, and the one oracle that tells who is gone.

mod address;
mod builder;
mod constructors;
mod facts;
mod gc;
mod handle;
mod home;
mod host;
mod id;
#[cfg(not(all(loom, test)))]
mod member;
#[cfg(all(loom, test))]
#[path = "member/model.rs"]
mod member;
mod object;
mod registry;
mod space;
mod watch;

pub use builder::Builder;
pub use facts::{Fact, Facts};
pub use gc::Collected;
pub use handle::Handle;
pub use id::ParticipantId;
pub use object::Object;
pub use space::{Space, SpaceBuilder};
pub use watch::ParticipantWatch;

#[cfg(feature = "process")]
pub(crate) use address::{Kept, pinning, receiving};
pub(crate) use constructors::{constructors, travels};
pub(crate) use facts::{RawFacts, map_all as map_facts};
pub(crate) use host::{Fate, Host};
pub(crate) use object::{Attached, Body, Expect, Plan, PlanFault, sealed};
pub(crate) use registry::{Registry, SlotInfo};
