//! What is in a directory.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// The names in a directory, sorted; an entry that vanishes meanwhile is left out.
pub(crate) fn list(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}
