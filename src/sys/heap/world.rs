//! The table of directories and the files in them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::Memory;
use super::simulation::is_dead;
use crate::sys::{DirFault, FileId, Trust};

/// What the files of a directory may take together unless a test says otherwise.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// Every directory of this process.
static WORLD: Mutex<BTreeMap<PathBuf, Directory>> = Mutex::new(BTreeMap::new());

/// A directory.
pub(super) struct Directory {
    files: BTreeMap<OsString, Arc<Node>>,
    pub(super) budget: Arc<Budget>,
}

/// How many bytes the files of a directory may have, and how many they have.
pub(super) struct Budget(Mutex<(u64, u64)>);

/// A file: it lives as long as a name or a region leads to it.
pub(super) struct Node {
    pub(super) id: FileId,
    pub(super) memory: Memory,
    backed: Mutex<u64>,
    budget: Arc<Budget>,
    users: Mutex<Users>,
}

/// Who uses a file.
#[derive(Default)]
pub(super) struct Users {
    attachments: Vec<Attachment>,
    /// Processes by slot; a registry has them.
    pub(super) seats: BTreeMap<u32, u32>,
}

/// A region's entry in its file's list of users.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    number: u64,
    process: u32,
    id: u32,
}

/// A test that panicked under a lock says so itself; the tables are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: only uniqueness is needed.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Directory {
    fn new() -> Self {
        Directory { files: BTreeMap::new(), budget: Arc::new(Budget(Mutex::new((DEFAULT_LIMIT, 0)))) }
    }

    /// The file `name`.
    pub(super) fn find(&self, name: &OsStr) -> io::Result<Arc<Node>> {
        self.files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Gives a file its name.
    pub(super) fn link(&mut self, name: &str, node: Arc<Node>) -> io::Result<()> {
        match self.files.entry(name.into()) {
            std::collections::btree_map::Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(node);
                Ok(())
            }
        }
    }

    /// Takes the name away.
    pub(super) fn unlink(&mut self, name: &OsStr) -> io::Result<()> {
        self.files.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Budget {
    /// Sets the limit.
    pub(super) fn limit(&self, bytes: u64) {
        lock(&self.0).0 = bytes;
    }

    /// The limit, and how much of it is used.
    pub(super) fn state(&self) -> (u64, u64) {
        *lock(&self.0)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let mut budget = lock(&self.0);
        let used = budget.1.checked_add(bytes).filter(|&used| used <= budget.0);
        budget.1 = used.ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

impl Node {
    /// A file of `len` zeros, the first `backed` of them paid for.
    pub(super) fn new(budget: &Arc<Budget>, len: u64, backed: u64) -> io::Result<Arc<Self>> {
        let backed = backed.min(len);
        budget.take(backed)?;
        let memory = Memory::new(len).inspect_err(|_| lock(&budget.0).1 -= backed)?;
        Ok(Arc::new(Node {
            id: FileId { device: u64::from(super::BACKEND), inode: next_number() },
            memory,
            backed: Mutex::new(backed),
            budget: Arc::clone(budget),
            users: Mutex::default(),
        }))
    }

    /// Pays for the first `end` bytes.
    pub(super) fn back(&self, end: u64) -> io::Result<()> {
        let mut backed = lock(&self.backed);
        let end = end.min(self.memory.len() as u64);
        self.budget.take(end.saturating_sub(*backed))?;
        *backed = end.max(*backed);
        Ok(())
    }

    /// Who uses it.
    pub(super) fn users(&self) -> MutexGuard<'_, Users> {
        lock(&self.users)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        lock(&self.budget.0).1 -= *lock(&self.backed);
    }
}

impl Users {
    /// Enters a region of `process`.
    pub(super) fn attach(&mut self, process: u32, id: u32) -> Attachment {
        let attachment = Attachment { number: next_number(), process, id };
        self.attachments.push(attachment);
        attachment
    }

    /// Removes a region's entry.
    pub(super) fn detach(&mut self, attachment: Attachment) {
        self.attachments.retain(|&other| other != attachment);
    }

    /// The ids of the living users, each once.
    pub(super) fn ids(&self) -> Vec<u32> {
        let living = self.attachments.iter().filter(|user| !is_dead(user.process));
        let mut ids: Vec<u32> = living.map(|user| user.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Does something with a directory, while nobody else does; `NotFound` if there is none.
pub(super) fn with_directory<R>(
    path: &Path,
    work: impl FnOnce(&mut Directory) -> io::Result<R>,
) -> io::Result<R> {
    lock(&WORLD).get_mut(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).and_then(work)
}

/// Does something with a directory, which is made if there is none.
pub(super) fn with_directory_made<R>(path: &Path, work: impl FnOnce(&mut Directory) -> R) -> R {
    work(lock(&WORLD).entry(path.to_owned()).or_insert_with(Directory::new))
}

/// Forgets a directory.
pub(super) fn forget_directory(path: &Path) {
    let forgotten = lock(&WORLD).remove(path);
    // Dropped only now, without the table's lock.
    drop(forgotten);
}

/// Where the spaces live that are named and not placed.
pub(crate) fn default_root() -> PathBuf {
    PathBuf::from("/procshare")
}

/// Makes the directory if `create` says so. There is only one user, whom every trust covers.
pub(crate) fn prepare_directory(path: &Path, _: Trust, create: bool) -> Result<(), DirFault> {
    if create {
        with_directory_made(path, |_| ());
        Ok(())
    } else {
        with_directory(path, |_| Ok(())).map_err(DirFault::from)
    }
}

/// The names in a directory, sorted.
pub(crate) fn list(path: &Path) -> io::Result<Vec<OsString>> {
    with_directory(path, |directory| Ok(directory.files.keys().cloned().collect()))
}

/// What dead creators left: nothing, since what has no name goes with its last region.
pub(crate) fn collect_remains(path: &Path) -> io::Result<Vec<String>> {
    with_directory(path, |_| Ok(Vec::new()))
}

/// Whether a file is a maker's that has not published yet: those have no names.
pub(crate) fn is_remains(_: &OsStr) -> bool {
    false
}

/// Bytes that may still be allocated below `path`.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    with_directory(path, |directory| {
        let (limit, used) = directory.budget.state();
        Ok(limit.saturating_sub(used))
    })
    .ok()
}
