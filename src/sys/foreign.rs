//! Memory that other programs made and named in the operating system's own way, mapped by the `shared_memory` crate.

use core::ptr::NonNull;
use std::io;

use shared_memory::{Shmem, ShmemConf, ShmemError};

/// A mapped segment of somebody else: never its owner, never removed by us.
pub(crate) struct Foreign {
    map: Shmem,
}

/// Why somebody's segment was not mapped.
#[derive(Debug)]
pub(crate) enum ForeignFault {
    /// No system has such a name.
    BadName(&'static str),
    /// The segment has no bytes: its maker has not given it a size yet, or it is no memory at all.
    Empty,
    Io(io::Error),
}

impl Foreign {
    /// Maps the segment that the system knows as `os_id`; on Unix with or without the leading slash.
    pub(crate) fn open(os_id: &str) -> Result<Self, ForeignFault> {
        let name = os_id.strip_prefix('/').unwrap_or(os_id);
        if matches!(name, "" | "." | "..") || name.len() > 254 || name.contains(['/', '\0']) {
            return Err(ForeignFault::BadName("the system's names are one path component of 1 to 254 bytes"));
        }
        let name = if cfg!(unix) { format!("/{name}") } else { name.to_owned() };
        let mut map = ShmemConf::new().os_id(name).open().map_err(explain)?;
        map.set_owner(false);
        if map.len() == 0 { Err(ForeignFault::Empty) } else { Ok(Foreign { map }) }
    }

    /// First byte.
    pub(crate) fn address(&self) -> NonNull<u8> {
        NonNull::new(self.map.as_ptr()).unwrap_or(NonNull::dangling())
    }

    /// Mapped bytes, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

// SAFETY: (S13) the crate's handle is an address, a descriptor and names; none of them belongs to a thread.
unsafe impl Send for Foreign {}
// SAFETY: (S13) as above; a shared reference gives out no more than the address and the length.
unsafe impl Sync for Foreign {}

fn explain(error: ShmemError) -> ForeignFault {
    match error {
        ShmemError::MapOpenFailed(code) | ShmemError::UnknownOsError(code) => {
            let error = io::Error::from_raw_os_error(code as i32);
            match error.kind() {
                // The name was checked, so the length is what the system calls invalid.
                io::ErrorKind::InvalidInput => ForeignFault::Empty,
                _ => ForeignFault::Io(error),
            }
        }
        ShmemError::MapSizeZero => ForeignFault::Empty,
        other => ForeignFault::Io(io::Error::other(other.to_string())),
    }
}
