//! The client: connections, calls, references.

pub(crate) mod call;
mod channel;
mod detail;
mod direct;
mod hello;
mod inbox;
pub(crate) mod link;
pub(crate) mod manager;
mod pipeline;
mod pulse;
mod reader;
mod reference;
mod short;

pub use call::{Call, Pending};
pub use detail::{ObjectClient, ObjectDetail, ObjectHolder};
pub use manager::{Connector, Manager, ObjectInfo, Stats};
pub use pipeline::Pipeline;
pub(crate) use reference::Reference;
