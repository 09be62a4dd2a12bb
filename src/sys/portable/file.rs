//! Objects: memory, and the name that leads to it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attachment::{self, Attachment, Closing, close, close_for_all};
use super::link::{Found, Link, key_at, read};
use super::memory::{Key, Memory, erase};
use super::{is_held, ledger, memory, os, seat};
use crate::sys::{Access, FRONT, FileId, NewFile};

/// Somebody is making the memory whose key follows.
pub(super) const TEMPORARY: &str = ".tmp-";
/// The complete file that is about to get its name.
pub(super) const COMPLETE: &str = ".new-";
/// A name that was taken away with everything behind it.
pub(super) const DELETED: &str = ".del-";
/// A name that is looked at before it is deleted or put back; the name itself follows.
pub(super) const ASIDE: &str = ".aside-";

/// How often an opener looks again while what it found is being removed.
const PATIENCE: u32 = 64;

/// Memory in use; the attachment, if there is one, ends with it.
pub(crate) struct Region {
    bytes: Bytes,
    access: Access,
    id: FileId,
    _attachment: Option<Attachment>,
}

enum Bytes {
    Memory(Arc<Memory>),
    /// The first bytes of a file that is none of ours, in a private copy: for the caller's checks to refuse.
    Foreign(Box<[u64; FRONT / 8]>, usize),
}

impl Region {
    fn foreign(bytes: &[u8], access: Access) -> Self {
        let mut copy = Box::new([0; FRONT / 8]);
        for (word, bytes) in copy.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        let id = FileId { device: 0, inode: 0 };
        Region { bytes: Bytes::Foreign(copy, bytes.len()), access, id, _attachment: None }
    }

    fn new(memory: Arc<Memory>, key: Key, access: Access, attachment: Option<Attachment>) -> Self {
        Region { bytes: Bytes::Memory(memory), access, id: id_of(key), _attachment: attachment }
    }

    /// First byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match &self.bytes {
            Bytes::Memory(memory) => memory.as_ptr(),
            Bytes::Foreign(copy, _) => copy.as_ptr().cast_mut().cast(),
        }
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.bytes {
            Bytes::Memory(memory) => memory.len(),
            Bytes::Foreign(_, len) => *len,
        }
    }

    /// Whether it may be written; nothing but the callers' care enforces it here.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// The memory behind it.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// There is no device to write to.
    pub(crate) fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn id_of(key: Key) -> FileId {
    FileId { device: u64::from(super::BACKEND), inode: key.0 }
}

/// Memory without a name yet; dropping it leaves nothing, and what a death leaves is marked as a dead maker's.
pub(crate) struct Draft {
    directory: PathBuf,
    link: Link,
    memory: Option<Arc<Memory>>,
    published: bool,
    /// Locked as long as its maker lives.
    _intent: File,
}

impl Draft {
    /// Makes memory of zeros that nobody else sees, and attaches `wanted.id` to it.
    pub(crate) fn create(directory: &Path, wanted: &NewFile) -> io::Result<(Self, Region)> {
        let mut draft = Self::declare(directory, wanted.len)?;
        let key = draft.link.key;
        attachment::found(directory, key)?;
        let attachment = Attachment::new(directory, key, wanted.id)?;
        ledger::enter(key, directory)?;
        let memory = Arc::new(Memory::create(key, wanted.len, wanted.backed)?);
        draft.memory = Some(Arc::clone(&memory));
        Ok((draft, Region::new(memory, key, Access::ReadWrite, Some(attachment))))
    }

    /// Says what is going to be made, before anything is.
    fn declare(directory: &Path, len: u64) -> io::Result<Self> {
        loop {
            let key = Key::random();
            let path = directory.join(format!("{TEMPORARY}{key}"));
            let intent =
                os::private(OpenOptions::new().read(true).write(true).create_new(true)).open(&path)?;
            // Between creation and lock it looks like a dead maker's, and a collector may have taken it: then another key.
            if !is_held(intent.try_lock())? && path.try_exists()? {
                let directory = directory.to_owned();
                let link = Link { key, len };
                return Ok(Draft { directory, link, memory: None, published: false, _intent: intent });
            }
        }
    }

    /// Gives the memory its name; `AlreadyExists` if the name is taken.
    pub(crate) fn publish(mut self, name: &str) -> io::Result<()> {
        let complete = self.directory.join(format!("{COMPLETE}{}", self.link.key));
        let mut file = os::private(OpenOptions::new().write(true).create_new(true)).open(&complete)?;
        file.write_all(&self.link.encode(&self.front()))?;
        file.sync_all()?;
        drop(file);
        std::fs::hard_link(&complete, self.directory.join(name))?;
        self.published = true;
        Ok(())
    }

    fn front(&self) -> Vec<u8> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let mut front = vec![0; memory.len().min(FRONT)];
        // SAFETY: (S7) nobody else sees the draft, which has so many bytes.
        unsafe { front.as_mut_ptr().copy_from_nonoverlapping(memory.as_ptr(), front.len()) };
        front
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Failures leave the rest to a collector: the intent goes last.
        let key = self.link.key;
        let done = std::fs::remove_file(self.directory.join(format!("{COMPLETE}{key}")));
        let done = super::unless_missing(done);
        let done = if self.published { done } else { done.and(discard(&self.directory, key)) };
        if done.is_ok() {
            let _ = std::fs::remove_file(self.directory.join(format!("{TEMPORARY}{key}")));
        }
    }
}

/// Removes memory and its place of attachments.
pub(super) fn discard(directory: &Path, key: Key) -> io::Result<()> {
    erase(key);
    close_for_all(directory, key)
}

/// Maps `directory/name` and attaches `id`, if there is one, to it.
///
/// `NotFound` also covers what is being removed at this moment, and a name whose memory is lost (the system was restarted).
pub(crate) fn open(directory: &Path, name: &OsStr, access: Access, id: Option<u32>) -> io::Result<Region> {
    let path = directory.join(name);
    let mut left = PATIENCE;
    loop {
        let link = match read(&path)? {
            Found::Link(link) => link,
            Found::Foreign(bytes) => return Ok(Region::foreign(&bytes, access)),
        };
        match attach(directory, link, access, id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        if left == 0 {
            // Whoever was removing it died, or the memory is lost.
            finish_removal(directory, name, link.key, id.is_none())?;
            return Err(io::ErrorKind::NotFound.into());
        }
        left -= 1;
        std::thread::yield_now();
    }
}

fn attach(directory: &Path, link: Link, access: Access, id: Option<u32>) -> io::Result<Region> {
    let attachment = id.map(|id| Attachment::new(directory, link.key, id)).transpose()?;
    let memory = Arc::new(Memory::open(link.key, link.len)?);
    Ok(Region::new(memory, link.key, access, attachment))
}

/// Takes away a name that leads nowhere, unless somebody living may still reach what this process cannot.
fn finish_removal(directory: &Path, name: &OsStr, key: Key, is_registry: bool) -> io::Result<()> {
    let living = close(directory, key)? == Closing::InUse || (is_registry && seat::any_living(directory)?);
    // Asked last: who lives may have taken the name away from the lost memory, made a new registry and a seat by that.
    if key_at(&directory.join(name)) != Some(key) {
        return Ok(());
    }
    if living {
        return Err(io::Error::other(
            "the memory cannot be reached from this process, though a living process uses it",
        ));
    }
    erase(key);
    take_away(directory, name, key).map(drop)
}

/// The living ids attached to `directory/name`; 0 stands for readers without an id.
pub(crate) fn attached(directory: &Path, name: &OsStr) -> io::Result<Vec<u32>> {
    match read(&directory.join(name))? {
        Found::Link(link) => attachment::ids(directory, link.key),
        Found::Foreign(_) => Ok(Vec::new()),
    }
}

/// Removes the name, and the memory behind it; who has it mapped keeps it.
pub(crate) fn remove(directory: &Path, name: &OsStr) -> io::Result<()> {
    let path = directory.join(name);
    if std::fs::symlink_metadata(&path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // One step takes the name away, whatever stands there; the rest can be finished by anybody.
    let deleted = directory.join(format!("{DELETED}{}", Key::random()));
    std::fs::rename(path, &deleted)?;
    finish_deletion(directory, &deleted)
}

/// Removes what a deleted name led to.
pub(super) fn finish_deletion(directory: &Path, deleted: &Path) -> io::Result<()> {
    if let Some(key) = key_at(deleted) {
        discard(directory, key)?;
    }
    super::unless_missing(std::fs::remove_file(deleted))
}

/// Takes `name` away if it leads to `key`; tells whether it did.
fn take_away(directory: &Path, name: &OsStr, key: Key) -> io::Result<bool> {
    let path = directory.join(name);
    if key_at(&path) != Some(key) {
        return Ok(false);
    }
    // A successor may take the name between that look and this step: so look again at what was taken.
    let mut aside = OsString::from(format!("{ASIDE}{}-", Key::random()));
    aside.push(name);
    let aside = directory.join(aside);
    match std::fs::rename(&path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    }
    let right = key_at(&aside) == Some(key);
    if !right {
        put_back(&aside, &path)?;
    }
    super::unless_missing(std::fs::remove_file(&aside))?;
    Ok(right)
}

/// Gives a name back, unless somebody has taken it meanwhile.
pub(super) fn put_back(aside: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(aside, path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
            Ok(())
        }
        result => result,
    }
}

/// Removes `directory/name` if nobody is attached and `is_it` recognises the file (`None`: it is empty); tells whether it did.
///
/// Nobody can attach between the question and the removal: closing the place of attachments is both.
pub(crate) fn remove_if_unattached(
    directory: &Path,
    name: &OsStr,
    is_it: impl FnOnce(Option<&Region>) -> bool,
) -> io::Result<bool> {
    let path = directory.join(name);
    let link = match read(&path)? {
        Found::Link(link) => link,
        Found::Foreign(bytes) => {
            let region = (!bytes.is_empty()).then(|| Region::foreign(&bytes, Access::ReadOnly));
            let wanted = is_it(region.as_ref());
            return if wanted { std::fs::remove_file(path).map(|()| true) } else { Ok(false) };
        }
    };
    match attach(directory, link, Access::ReadOnly, None) {
        // A name that leads nowhere is no object any more, whatever it was.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => {
            if !is_it(Some(&result?)) {
                return Ok(false);
            }
        }
    }
    if close(directory, link.key)? == Closing::InUse {
        return Ok(false);
    }
    erase(link.key);
    take_away(directory, name, link.key)
}

/// Backs the first `end` bytes of `directory/name`, if it is the memory `expected`.
pub(crate) fn back(directory: &Path, name: &OsStr, expected: FileId, end: u64) -> io::Result<()> {
    match read(&directory.join(name))? {
        Found::Link(link) if id_of(link.key) == expected => memory::back(link.key, end),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What `path` leads to.
pub(crate) fn file_id(path: &Path) -> io::Result<FileId> {
    match read(path)? {
        Found::Link(link) => Ok(id_of(link.key)),
        Found::Foreign(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a link to memory")),
    }
}
