//! What this machine can do, tried out: the questions of `doctor`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::directory::{self, MEMORY_FILE_SYSTEMS};
use super::file::{c_path, link_unnamed, open_fd, page_of, unlink};
use super::seat::is_conflict;
use super::{check, ofd_lock};
use crate::sys::{Feature, FileSystem, Limit, LockFault};

/// What the file system of `path` is, and how much of it is left.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let found = directory::statfs(path)?;
    let unit = u64::try_from(found.f_bsize).unwrap_or(0);
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between C libraries")]
    let number = found.f_type as i64;
    Ok(FileSystem {
        name: file_system_name(number).map_or_else(|| format!("file system {number:#x}"), str::to_owned),
        memory: MEMORY_FILE_SYSTEMS.contains(&number),
        total: (found.f_blocks > 0).then(|| found.f_blocks.saturating_mul(unit)),
        free: (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(unit)),
        files_free: (found.f_files > 0).then_some(found.f_ffree),
    })
}

fn file_system_name(number: i64) -> Option<&'static str> {
    Some(match number {
        0x0102_1994 => "tmpfs",
        0x8584_58f6 => "ramfs",
        0x9584_58f6 => "hugetlbfs",
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0xff53_4d42 | 0xfe53_4d42 => "smb",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x9fa0 => "proc",
        _ => return None,
    })
}

/// Whether files without a name can be made in `directory` and given one, and by which way.
pub(crate) fn publish_by_link(path: &Path) -> io::Result<&'static str> {
    match open_fd(path, libc::O_TMPFILE | libc::O_RDWR, 0o600) {
        Ok(fd) => {
            let name = temporary_name(path);
            link_unnamed(fd.as_raw_fd(), &c_path(&name)?)?;
            remove(&name)?;
            Ok("O_TMPFILE and linkat")
        }
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) =>
        {
            let name = temporary_name(path);
            open_fd(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o600)?;
            remove(&name)?;
            Ok("a private name and link, because it has no O_TMPFILE")
        }
        Err(error) => Err(error),
    }
}

/// Whether advisory locks work in `path` the way liveness needs them: seen through other descriptions, refused to them, kept by a
/// mapping alone, and gone with it.
pub(crate) fn test_locks(path: &Path) -> Result<(), LockFault> {
    let (holder, other) = two_descriptions(path).or_else(|_| two_descriptions(path))?;
    set(&holder, libc::F_WRLCK)?;
    if !is_held(&other)? {
        return Err(LockFault::Broken("a byte that was just locked reads as free"));
    }
    match set(&other, libc::F_WRLCK) {
        Err(error) if is_conflict(&error) => {}
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(LockFault::Broken("two holders got the same byte")),
    }
    let page = page_of(&holder)?;
    drop(holder);
    let kept = is_held(&other);
    // SAFETY: (S1) the page was mapped above and nobody else knows it.
    unsafe { libc::munmap(page, 4096) };
    if !kept? {
        return Err(LockFault::Broken(
            "a lock went with its descriptor although a mapping kept its file open",
        ));
    }
    if is_held(&other)? {
        return Err(LockFault::Broken("a lock outlived its holder"));
    }
    Ok(())
}

/// One file, opened twice. A collector may take the name away in between: then the next try.
fn two_descriptions(directory: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let name = temporary_name(directory);
    let one = open_fd(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o600)?;
    let other = open_fd(&name, libc::O_RDWR, 0);
    remove(&name)?;
    Ok((one, other?))
}

/// Removes a file of this module's, unless a collector was faster.
fn remove(path: &Path) -> io::Result<()> {
    match unlink(&c_path(path)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn set(fd: &OwnedFd, kind: libc::c_int) -> io::Result<()> {
    ofd_lock(fd.as_raw_fd(), libc::F_OFD_SETLK, kind, super::SEAT_BASE, 1).map(drop)
}

fn is_held(fd: &OwnedFd) -> io::Result<bool> {
    let found = ofd_lock(fd.as_raw_fd(), libc::F_OFD_GETLK, libc::F_WRLCK, super::SEAT_BASE, 1)?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

fn temporary_name(directory: &Path) -> PathBuf {
    // The prefix that gc removes, should this process die here.
    directory.join(format!(".tmp-{:032x}", super::random_u128()))
}

/// The kernel's calls beyond the ordinary, each tried once.
pub(crate) fn features() -> Vec<Feature> {
    vec![
        Feature { name: "MADV_WIPEONFORK", needed: false, answer: advise(libc::MADV_WIPEONFORK) },
        Feature { name: "MADV_DONTFORK", needed: true, answer: advise(libc::MADV_DONTFORK) },
        Feature { name: "memfd_create", needed: false, answer: memfd() },
        Feature { name: "pidfd_open", needed: false, answer: pidfd() },
        Feature { name: "futex_waitv", needed: false, answer: futex_waitv() },
        Feature { name: "/proc", needed: false, answer: fs::metadata("/proc/self/fd").map(drop) },
    ]
}

fn advise(advice: libc::c_int) -> io::Result<()> {
    // SAFETY: (S1) a new mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: (S1) the advice concerns exactly the page mapped above.
    let answer = check(unsafe { libc::madvise(page, 4096, advice) }).map(drop);
    // SAFETY: (S1) mapped above and known to nobody else.
    unsafe { libc::munmap(page, 4096) };
    answer
}

/// Turns a new descriptor, or an error, into an answer; the descriptor is closed.
fn opened(fd: libc::c_long) -> io::Result<()> {
    let fd = check(fd as libc::c_int)?;
    // SAFETY: (S1) the descriptor was just opened and has no other owner.
    unsafe { libc::close(fd) };
    Ok(())
}

fn memfd() -> io::Result<()> {
    // SAFETY: (S1) the name is a C string that lives for the call.
    opened(unsafe { libc::syscall(libc::SYS_memfd_create, c"procshare".as_ptr(), libc::MFD_CLOEXEC) })
}

fn pidfd() -> io::Result<()> {
    // SAFETY: (S1) plain numbers.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })
}

fn futex_waitv() -> io::Result<()> {
    // No waiters at all is refused by a kernel that knows the call, before it looks at any address.
    // SAFETY: (S1) the kernel reads nothing through null pointers when the count is 0.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            std::ptr::null::<u8>(),
            0u32,
            0u32,
            std::ptr::null::<u8>(),
            libc::CLOCK_MONOTONIC,
        )
    };
    match check(answer as libc::c_int) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.map(drop),
    }
}

/// Limits of this process that objects run into.
pub(crate) fn limits() -> Vec<Limit> {
    let mappings =
        fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    vec![
        Limit {
            name: "RLIMIT_NOFILE",
            what: "open files",
            value: resource_limit(libc::RLIMIT_NOFILE),
            least: 256,
        },
        Limit {
            name: "vm.max_map_count",
            what: "mappings, one or two for each open object",
            value: mappings,
            least: 16_384,
        },
        Limit {
            name: "RLIMIT_FSIZE",
            what: "bytes of one object",
            value: resource_limit(libc::RLIMIT_FSIZE),
            least: 1 << 30,
        },
        Limit {
            name: "RLIMIT_AS",
            what: "bytes of address space",
            value: resource_limit(libc::RLIMIT_AS),
            least: 1 << 30,
        },
        Limit {
            name: "memory.max",
            what: "bytes left to this control group",
            value: memory_left(),
            least: 64 << 20,
        },
    ]
}

/// What the control group leaves; version 1 calls "no limit" a number that no memory reaches.
fn memory_left() -> Option<u64> {
    directory::cgroup_free().filter(|&bytes| bytes < 1 << 60)
}

/// The soft limit; `None` if there is none.
fn resource_limit(which: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: (S1) `limit` is a valid destination.
    check(unsafe { libc::getrlimit(which, &mut limit) }).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Name and release of the operating system.
pub(crate) fn system_name() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim()).trim_end().to_owned()
}

/// Wall-clock nanoseconds of a start time in clock ticks since boot; `None` for 0, which means unknown.
pub(crate) fn started_ns(ticks: u64) -> Option<u64> {
    if ticks == 0 {
        return None;
    }
    // SAFETY: (S1) sysconf has no precondition.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&hz| hz > 0)?;
    // Two clocks are read one after the other: once for all, so that the same process always has the same start.
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    let boot =
        (*BOOT.get_or_init(|| super::wall_ns().checked_sub(super::process::clock_ns(libc::CLOCK_BOOTTIME))))?;
    let since = u128::from(ticks) * 1_000_000_000 / u128::from(per_second);
    boot.checked_add(u64::try_from(since).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_file_system_passes_the_lock_test_and_keeps_nothing() {
        let path = std::env::temp_dir().join(format!("procshare-checks-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        assert!(test_locks(&path).is_ok());
        assert!(publish_by_link(&path).is_ok());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::remove_dir(&path).unwrap();
        assert!(
            matches!(test_locks(&path), Err(LockFault::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn a_start_time_lies_between_boot_and_now() {
        let info = crate::sys::ProcessInfo::of_self();
        let started = started_ns(info.start_time).unwrap();
        // One tick of rounding either way.
        assert!(started <= super::super::wall_ns() + 20_000_000);
        assert_eq!(started_ns(info.start_time), Some(started));
        assert_eq!(started_ns(0), None);
        assert_eq!(started_ns(u64::MAX), None);
    }
}
