//! Where a server's socket is.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::leftovers::own_name;

/// A directory for a server's socket, for this user alone; removed with all that is in it when dropped.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(own_name());
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
        // Nothing can be done about a failure but what [`sweep`](crate::leftovers::sweep) does.
        let _ = fs::remove_dir_all(&self.0);
    }
}
