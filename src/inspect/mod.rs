//! Looking at spaces and objects without being part of them.
//!
//! Nothing here writes a byte, takes a lock, or joins a space: whoever looks leaves no trace, and needs only the right to read.
//! What is seen is true at the moment it was read. Files that are damaged or not ours are shown with the reason.
//!
//! - [`spaces`] finds the calling user's spaces, an [`Inspector`] looks at one of them.
//! - [`Inspector::list`] shows its objects: what they are, how large, who is attached.
//! - [`Inspector::detail`] shows an object's state: who holds it, who waits, how full it is.
//! - [`Inspector::items`] shows what goes through a queue or a broadcast.
//! - [`Inspector::participants`] shows the processes that are in the space.
//! - [`doctor`] finds out whether machine and spaces are in order, and says what to do.
//!
//! ```
//! use procshare::{Lock, Space, Trust, inspect::{Fact, Inspector}};
//!
//! # let directory = std::env::temp_dir().join(format!("procshare-doc-inspect-{}", std::process::id()));
//! let space = Space::at(&directory).open_or_create()?;
//! let lock = Lock::builder().space(&space).create("jobs")?;
//! let guard = lock.lock()?;
//!
//! let inspector = Inspector::open(&directory, Trust::Owner)?; // in any process
//! let entries = inspector.list()?;
//! assert_eq!(entries[0].name, "jobs");
//! assert_eq!(entries[0].attached[0].pid, Some(std::process::id()));
//! let facts = inspector.detail("jobs")?;
//! assert!(matches!(&facts[0], ("holder", Fact::Who(who)) if who.pid == Some(std::process::id())));
//! # drop(guard); drop(lock); std::fs::remove_dir_all(&directory).ok();
//! # Ok::<(), procshare::Error>(())
//! ```

// A new kind of object describes itself in its own module (`describe(&Arc<Segment>) -> Result<RawFacts>`), and gets one line
// in `kinds.rs`, which says what a description may and may not do.

mod byte_size;
pub mod doctor;
mod entry;
mod inspector;
mod items;
mod kinds;
mod spaces;
mod who;

pub use crate::participant::{Fact, Facts};
pub use crate::queue::{Glimpse, Glimpsed};
pub use byte_size::ByteSize;
pub use entry::{Content, Entry, Form};
pub use inspector::Inspector;
pub use items::Items;
pub use spaces::{FoundSpace, spaces};
pub use who::{Life, Who};
