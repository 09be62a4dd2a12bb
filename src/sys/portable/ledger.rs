//! Which directory each memory belongs to, so that a space whose directory was simply deleted leaves no memory behind.
//!
//! One small file per memory in the calling user's root: written before the memory is made, removed after it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::memory::{Key, erase};
use super::os;

const LEDGER: &str = ".memory";

fn place() -> PathBuf {
    super::default_root().join(LEDGER)
}

/// Notes that memory `key` is going to be made for `directory`.
pub(super) fn enter(key: Key, directory: &Path) -> io::Result<()> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            os::private(options.write(true).create_new(true)).open(place().join(key.to_string()))?;
        file.write_all(directory.as_os_str().as_encoded_bytes())
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let refused = |fault| match fault {
                crate::sys::DirFault::Io(error) => error,
                crate::sys::DirFault::Untrusted(why) => io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("the memory's ledger: {}", why.reason),
                ),
            };
            os::prepare_directory(&super::default_root(), true).map_err(refused)?;
            os::prepare_directory(&place(), true).map_err(refused)?;
            write()
        }
        other => other,
    }
}

/// Forgets memory `key`.
pub(super) fn strike(key: Key) {
    // A failure costs one look of a collector.
    let _ = std::fs::remove_file(place().join(key.to_string()));
}

/// Removes memory whose directory is gone.
pub(super) fn sweep() {
    for name in super::list(&place()).unwrap_or_default() {
        let Some(key) = name.to_str().and_then(Key::parse) else { continue };
        let Ok(directory) = std::fs::read(place().join(&name)) else { continue };
        // An entry that is being written is still empty.
        if !directory.is_empty() && is_gone(&os::path_of(directory)) {
            erase(key);
        }
    }
}

fn is_gone(directory: &Path) -> bool {
    std::fs::symlink_metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
