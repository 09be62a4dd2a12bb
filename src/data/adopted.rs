//! Memory that other programs made and named in the operating system's own way.

use std::fmt;
use std::ops::Deref;

use super::raw_bytes::RawBytes;
use crate::error::{Error, Result};
use crate::shm::view::Bytes;
use crate::sys::{Foreign, ForeignFault};

/// Raw bytes of shared memory that another program made; from [`SharedMemory::adopt`](crate::SharedMemory::adopt).
///
/// Its maker's rules apply: we never remove it and never change its size, and nobody counts us among its users. Its bytes are
/// reached through [`RawBytes`]. The maker must not shrink it while it is adopted, and must have backed it with memory: on a
/// full memory file system a first touch of a byte that nobody backed ends the process.
///
/// # When somebody dies
///
/// The memory stays until somebody removes it.
#[derive(Clone)]
pub struct AdoptedMemory {
    raw: RawBytes,
}

impl AdoptedMemory {
    pub(super) fn open(os_id: &str) -> Result<Self> {
        Ok(AdoptedMemory { raw: RawBytes::new(adopt(os_id)?, os_id.to_owned()) })
    }

    /// The system's name of it, as given.
    pub fn os_id(&self) -> &str {
        self.raw.object()
    }
}

impl Deref for AdoptedMemory {
    type Target = RawBytes;

    fn deref(&self) -> &RawBytes {
        &self.raw
    }
}

impl fmt::Debug for AdoptedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptedMemory").field("os_id", &self.os_id()).field("len", &self.len()).finish()
    }
}

/// All bytes of the segment that the system knows as `os_id`.
pub(super) fn adopt(os_id: &str) -> Result<Bytes> {
    let object = || os_id.to_owned();
    Foreign::open(os_id).map(Bytes::foreign).map_err(|fault| match fault {
        ForeignFault::BadName(reason) => Error::BadName { name: os_id.escape_debug().to_string(), reason },
        ForeignFault::Empty => Error::NotASegment {
            object: object(),
            what: "length",
            expected: "at least 1 byte".into(),
            found: "an empty segment, or no memory at all".into(),
        },
        ForeignFault::Io(source) => match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { object: object() },
            std::io::ErrorKind::PermissionDenied => {
                Error::PermissionDenied { object: object(), action: "adopt", path: os_id.into() }
            }
            std::io::ErrorKind::IsADirectory => Error::NotASegment {
                object: object(),
                what: "file type",
                expected: "shared memory".into(),
                found: "a directory".into(),
            },
            _ => Error::Io { object: object(), action: "adopt", path: os_id.into(), source },
        },
    })
}
