//! The small file that stands under an object's name and says which memory it is.
//!
//! ```text
//! 0..256    copy of the memory's first bytes, so that a program of another backend sees whose it is
//! 256..272  mark
//! 272..280  key     280..288  length of the object     288..296  check: both, mixed
//! ```
//!
//! Little-endian. Its directory can be written by its owner only, but it is checked like any foreign bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::memory::Key;
use crate::sys::FRONT;

const MARK: [u8; 16] = *b"procshare-link-1";
const LEN: usize = FRONT + 40;

/// Which memory an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) key: Key,
    pub(super) len: u64,
}

/// What stands under a name.
pub(super) enum Found {
    Link(Link),
    /// Something else: its first bytes, for the caller's checks to refuse.
    Foreign(Vec<u8>),
}

impl Link {
    /// The file's bytes.
    pub(super) fn encode(self, front: &[u8]) -> Vec<u8> {
        let mut bytes = front.to_vec();
        bytes.resize(FRONT, 0);
        bytes.extend(MARK);
        bytes.extend(self.key.0.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.check().to_le_bytes());
        bytes
    }

    /// The link in a file's bytes, if they are one and nothing else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LEN {
            return None;
        }
        let mut fields = bytes.get(FRONT..)?.strip_prefix(&MARK)?.chunks_exact(8).map(|field| {
            let mut number = [0; 8];
            number.copy_from_slice(field);
            u64::from_le_bytes(number)
        });
        let link = Link { key: Key(fields.next()?), len: fields.next()? };
        (fields.next() == Some(link.check())).then_some(link)
    }

    fn check(self) -> u64 {
        (self.key.0 ^ self.len.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Reads the file at `path`; refuses what is not a regular file.
pub(super) fn read(path: &Path) -> io::Result<Found> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity(LEN + 1);
    File::open(path)?.take(LEN as u64 + 1).read_to_end(&mut bytes)?;
    match Link::parse(&bytes) {
        Some(link) => Ok(Found::Link(link)),
        None => {
            bytes.truncate(FRONT);
            Ok(Found::Foreign(bytes))
        }
    }
}

/// The key under `path`, if a link stands there.
pub(super) fn key_at(path: &Path) -> Option<Key> {
    match read(path) {
        Ok(Found::Link(link)) => Some(link.key),
        _ => None,
    }
}
