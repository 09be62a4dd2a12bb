//! What Windows does its own way.

mod bell;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::{DirFault, FileFacts, Untrusted};

pub(crate) use super::clock::monotonic_ns;
pub(super) use bell::{Bell, nap, ring};

/// There is no fork.
#[inline]
pub(crate) fn watch_forks() {}

/// Where the spaces of this user live; the system gives each user a directory for temporary files.
pub(crate) fn default_root() -> PathBuf {
    std::env::temp_dir().join("procshare")
}

/// Makes the directory if `create` says so. Who may enter is what it inherits from its parent.
pub(super) fn prepare_directory(path: &Path, create: bool) -> Result<(), DirFault> {
    if create {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    if std::fs::symlink_metadata(path)?.is_dir() {
        Ok(())
    } else {
        Err(DirFault::Untrusted(Untrusted { owner: 0, mode: 0, reason: "it is not a directory" }))
    }
}

/// Looks at the file or directory `path`; permissions are not bits here.
pub(super) fn file_facts(path: &Path) -> io::Result<FileFacts> {
    std::fs::symlink_metadata(path).map(|found| FileFacts { len: found.len(), owner: 0, mode: None })
}

/// Users have no numbers here.
pub(crate) fn user_id() -> u32 {
    0
}

/// Whether an error number of a lock call means that the file system has no working locks.
pub(crate) fn means_no_locks(code: i32) -> bool {
    const ERROR_INVALID_FUNCTION: i32 = 1;
    const ERROR_NOT_SUPPORTED: i32 = 50;
    matches!(code, ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED)
}

/// New files have the rights of their directory.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// A path out of its encoded bytes.
pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    // A path that is not Unicode is never found again: its memory is left to the user's temporary files.
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// The system reserved the memory when it made the file behind it.
pub(super) fn allocate(_: &str, _: u64) -> io::Result<()> {
    Ok(())
}

/// A number that changes when a process is forked: never.
#[inline]
pub(super) fn generation() -> u32 {
    0
}

/// A locked file.
pub(super) struct Kept(File);

impl Kept {
    /// Keeps `file` open.
    pub(super) fn new(file: File) -> Self {
        Kept(file)
    }

    /// There is no child that could have inherited it.
    pub(super) fn disown(self) {
        drop(self);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Said and not left to closing, after which the system may take its time.
        let _ = self.0.unlock();
    }
}
