//! Where a server's socket is.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Behind this comes the batch's process id.
const PREFIX: &str = "procshare-compare-manager-";

/// A directory for a server's socket, for this user alone; removed with all that is in it when dropped.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::contender("make a directory for the socket", error))?;
        Ok(Place(path))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing can be done about a failure but what `sweep` does.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what batches left that crashed or were killed.
pub fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another run may have been faster, or may own it: either way there is nothing left to do here.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
