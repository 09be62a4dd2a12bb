//! A socket's name in the file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::super::Exposure;
use super::peer::own_uid;

/// A socket's name in the file system, which is removed with it.
///
/// Who holds the lock of the file beside it owns the name. The system releases the lock with its holder, so a socket that a
/// dead process left is recognised and replaced, and one of a living process never is.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    lock: PathBuf,
    _held: File,
    /// Which process made it: a forked child's copy removes nothing.
    owner: u32,
}

impl SocketFile {
    pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory).map_err(during("make its directory"))?;
        }
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let lock = beside(".lock");
        let held = take_lock(&lock).map_err(during("lock the file beside it"))?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrInUse, "somebody who lives listens there already")
        })?;
        let draft = beside(".new");
        match publish(path, &draft) {
            Ok(listener) => {
                let owner = std::process::id();
                Ok((listener, SocketFile { path: path.into(), lock, _held: held, owner }))
            }
            Err(error) => {
                // What is there is not ours. Under the lock, which goes last.
                let _ = fs::remove_file(&draft);
                let _ = fs::remove_file(&lock);
                Err(error)
            }
        }
    }
}

/// Makes the socket under another name, so that nobody can connect before its rights are set.
fn publish(path: &Path, draft: &Path) -> io::Result<UnixListener> {
    let _ = fs::remove_file(draft);
    let listener = UnixListener::bind(draft).map_err(during("listen"))?;
    fs::set_permissions(draft, fs::Permissions::from_mode(0o600)).map_err(during("protect it"))?;
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
    }
    fs::rename(draft, path).map_err(during("publish it"))?;
    Ok(listener)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // In this order, and under the lock: the name is not somebody else's yet.
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Says what was tried, beside what the system said.
fn during(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("could not {what}: {error}"))
}

/// Who else can read or change an opened file: of which nobody can exchange the name any more.
pub(crate) fn exposure(file: &File) -> io::Result<Option<Exposure>> {
    let found = file.metadata()?;
    let mode = found.mode() & 0o7777;
    Ok(match found.uid() {
        owner if owner != own_uid() && owner != 0 => Some(Exposure::Owner(owner)),
        _ if mode & 0o077 != 0 => Some(Exposure::Mode(mode)),
        _ => None,
    })
}

/// The locked file of this name, or `None` if somebody alive has it.
fn take_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // Its last owner may have removed it just before we locked it: then it protects nothing.
        let there = fs::metadata(path);
        let same = there.is_ok_and(|there| {
            file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        });
        if same {
            return Ok(Some(file));
        }
    }
}
