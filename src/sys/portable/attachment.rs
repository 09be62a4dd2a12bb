//! Who is attached to memory: a directory per memory, in it a locked file per attachment.
//!
//! Removing that directory is the step that decides: the system removes it only when it is empty, and nobody can attach without it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::memory::Key;
use super::{is_held, os, unless_missing};

/// The directory of directories.
pub(super) const ATTACHMENTS: &str = ".at";

/// How often an attacher starts over when collectors take its file for a dead one's.
const PATIENCE: u32 = 64;

fn place(directory: &Path, key: Key) -> PathBuf {
    directory.join(ATTACHMENTS).join(key.to_string())
}

/// Makes the place where users of new memory attach.
pub(super) fn found(directory: &Path, key: Key) -> io::Result<()> {
    std::fs::create_dir_all(directory.join(ATTACHMENTS))?;
    std::fs::create_dir(place(directory, key))
}

/// An attachment of this process, and of its forked children as long as they keep it.
pub(super) struct Attachment {
    file: Option<File>,
    path: PathBuf,
}

impl Attachment {
    /// Attaches `id`; `NotFound` if the memory is being removed.
    pub(super) fn new(directory: &Path, key: Key, id: u32) -> io::Result<Self> {
        let place = place(directory, key);
        for _ in 0..PATIENCE {
            let path = place.join(format!("{id:08x}-{:016x}", super::random_u128() as u64));
            let file = os::private(OpenOptions::new().read(true).write(true).create_new(true)).open(&path)?;
            // Between creation and lock it looks like a dead one's, and a remover may be looking at it or have removed it.
            if !is_held(file.try_lock())? && path.try_exists()? {
                return Ok(Attachment { file: Some(file), path });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Closed, not unlocked: a forked child that has the same lock through its copy stays attached.
        drop(self.file.take());
        // A failure leaves the file to whoever removes the memory.
        let _ = remove_if_free(&self.path);
    }
}

/// Removes an attachment's file unless somebody living holds it; tells whether it is gone.
fn remove_if_free(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    if is_held(file.try_lock())? {
        return Ok(false);
    }
    unless_missing(std::fs::remove_file(path))?;
    Ok(true)
}

/// The ids of the living users, each once.
pub(super) fn ids(directory: &Path, key: Key) -> io::Result<Vec<u32>> {
    let place = place(directory, key);
    let mut ids = Vec::new();
    for name in crate::sys::list(&place)? {
        let id =
            name.to_str().and_then(|name| name.split_once('-')).map(|(id, _)| u32::from_str_radix(id, 16));
        if let Some(Ok(id)) = id
            && let Ok(file) = OpenOptions::new().read(true).write(true).open(place.join(&name))
            // Shared: two who ask at once do not take each other for a user.
            && is_held(file.try_lock_shared())?
        {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// What [`close`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// Nobody is attached, and nobody can attach any more.
    Closed,
    /// Somebody living is attached.
    InUse,
}

/// Closes the memory for new users, unless somebody living uses it. One of several who try does it; to the others it is closed.
pub(super) fn close(directory: &Path, key: Key) -> io::Result<Closing> {
    let place = place(directory, key);
    let users = match crate::sys::list(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Closing::Closed),
        other => other?,
    };
    for name in users {
        if !remove_if_free(&place.join(name))? {
            return Ok(Closing::InUse);
        }
    }
    match std::fs::remove_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(Closing::InUse),
        result => unless_missing(result).map(|()| Closing::Closed),
    }
}

/// Closes the memory for new users, whoever is attached: they keep what they have mapped.
pub(super) fn close_for_all(directory: &Path, key: Key) -> io::Result<()> {
    let place = place(directory, key);
    for _ in 0..PATIENCE {
        match std::fs::remove_dir_all(&place) {
            // Somebody attached meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            result => return unless_missing(result),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
