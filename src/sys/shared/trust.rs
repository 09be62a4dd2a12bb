//! A space's directory: made with the right mode, refused when somebody else could have put it there.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::sys::{DirFault, Trust, Untrusted};

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
