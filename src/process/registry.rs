//! The tasks of this program, and its fingerprint.

use std::sync::OnceLock;

use super::task::Entry;
use crate::sys::children;

/// The tasks of this program: the linker puts them side by side.
#[linkme::distributed_slice]
pub static TASKS: [Entry];

/// What tells this program from all others, and from its own other builds.
///
/// Names, signatures and places of all tasks, this crate's version, and the linker's build id; or, from a linker that makes none, the
/// code itself, which takes longer.
pub(super) fn fingerprint() -> u64 {
    static FINGERPRINT: OnceLock<u64> = OnceLock::new();
    *FINGERPRINT.get_or_init(|| {
        let mut hash = Hash::new();
        hash.add(env!("CARGO_PKG_VERSION").as_bytes());
        match children::build_id() {
            Some(id) => hash.add(&id),
            None => hash.add(&children::code_digest().unwrap_or_default().to_le_bytes()),
        }
        // Addresses differ from run to run, their distances from build to build.
        let origin = fingerprint as fn() -> u64 as usize;
        let mut known: Vec<&Entry> = TASKS.iter().collect();
        known.sort_by_key(|entry| (entry.name, entry.signature));
        for entry in known {
            hash.add(entry.name.as_bytes());
            hash.add(entry.signature.as_bytes());
            hash.add(&(entry.run as usize).wrapping_sub(origin).to_le_bytes());
        }
        hash.0
    })
}

/// The place of a task in the list, the same in every process of this build.
pub(super) fn index_of(entry: &'static Entry) -> u32 {
    let place = TASKS.iter().position(|known| std::ptr::eq(known, entry));
    place.map_or(u32::MAX, |place| place as u32)
}

/// FNV-1a, with lengths: it need not resist anybody.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
