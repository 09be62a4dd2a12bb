//! Segments of shared memory: names, headers, publication, and what may live in them.

pub mod checked;
pub(crate) mod copy;
pub(crate) mod header;
pub(crate) mod kind;
pub(crate) mod name;
#[cfg(all(unix, feature = "manager", not(loom)))]
pub(crate) mod paged;
pub mod plain;
pub(crate) mod segment;
mod signature;
#[cfg(not(all(loom, test)))]
pub(crate) mod view;
#[cfg(all(loom, test))]
#[path = "view/model.rs"]
pub(crate) mod view;

pub use header::Lifetime;
pub use kind::Kind;
pub use plain::Plain;
