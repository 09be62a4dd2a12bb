//! What there is to say of a world in memory.

use std::io;
use std::path::Path;

use super::world::{self, with_directory};
use crate::sys::{Feature, FileFacts, FileSystem, Limit, LockFault};

/// The directory's budget.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let (limit, used) = with_directory(path, |directory| Ok(directory.budget.state()))?;
    Ok(FileSystem {
        name: "a table in this process".into(),
        memory: true,
        total: Some(limit),
        free: Some(limit.saturating_sub(used)),
        files_free: None,
    })
}

/// The way of publication.
pub(crate) fn publish_by_link(path: &Path) -> io::Result<&'static str> {
    with_directory(path, |_| Ok("an entry in a table"))
}

/// Liveness is a table.
pub(crate) fn test_locks(path: &Path) -> Result<(), LockFault> {
    with_directory(path, |_| Ok(())).map_err(LockFault::from)
}

/// Nothing is asked of the system.
pub(crate) fn features() -> Vec<Feature> {
    Vec::new()
}

/// None but each directory's budget.
pub(crate) fn limits() -> Vec<Limit> {
    Vec::new()
}

/// What the backend stands on.
pub(crate) fn system_name() -> String {
    "one process".into()
}

/// Simulated processes do not say when they started.
pub(crate) fn started_ns(_: u64) -> Option<u64> {
    None
}

/// The file or directory `path`; there are no permissions.
pub(crate) fn file_facts(path: &Path) -> io::Result<FileFacts> {
    let len = match super::file::find(path) {
        Ok(node) => node.memory.len() as u64,
        Err(_) => world::list(path).map(|_| 0)?,
    };
    Ok(FileFacts { len, owner: 0, mode: None })
}
