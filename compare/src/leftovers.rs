//! Names that batches give to what others can see, and what is left of them when a batch is killed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What the names of all batches begin with, Python's too.
const PREFIX: &str = "procshare-compare-";

/// A name no other batch uses: every batch has its own process.
pub fn own_name() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// Where shared memory has names.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Removes what batches left that were killed.
pub fn sweep() {
    remove(|pid| !Path::new(&format!("/proc/{pid}")).exists());
}

/// Removes what the calling process and its workers left under names that begin with [`own_name`].
pub fn sweep_own() {
    remove(|pid| pid == std::process::id());
}

/// Bytes of the shared memory that has names which begin with [`own_name`].
///
/// # Errors
/// [`Failure::Contender`] when the files cannot be looked at.
pub fn own_bytes() -> Result<u64, Failure> {
    let unreadable = |error| Failure::contender(SHARED_MEMORY, error);
    let mut bytes = 0;
    for entry in fs::read_dir(SHARED_MEMORY).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().to_str().and_then(pid_in) == Some(std::process::id()) {
            bytes += entry.metadata().map_err(unreadable)?.len();
        }
    }
    Ok(bytes)
}

fn remove(pick: impl Fn(u32) -> bool) {
    let space = procshare::Space::root().join("default");
    let places: [PathBuf; 3] = [SHARED_MEMORY.into(), space, std::env::temp_dir()];
    for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        if entry.file_name().to_str().and_then(pid_in).is_some_and(&pick) {
            // Another run may have been faster, or may own it: either way there is nothing left to do here.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

/// Whose a name is.
fn pid_in(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is_whatever_follows() {
        assert_eq!(pid_in(&own_name()), Some(std::process::id()));
        assert_eq!(pid_in("procshare-compare-17_3f.data"), Some(17));
        assert_eq!(pid_in("procshare-compare-"), None);
        assert_eq!(pid_in("other-17"), None);
    }
}
