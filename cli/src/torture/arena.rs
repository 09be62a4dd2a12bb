//! A space of the torture's own, and where its contenders write down what goes wrong.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use procshare::Space;

use crate::random;

const PREFIX: &str = "procshare-torture-";

/// A directory that goes with this process; one whose process was killed goes when the next one comes.
pub(super) struct Arena {
    directory: PathBuf,
    /// Locked as long as the directory is in use.
    _lock: File,
}

impl Arena {
    pub(super) fn new() -> Result<Self> {
        let shared_memory = Path::new("/dev/shm");
        let parent = if shared_memory.is_dir() { shared_memory.to_owned() } else { std::env::temp_dir() };
        sweep(&parent);
        let directory = parent.join(format!("{PREFIX}{}-{:06x}", std::process::id(), random::seed()));
        let place = || format!("cannot work in '{}'", directory.display());
        fs::create_dir(&directory).with_context(place)?;
        let lock = File::create(lock_file(&directory)).with_context(place)?;
        lock.lock().with_context(place)?;
        Ok(Arena { directory, _lock: lock })
    }

    /// A space for one object.
    pub(super) fn space(&self, name: &str) -> procshare::Result<Space> {
        Space::at(self.directory.join(name)).open_or_create()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What the contenders wrote down, each thing once; then there is nothing any more.
    pub(super) fn take_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let _ = fs::remove_file(self.log());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.dedup();
        lines
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("in-use")
}

/// Removes what killed ones left.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Others' cannot be opened; who just makes its own holds no lock yet, but has no file either.
        let Ok(lock) = File::options().write(true).open(lock_file(&path)) else { continue };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_swept_only_when_nobody_uses_it() {
        let arena = Arena::new().unwrap();
        let left = arena.directory.with_file_name(format!("{PREFIX}left-{}", std::process::id()));
        fs::create_dir(&left).unwrap();
        File::create(lock_file(&left)).unwrap();
        sweep(arena.directory.parent().unwrap());
        assert!(!left.exists());
        assert!(arena.directory.exists());
        let path = arena.directory.clone();
        drop(arena);
        assert!(!path.exists());
    }
}
