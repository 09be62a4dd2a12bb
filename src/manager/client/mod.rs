//! The client: connections, calls, references.

pub(crate) mod call;
mod channel;
mod detail;
mod hello;
pub(crate) mod link;
pub(crate) mod manager;
mod reference;
mod short;

pub use call::{Call, Pending};
pub use detail::{ObjectClient, ObjectDetail, ObjectHolder};
pub use manager::{Connector, Manager, ObjectInfo, Stats};
pub(crate) use reference::Reference;
