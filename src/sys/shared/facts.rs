//! What a Unix tells of a file.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys::FileFacts;

/// Looks at the file or directory `path`, not through a symbolic link.
pub(crate) fn file_facts(path: &Path) -> io::Result<FileFacts> {
    let found = std::fs::symlink_metadata(path)?;
    Ok(FileFacts { len: found.len(), owner: found.uid(), mode: Some(found.mode() & 0o7777) })
}
