//! A space's directory: made with the right mode, refused when somebody else could have put it there.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys::{DirFault, Trust, Untrusted};

/// Where the spaces of this user live: `/dev/shm/procshare-UID`.
pub(crate) fn default_root() -> PathBuf {
    // SAFETY: (S1) geteuid has no precondition and cannot fail.
    let uid = unsafe { libc::geteuid() };
    PathBuf::from(format!("/dev/shm/procshare-{uid}"))
}

/// Makes the directory if `create` says so, and checks that only those whom `trust` names could have put files there.
pub(crate) fn prepare(path: &Path, trust: Trust, create: bool) -> Result<(), DirFault> {
    if create {
        let mode = match trust {
            Trust::Owner | Trust::User(_) => 0o700,
            Trust::Group => 0o2770,
            Trust::Anyone => 0o777,
        };
        match std::fs::DirBuilder::new().mode(mode).create(path) {
            // The umask takes bits away: a directory that others shall use must be given them explicitly.
            Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    check_trust(path, trust)
}

fn check_trust(path: &Path, trust: Trust) -> Result<(), DirFault> {
    let found = std::fs::symlink_metadata(path)?;
    let refuse = |reason| {
        Err(DirFault::Untrusted(Untrusted { owner: found.uid(), mode: found.mode() & 0o7777, reason }))
    };
    if !found.is_dir() {
        return refuse("it is not a directory");
    }
    // SAFETY: (S1) geteuid has no precondition and cannot fail.
    let me = unsafe { libc::geteuid() };
    let others_write = found.mode() & 0o002 != 0;
    let group_writes = found.mode() & 0o020 != 0;
    match trust {
        Trust::Anyone => Ok(()),
        Trust::Owner if found.uid() != me => refuse("it belongs to another user"),
        Trust::User(uid) if found.uid() != uid && found.uid() != me => {
            refuse("it belongs neither to the trusted user nor to the caller")
        }
        Trust::Owner | Trust::User(_) if others_write || group_writes => refuse("others may write it"),
        Trust::Group if others_write => refuse("everybody may write it"),
        Trust::Group if found.uid() != me && !in_group(found.gid()) => {
            refuse("the caller is neither its owner nor in its group")
        }
        _ => Ok(()),
    }
}

/// Whether the calling process is in the group.
fn in_group(gid: u32) -> bool {
    // SAFETY: (S1) getegid has no precondition; getgroups with size 0 only counts.
    let (own, count) = unsafe { (libc::getegid(), libc::getgroups(0, std::ptr::null_mut())) };
    if own == gid {
        return true;
    }
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: (S1) the kernel writes at most `groups.len()` entries.
    let got = unsafe { libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr()) };
    groups.iter().take(usize::try_from(got).unwrap_or(0)).any(|&group| group == gid)
}

/// Owner and permission bits of a file or directory; `None` on systems without.
pub(crate) fn owner_and_mode(path: &Path) -> io::Result<Option<(u32, u32)>> {
    let found = std::fs::symlink_metadata(path)?;
    Ok(Some((found.uid(), found.mode() & 0o7777)))
}

/// The names in a directory; an entry that vanishes meanwhile is left out.
pub(crate) fn list(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Bytes that may still be allocated below `path`: what the file system has, and what the memory limit of the caller's
/// control group leaves. `None` where neither can be read.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let file_system = file_system_free(path);
    // Pages of a disk's file system are written back under pressure; only a memory file system's count for good.
    let group = if is_memory(path) { cgroup_free() } else { None };
    match (file_system, group) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn file_system_free(path: &Path) -> Option<u64> {
    let found = statfs(path).ok()?;
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0)))
}

/// Type numbers of file systems whose pages are never written back: tmpfs, ramfs, hugetlbfs.
pub(super) const MEMORY_FILE_SYSTEMS: [i64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

fn is_memory(path: &Path) -> bool {
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between C libraries")]
    statfs(path).is_ok_and(|found| MEMORY_FILE_SYSTEMS.contains(&(found.f_type as i64)))
}

/// What the kernel tells of the file system of `path`.
pub(super) fn statfs(path: &Path) -> io::Result<libc::statfs> {
    let path = super::file::c_path(path)?;
    // SAFETY: (S1) `statfs` is plain C data for which all-zero is a valid value.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: (S1) `path` is a C string and `found` a valid destination.
    super::check(unsafe { libc::statfs(path.as_ptr(), &mut found) })?;
    Ok(found)
}

/// What the tightest memory limit above this process leaves (version 2 of control groups, else version 1).
pub(super) fn cgroup_free() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut free: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let (mount, limit, usage) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            list if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        let mut directory = PathBuf::from(format!("{mount}{group}"));
        while directory.starts_with(mount) {
            if let (Some(limit), Some(usage)) = (number(&directory, limit), number(&directory, usage)) {
                let left = limit.saturating_sub(usage);
                free = Some(free.map_or(left, |known| known.min(left)));
            }
            directory.pop();
        }
    }
    free
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}
