//! What this machine can do, tried out: the questions of `doctor`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::link::{Found, read};
use super::memory::{Key, Memory, erase};
use super::{is_held, os, unless_missing};
use crate::sys::{Feature, FileFacts, FileSystem, Limit, LockFault};

/// What can be told of the place of `path` in one way on all systems: nothing. Memory does not lie there in any case.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(FileSystem {
        name: "names only; memory is the system's".into(),
        memory: true,
        total: None,
        free: None,
        files_free: None,
    })
}

/// A file of this module's, gone when this is dropped. Its name is one that collectors remove.
struct Scratch(PathBuf);

impl Scratch {
    fn new(directory: &Path) -> Self {
        Scratch(directory.join(format!("{}{}", super::file::DELETED, Key::random())))
    }

    fn open(&self) -> io::Result<File> {
        os::private(OpenOptions::new().read(true).write(true).create(true)).open(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failure leaves the file to a collector.
        let _ = unless_missing(std::fs::remove_file(&self.0));
    }
}

/// Whether files in `path` can be given a second name.
pub(crate) fn publish_by_link(path: &Path) -> io::Result<&'static str> {
    let (one, other) = (Scratch::new(path), Scratch::new(path));
    drop(one.open()?);
    std::fs::hard_link(&one.0, &other.0)?;
    Ok("a hard link to a complete file")
}

/// Whether advisory locks work in `path` the way liveness needs them: seen and refused through another descriptor, and gone with
/// their holder's.
pub(crate) fn test_locks(path: &Path) -> Result<(), LockFault> {
    let scratch = Scratch::new(path);
    let (holder, other) = (scratch.open()?, scratch.open()?);
    if is_held(holder.try_lock())? {
        return Err(LockFault::Broken("a file that nobody holds cannot be locked"));
    }
    if !is_held(other.try_lock_shared())? {
        return Err(LockFault::Broken("a file that was just locked reads as free"));
    }
    if !is_held(other.try_lock())? {
        return Err(LockFault::Broken("two holders got the same file"));
    }
    drop(holder);
    if is_held(other.try_lock_shared())? {
        return Err(LockFault::Broken("a lock outlived its holder"));
    }
    Ok(())
}

/// Named memory, tried once.
pub(crate) fn features() -> Vec<Feature> {
    let key = Key::random();
    let answer = Memory::create(key, 4096, 4096).map(|_| erase(key));
    vec![Feature { name: "shared memory", needed: true, answer }]
}

/// None that could be asked in one way on all systems.
pub(crate) fn limits() -> Vec<Limit> {
    Vec::new()
}

/// Name of the operating system.
pub(crate) fn system_name() -> String {
    std::env::consts::OS.to_owned()
}

/// Participants do not say when they started.
pub(crate) fn started_ns(_: u64) -> Option<u64> {
    None
}

/// The file or directory `path`; of an object the length of its memory.
pub(crate) fn file_facts(path: &Path) -> io::Result<FileFacts> {
    let facts = os::file_facts(path)?;
    Ok(match read(path) {
        Ok(Found::Link(link)) => FileFacts { len: link.len, ..facts },
        _ => facts,
    })
}
