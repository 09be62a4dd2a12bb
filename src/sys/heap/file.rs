//! Files that are allocations, and regions that are references to them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::simulation::current;
use super::world::{Attachment, Node, with_directory};
use crate::sys::{Access, FileId, NewFile};

/// A file in use; the attachment ends with it, or with the simulated process that made it.
pub(crate) struct Region {
    node: Arc<Node>,
    access: Access,
    attachment: Option<Attachment>,
}

impl Region {
    fn new(node: Arc<Node>, access: Access, id: Option<u32>) -> Self {
        let attachment = id.map(|id| node.users().attach(current(), id));
        Region { node, access, attachment }
    }

    /// First byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.node.memory.as_ptr()
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        self.node.memory.len()
    }

    /// Whether it may be written; nothing but the callers' care enforces it here.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// The file behind it.
    pub(crate) fn id(&self) -> FileId {
        self.node.id
    }

    /// There is no device to write to.
    pub(crate) fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(attachment) = self.attachment {
            self.node.users().detach(attachment);
        }
    }
}

/// A file that has bytes but no name yet; dropping it leaves nothing.
pub(crate) struct Draft {
    node: Arc<Node>,
    directory: PathBuf,
}

impl Draft {
    /// Makes a file of zeros that nobody else sees, and attaches `wanted.id` to it.
    pub(crate) fn create(directory: &Path, wanted: &NewFile) -> io::Result<(Self, Region)> {
        let budget = with_directory(directory, |found| Ok(Arc::clone(&found.budget)))?;
        let node = Node::new(&budget, wanted.len, wanted.backed)?;
        let region = Region::new(Arc::clone(&node), Access::ReadWrite, Some(wanted.id));
        Ok((Draft { node, directory: directory.to_owned() }, region))
    }

    /// Gives the file its name; `AlreadyExists` if the name is taken.
    pub(crate) fn publish(self, name: &str) -> io::Result<()> {
        with_directory(&self.directory, |directory| directory.link(name, Arc::clone(&self.node)))
    }
}

/// Leads to `directory/name` and attaches `id`, if there is one, to it.
pub(crate) fn open(directory: &Path, name: &OsStr, access: Access, id: Option<u32>) -> io::Result<Region> {
    // Under the table's lock: whoever removes what nobody uses holds it too.
    with_directory(directory, |directory| Ok(Region::new(directory.find(name)?, access, id)))
}

/// The living ids attached to `directory/name`; 0 stands for readers without an id.
pub(crate) fn attached(directory: &Path, name: &OsStr) -> io::Result<Vec<u32>> {
    with_directory(directory, |directory| Ok(directory.find(name)?.users().ids()))
}

/// Removes the name.
pub(crate) fn remove(directory: &Path, name: &OsStr) -> io::Result<()> {
    with_directory(directory, |directory| directory.unlink(name))
}

/// Removes `directory/name` if nobody living is attached and `is_it` recognises the file; tells whether it did.
pub(crate) fn remove_if_unattached(
    directory: &Path,
    name: &OsStr,
    is_it: impl FnOnce(Option<&Region>) -> bool,
) -> io::Result<bool> {
    let found = open(directory, name, Access::ReadOnly, None)?;
    // Without the table's lock: what the caller does is not ours to know.
    if !is_it(Some(&found)) {
        return Ok(false);
    }
    with_directory(directory, |directory| {
        let same = directory.find(name).is_ok_and(|node| node.id == found.id());
        let removable = same && found.node.users().ids().is_empty();
        if removable {
            directory.unlink(name)?;
        }
        Ok(removable)
    })
}

/// Pays for the first `end` bytes of `directory/name`, if it is the file `expected`.
pub(crate) fn back(directory: &Path, name: &OsStr, expected: FileId, end: u64) -> io::Result<()> {
    let node = with_directory(directory, |directory| directory.find(name))?;
    if node.id == expected { node.back(end) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// What `path` leads to.
pub(crate) fn file_id(path: &Path) -> io::Result<FileId> {
    find(path).map(|node| node.id)
}

/// The file at `path`.
pub(super) fn find(path: &Path) -> io::Result<Arc<Node>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    with_directory(directory, |directory| directory.find(name))
}
