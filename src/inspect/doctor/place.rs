//! A directory as a place for segments: its file system, and whether publication and liveness work in it.

use std::path::Path;

use super::Finding;
use crate::inspect::ByteSize;
use crate::sys::{self, LockFault};

/// Less than this is worth a word.
const LEAST_FREE: u64 = 16 << 20;

/// Tries out whether segments can live in `directory`: how much room there is, whether files can be published, and whether
/// locks end with their holders. Makes and removes files of its own.
pub fn place(directory: impl AsRef<Path>) -> Vec<Finding> {
    let directory = directory.as_ref();
    let shown = directory.display();
    let file_system = match sys::file_system(directory) {
        Ok(found) => found,
        Err(error) => {
            let advice = "make the directory, or name another one with --space";
            return vec![Finding::failure(format!("{shown}"), error.to_string(), advice)];
        }
    };
    let mut findings = vec![kind(directory, &file_system), room(directory, &file_system)];
    findings.push(match sys::publish_by_link(directory) {
        Ok(way) => Finding::good(format!("{shown} publication"), format!("works, by {way}")),
        Err(error) => Finding::failure(
            format!("{shown} publication"),
            error.to_string(),
            "objects cannot be made there: check owner and mode of the directory, and that it is not read-only",
        ),
    });
    let check = format!("{shown} locks");
    findings.push(match sys::test_locks(directory) {
        Ok(()) => Finding::good(check, "advisory locks end with their holders"),
        Err(LockFault::Io(error)) => Finding::failure(
            check,
            error.to_string(),
            "deaths could not be noticed there: use a memory file system such as /dev/shm, or a local disk",
        ),
        Err(LockFault::Broken(what)) => Finding::failure(
            check,
            format!("{}: {what}", file_system.name),
            "deaths could not be noticed there: use a memory file system such as /dev/shm, or a local disk",
        ),
    });
    findings
}

fn kind(directory: &Path, found: &sys::FileSystem) -> Finding {
    let check = format!("{} file system", directory.display());
    if found.memory {
        Finding::good(check, found.name.clone())
    } else {
        Finding::warning(
            check,
            format!("{}, not a memory file system", found.name),
            "objects there survive a reboot but are written to disk now and then: use /dev/shm unless that is wanted",
        )
    }
}

fn room(directory: &Path, found: &sys::FileSystem) -> Finding {
    let check = format!("{} room", directory.display());
    let text = |bytes: Option<u64>| bytes.map_or("an unknown number".to_owned(), |b| ByteSize(b).to_string());
    let said = format!("{} free of {}", text(found.free), text(found.total));
    let enlarge = "remove what nobody needs (procshare ls, rm, gc), or enlarge it: mount -o remount,size=..., docker run --shm-size=...";
    match (found.free, found.files_free) {
        (Some(0), _) => Finding::failure(check, said, enlarge),
        (_, Some(0)) => {
            Finding::failure(check, "no more files can be made", "remove files, or enlarge nr_inodes")
        }
        (Some(free), _) if free < LEAST_FREE => Finding::warning(check, said, enlarge),
        _ => Finding::good(check, said),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn with(free: Option<u64>, files_free: Option<u64>) -> Finding {
        let found =
            sys::FileSystem { name: "tmpfs".into(), memory: true, total: Some(1 << 30), free, files_free };
        room(Path::new("/x"), &found)
    }

    #[test]
    fn a_full_file_system_is_a_failure_whether_bytes_or_files_are_short() {
        assert_eq!(with(Some(0), None).level, Level::Failure);
        assert_eq!(with(Some(1 << 29), Some(0)).level, Level::Failure);
        assert_eq!(with(Some(1 << 20), Some(9)).level, Level::Warning);
        assert_eq!(with(Some(1 << 29), Some(9)).level, Level::Good);
        assert_eq!(with(None, None).level, Level::Good);
    }

    #[test]
    fn a_missing_directory_is_one_failure() {
        let findings = place("/nonexistent/procshare");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Failure);
    }
}
