//! Shared files: unnamed until complete, mapped through `memmap2`, attached through a lock that dies with the mapping.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memmap2::{MmapOptions, MmapRaw};

use super::seat::{id_in, id_of, is_conflict};
use super::{ATTACH_BASE, ATTACH_LEN, check, ofd_lock};
use crate::sys::{Access, FileId, NewFile, Trust};

/// How the names of unpublished files begin, on file systems without unnamed ones.
pub(super) const TEMPORARY: &str = ".tmp-";

/// A mapped file.
///
/// Its open file description carries the attachment lock (a read lock of the byte that stands for the participant's id)
/// and lives as long as the mapping: detaching needs no code, and death detaches like everything else.
pub(crate) struct Region {
    map: MmapRaw,
    id: FileId,
    access: Access,
}

impl Region {
    /// Memory of nobody's, for a model.
    #[cfg(all(loom, test))]
    pub(crate) fn of_model(len: usize) -> Self {
        let map = memmap2::MmapMut::map_anon(len).expect("memory").into();
        Region { map, id: FileId { device: 0, inode: 0 }, access: Access::ReadWrite }
    }

    /// First byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Mapped bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it may be written.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// The file behind it.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Writes the pages back to the file's device; has an effect on disks only.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.map.flush()
    }

    /// Maps `len` bytes of the file behind `fd`, of which `stat_fd` told `found`.
    fn map(fd: &OwnedFd, found: &libc::stat, len: u64, access: Access) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut options = MmapOptions::new();
        options.len(len);
        let map = match access {
            Access::ReadOnly => options.map_raw_read_only(fd)?,
            Access::ReadWrite => options.map_raw(fd)?,
        };
        Ok(Region { map, id: id_in(found), access })
    }
}

/// A file that has bytes but no name yet; dropping it leaves nothing.
pub(crate) struct Draft {
    fd: OwnedFd,
    directory: PathBuf,
    /// The private name of file systems without unnamed files.
    temporary: Option<Temporary>,
}

impl Draft {
    /// Makes a file of zeros that nobody else sees, maps it, and attaches `wanted.id` to it.
    pub(crate) fn create(directory: &Path, wanted: &NewFile) -> io::Result<(Self, Region)> {
        let mode = wanted.mode.unwrap_or(match wanted.trust {
            Trust::Owner | Trust::User(_) => 0o600,
            Trust::Group => 0o660,
            Trust::Anyone => 0o666,
        });
        let fd = open_fd(directory, libc::O_TMPFILE | libc::O_RDWR, mode);
        let (fd, temporary) = match fd {
            Ok(fd) => {
                attach(fd.as_raw_fd(), wanted.id)?;
                (fd, None)
            }
            Err(error) if no_unnamed_files(&error) => {
                let (fd, name) = open_temporary(directory, mode, wanted.id)?;
                (fd, Some(name))
            }
            Err(error) => return Err(error),
        };
        let draft = Draft { fd, directory: directory.to_owned(), temporary };
        let fd = draft.fd.as_raw_fd();
        size(fd, wanted.len, wanted.backed)?;
        let found = stat_fd(fd)?;
        if found.st_mode & 0o777 != mode {
            // The umask has taken bits that the space's trust requires.
            // SAFETY: (S1) `fd` is open for the duration of the call.
            check(unsafe { libc::fchmod(fd, mode) })?;
        }
        let region = Region::map(&draft.fd, &found, wanted.len, Access::ReadWrite)?;
        Ok((draft, region))
    }

    /// Gives the file its name; `AlreadyExists` if the name is taken.
    pub(crate) fn publish(self, name: &str) -> io::Result<()> {
        let target = c_path_in(&self.directory, OsStr::new(name))?;
        match &self.temporary {
            Some(temporary) => link(libc::AT_FDCWD, &temporary.0, &target, 0),
            None => link_unnamed(self.fd.as_raw_fd(), &target),
        }
    }
}

/// A private name, removed when the draft ends: by then the file has its final name, or shall have none.
struct Temporary(CString);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; gc removes what is left.
        let _ = unlink(&self.0);
    }
}

/// Maps `directory/name` and attaches `id`, if there is one, to it.
///
/// `NotFound` also covers a file that is being removed at this moment.
pub(crate) fn open(directory: &Path, name: &OsStr, access: Access, id: Option<u32>) -> io::Result<Region> {
    let path = c_path_in(directory, name)?;
    for _ in 0..64 {
        let fd = open_harmless(&path, access)?;
        let attached = id.map_or(Ok(()), |id| attach(fd.as_raw_fd(), id));
        // One look for all questions, behind the attachment: a file that has a name now keeps it, unless somebody unlinks it.
        let found = stat_fd(fd.as_raw_fd())?;
        require_regular(&found)?;
        match attached {
            Ok(()) if found.st_nlink > 0 => {
                require_front(&fd, &found)?;
                return Region::map(&fd, &found, found.st_size.max(0) as u64, access);
            }
            Ok(()) => {}
            Err(error) if is_conflict(&error) => {
                // The last one out holds the whole range while it takes the name away.
                // SAFETY: (S1) sched_yield has no precondition.
                unsafe { libc::sched_yield() };
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Removes the name, at a moment when nobody is in the middle of removing what has no users: whoever is has made sure that the
/// name leads to that very file, and shall not find a successor there.
///
/// `TimedOut` if somebody is, and does not proceed.
pub(crate) fn remove(directory: &Path, name: &OsStr) -> io::Result<()> {
    let path = c_path_in(directory, name)?;
    for patience in 0..REMOVER_PATIENCE_MS {
        match open_harmless(&path, Access::ReadOnly) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            // What cannot be opened has no such remover either.
            Err(_) => return unlink(&path),
            Ok(fd) => {
                // As a reader without an id, for the moment: no remover gets the range, or one has it.
                let attached = attach(fd.as_raw_fd(), 0);
                let found = stat_fd(fd.as_raw_fd())?;
                let being_removed = matches!(&attached, Err(error) if is_conflict(error));
                if require_regular(&found).is_err() || !being_removed && found.st_nlink > 0 {
                    return unlink(&path);
                }
            }
        }
        rest(patience);
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "its last user is removing it, and does not proceed: continue or end that process",
    ))
}

/// How long somebody who removes what has no users is waited for: some microseconds are usual, unless it is stopped.
const REMOVER_PATIENCE_MS: u32 = 2_000;

/// Lets others proceed: for a millisecond, if that was in vain before.
fn rest(patience: u32) {
    if patience == 0 {
        // SAFETY: (S1) sched_yield has no precondition.
        unsafe { libc::sched_yield() };
    } else {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Removes `directory/name` if nobody is attached and `is_it` recognises the file (`None`: it is empty); tells whether it did.
///
/// Nobody can attach between the question and the removal: the whole range is held meanwhile.
pub(crate) fn remove_if_unattached(
    directory: &Path,
    name: &OsStr,
    is_it: impl FnOnce(Option<&Region>) -> bool,
) -> io::Result<bool> {
    let path = directory.join(name);
    let fd = open_regular(&path, Access::ReadWrite)?;
    let found = stat_fd(fd.as_raw_fd())?;
    // What is not wanted is not locked: an opener would have to wait for it.
    let wanted = if found.st_size > 0 {
        require_front(&fd, &found)?;
        is_it(Some(&Region::map(&fd, &found, found.st_size as u64, Access::ReadOnly)?))
    } else {
        is_it(None)
    };
    if !wanted {
        return Ok(false);
    }
    match ofd_lock(fd.as_raw_fd(), libc::F_OFD_SETLK, libc::F_WRLCK, ATTACH_BASE, ATTACH_LEN) {
        Ok(_) => {}
        Err(error) if is_conflict(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    // Somebody else may have removed it meanwhile, and the path may name a successor by now.
    let now = stat_fd(fd.as_raw_fd())?;
    if now.st_nlink == 0 || !names(&path, id_in(&now)) {
        return Ok(false);
    }
    unlink(&c_path(&path)?)?;
    Ok(true)
}

/// Whether a file is a creator's that has not published yet, or never will: only a name as `open_temporary` makes it, for
/// in a directory that was chosen by its path there may be others' files.
pub(crate) fn is_remains(name: &OsStr) -> bool {
    let key = name.as_bytes().strip_prefix(TEMPORARY.as_bytes());
    key.is_some_and(|key| key.len() == 32 && key.iter().all(u8::is_ascii_hexdigit))
}

/// Removes what creators left that died before they published; tells the file names.
pub(crate) fn collect_remains(directory: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for file in crate::sys::list(directory)? {
        if let Some(name) = file.to_str()
            && is_remains(&file)
            && remove_if_unattached(directory, &file, |_| true).unwrap_or(false)
        {
            removed.push(name.to_owned());
        }
    }
    Ok(removed)
}

/// What `path` leads to.
pub(crate) fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path)?;
    Ok(FileId { device: found.dev(), inode: found.ino() })
}

/// Whether `path` leads to the file.
fn names(path: &Path, id: FileId) -> bool {
    file_id(path).is_ok_and(|found| found == id)
}

/// Opens a file without following a symbolic link, without waiting for a pipe's other end, and only if it is regular.
pub(super) fn open_regular(path: &Path, access: Access) -> io::Result<OwnedFd> {
    let fd = open_harmless(&c_path(path)?, access)?;
    require_regular(&stat_fd(fd.as_raw_fd())?)?;
    Ok(fd)
}

/// Opens a file without following a symbolic link and without waiting for a pipe's other end; what cannot be a segment is
/// `InvalidData`.
fn open_harmless(path: &CStr, access: Access) -> io::Result<OwnedFd> {
    let flags = match access {
        Access::ReadOnly => libc::O_RDONLY,
        Access::ReadWrite => libc::O_RDWR,
    };
    open_c(path, flags | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0).map_err(|error| {
        let found = match error.raw_os_error() {
            Some(libc::ELOOP) => "a symbolic link",
            Some(libc::EISDIR) => "a directory",
            Some(libc::ENXIO) => "a socket or device",
            _ => return error,
        };
        io::Error::new(io::ErrorKind::InvalidData, found)
    })
}

fn require_regular(found: &libc::stat) -> io::Result<()> {
    let found = match found.st_mode & libc::S_IFMT {
        libc::S_IFREG => return Ok(()),
        libc::S_IFDIR => "a directory",
        libc::S_IFIFO => "a pipe",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, found))
}

/// Refuses a file that begins with a hole: it cannot be a segment, and the kernel would have to find memory for a look at it, or
/// end the process.
fn require_front(fd: &OwnedFd, found: &libc::stat) -> io::Result<()> {
    // In units of 512 bytes, whatever the file system's blocks are.
    if found.st_blocks.saturating_mul(512) >= found.st_size {
        return Ok(());
    }
    // SAFETY: (S1) `fd` is open for the duration of the call; nobody relies on the position.
    let first = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_DATA) };
    let hole = match first {
        -1 => io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO),
        first => first > 0,
    };
    if hole {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a file that begins with a hole"))
    } else {
        Ok(())
    }
}

/// `open` with close-on-exec and the EINTR loop.
pub(super) fn open_fd(path: &Path, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    open_c(&c_path(path)?, flags, mode)
}

fn open_c(path: &CStr, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    loop {
        // SAFETY: (S1) `path` is a C string that lives for the call.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) };
        if fd >= 0 {
            // SAFETY: (S1) the descriptor was just opened and has no other owner.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Creates a file under a private name and attaches `id`, for file systems without unnamed files.
///
/// A collector may find the file before it is attached and take it for a dead creator's remains: then the next try.
fn open_temporary(directory: &Path, mode: u32, id: u32) -> io::Result<(OwnedFd, Temporary)> {
    loop {
        let path = directory.join(format!("{TEMPORARY}{:032x}", super::random_u128()));
        let fd = open_fd(&path, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_NOFOLLOW, mode)?;
        let name = Temporary(c_path(&path)?);
        match attach(fd.as_raw_fd(), id) {
            Ok(()) if stat_fd(fd.as_raw_fd())?.st_nlink > 0 => return Ok((fd, name)),
            Err(error) if !is_conflict(&error) => return Err(error),
            _ => {}
        }
    }
}

fn no_unnamed_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL))
}

/// Sets the length and backs the first `allocated` bytes, so that a full file system is an error now and no signal later.
fn size(fd: libc::c_int, len: u64, allocated: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    require_permitted(len)?;
    if allocated < len {
        // SAFETY: (S1) `fd` is open for the duration of the call.
        check(unsafe { libc::ftruncate(fd, length) })?;
    }
    allocate(fd, allocated.min(len) as libc::off_t)
}

/// Backs the first `end` bytes of `directory/name`, if it is the file `expected`.
pub(crate) fn back(directory: &Path, name: &OsStr, expected: FileId, end: u64) -> io::Result<()> {
    let fd = open_regular(&directory.join(name), Access::ReadWrite)?;
    if id_of(fd.as_raw_fd())? != expected {
        return Err(io::ErrorKind::NotFound.into());
    }
    let length = libc::off_t::try_from(end).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    require_permitted(end)?;
    allocate(fd.as_raw_fd(), length)
}

/// Refuses what is beyond the process's limit for files: trying would raise SIGXFSZ, which ends the process.
fn require_permitted(len: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: (S1) `limit` is a valid destination.
    check(unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) })?;
    let within = limit.rlim_cur == libc::RLIM_INFINITY || len <= limit.rlim_cur;
    if within { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFBIG)) }
}

/// The least that is allocated at once where signals interrupt larger steps.
const LEAST_STEP: libc::off_t = 64 * 1024;

/// Backs the first `end` bytes.
fn allocate(fd: libc::c_int, end: libc::off_t) -> io::Result<()> {
    let (mut done, mut step) = (0, end);
    while done < end {
        let len = step.min(end - done);
        // SAFETY: (S1) `fd` is open for the duration of the call; the call returns the error number itself.
        match unsafe { libc::posix_fallocate(fd, done, len) } {
            0 => done += len,
            // The kernel may have undone all of it: a timer that is faster than the whole must not keep us here for ever.
            libc::EINTR => step = (len / 2).max(LEAST_STEP),
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    Ok(())
}

/// Records `id` as attached, through the description behind `fd`; `Unsupported`, without a number of the system's, where locks
/// do not work.
fn attach(fd: libc::c_int, id: u32) -> io::Result<()> {
    let recorded = ofd_lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK, ATTACH_BASE + i64::from(id), 1);
    recorded.map(drop).map_err(|error| match error.raw_os_error() {
        Some(code) if super::means_no_locks(code) => io::Error::new(io::ErrorKind::Unsupported, error),
        _ => error,
    })
}

/// Links an unnamed file: directly where the kernel allows it, else through `/proc`.
pub(super) fn link_unnamed(fd: libc::c_int, target: &CStr) -> io::Result<()> {
    match link(fd, c"", target, libc::AT_EMPTY_PATH) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EPERM | libc::EINVAL)) => {
            link(libc::AT_FDCWD, &c_string(format!("/proc/self/fd/{fd}"))?, target, libc::AT_SYMLINK_FOLLOW)
        }
        result => result,
    }
}

fn link(fd: libc::c_int, from: &CStr, to: &CStr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: (S1) both are C strings that live for the call.
    check(unsafe { libc::linkat(fd, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) }).map(drop)
}

pub(super) fn unlink(path: &CStr) -> io::Result<()> {
    // SAFETY: (S1) `path` is a C string that lives for the call.
    check(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// What the kernel tells of an open file.
pub(super) fn stat_fd(fd: libc::c_int) -> io::Result<libc::stat> {
    // SAFETY: (S1) `stat` is plain C data for which all-zero is a valid value.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: (S1) `found` is a valid destination; a stale `fd` is answered by EBADF.
    check(unsafe { libc::fstat(fd, &mut found) })?;
    Ok(found)
}

/// Maps one page of a file, only to keep its description alive.
pub(super) fn page_of(fd: &OwnedFd) -> io::Result<*mut libc::c_void> {
    // SAFETY: (S1) a new mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    };
    if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(page) }
}

/// `directory/name` as the kernel takes it.
fn c_path_in(directory: &Path, name: &OsStr) -> io::Result<CString> {
    let (directory, name) = (directory.as_os_str().as_bytes(), name.as_bytes());
    let mut path = Vec::with_capacity(directory.len() + name.len() + 2);
    path.extend_from_slice(directory);
    path.push(b'/');
    path.extend_from_slice(name);
    c_string(path)
}

pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes().to_vec())
}

fn c_string(bytes: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL byte"))
}
