//! Where spaces live, and how much memory is free there.

use std::io;
use std::path::{Path, PathBuf};

/// Where the spaces of this user live: `/dev/shm/procshare-UID`.
pub(crate) fn default_root() -> PathBuf {
    // SAFETY: (S1) geteuid has no precondition and cannot fail.
    let uid = unsafe { libc::geteuid() };
    PathBuf::from(format!("/dev/shm/procshare-{uid}"))
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

/// What the tightest memory limit above this process leaves (version 2 of control groups, else version 1). Pages of files
/// count as free: the kernel drops them before it refuses memory, and every container's cache fills up in time.
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
                let cached =
                    std::fs::read_to_string(directory.join("memory.stat")).map_or(0, |text| cached(&text));
                let left = limit.saturating_sub(usage.saturating_sub(cached));
                free = Some(free.map_or(left, |known| known.min(left)));
            }
            directory.pop();
        }
    }
    free
}

/// Bytes that a control group's `memory.stat` counts as cache of files on disks: pages of memory file systems are on neither list.
/// Version 1 counts the groups below under names of their own.
fn cached(stat: &str) -> u64 {
    let field = |name: &str| {
        let mut values =
            stat.lines().filter_map(|line| line.split_once(' ')).filter(|(found, _)| *found == name);
        values.next().and_then(|(_, value)| value.trim().parse::<u64>().ok())
    };
    let sum = |prefix: &str| {
        let (idle, busy) = (format!("{prefix}inactive_file"), format!("{prefix}active_file"));
        Some(field(&idle)?.saturating_add(field(&busy)?))
    };
    sum("total_").or_else(|| sum("")).unwrap_or(0)
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_cache_of_files_is_found_in_both_versions_and_with_it_all_groups_below() {
        let two = "anon 5\nfile 900\nshmem 100\ninactive_anon 7\nactive_file 300\ninactive_file 400\n";
        assert_eq!(cached(two), 700);
        let one = "cache 1\ninactive_file 1\nactive_file 2\ntotal_inactive_file 30\ntotal_active_file 40\n";
        assert_eq!(cached(one), 70);
        assert_eq!(cached("inactive_file 3\n"), 0, "half a file says nothing");
        assert_eq!(cached(""), 0);
    }
}
