//! Named memory of the system's, through the `shared_memory` crate.

use std::fmt;
use std::io;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::os::{self, Bell};

/// Behind the bytes of the object, for this backend's own use: the id of the doorbell (see `os`).
const MARGIN: u64 = 64;

/// The number that names memory, drawn at random and never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) u64);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Key {
    /// A new one.
    pub(super) fn random() -> Self {
        Key(super::random_u128() as u64)
    }

    /// The key in a file's name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let whole = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        whole.then(|| u64::from_str_radix(text, 16).ok().map(Key)).flatten()
    }

    /// The system's name of the memory; macOS allows 30 characters.
    fn os_id(self) -> String {
        format!("/procshare-{self}")
    }
}

/// Mapped memory.
pub(super) struct Memory {
    /// Before the memory it watches over.
    _bell: Bell,
    shmem: Shmem,
    len: usize,
}

// SAFETY: (S5) the mapping belongs to nobody in particular: whoever makes references to its bytes answers for them.
unsafe impl Send for Memory {}
// SAFETY: (S5) as above; nothing of `Shmem` is changed through a shared reference.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes `len` zero bytes, the first `backed` of them backed if the system can do that.
    pub(super) fn create(key: Key, len: u64, backed: u64) -> io::Result<Self> {
        let shmem = ShmemConf::new().os_id(key.os_id()).size(whole(len)?).create().map_err(|error| {
            let error = explain(error);
            // What the system cannot even map has no room either.
            if error.kind() == io::ErrorKind::OutOfMemory { io::ErrorKind::StorageFull.into() } else { error }
        })?;
        let memory = Self::keep(shmem, len)?;
        os::allocate(&key.os_id(), backed).inspect_err(|_| erase(key))?;
        Ok(memory)
    }

    /// Maps the memory `key`; `NotFound` if there is none.
    pub(super) fn open(key: Key, len: u64) -> io::Result<Self> {
        let whole = whole(len)?;
        let shmem = ShmemConf::new().os_id(key.os_id()).size(whole).open().map_err(explain)?;
        if shmem.len() < whole {
            // Somebody else's, or cut short: not what the link means.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("memory of {} bytes, {whole} expected", shmem.len()),
            ));
        }
        Self::keep(shmem, len)
    }

    fn keep(mut shmem: Shmem, len: u64) -> io::Result<Self> {
        // The crate would remove the memory with its maker's mapping: its life is decided by names and attachments instead.
        shmem.set_owner(false);
        let at = usize::try_from(len.next_multiple_of(MARGIN)).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: (S5) `whole` bytes are mapped, and the margin is the last of them, aligned to 64 bytes.
        let bell = unsafe { Bell::hang(shmem.as_ptr(), at) };
        Ok(Memory { _bell: bell, shmem, len: len as usize })
    }

    /// First byte.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.shmem.as_ptr()
    }

    /// Bytes of the object; the system may have mapped more.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Backs the first `end` bytes of the memory `key`, if the system can do that.
pub(super) fn back(key: Key, end: u64) -> io::Result<()> {
    os::allocate(&key.os_id(), end)
}

/// Removes the memory's name; who has it mapped keeps it.
pub(super) fn erase(key: Key) {
    if let Ok(mut shmem) = ShmemConf::new().os_id(key.os_id()).size(1).open() {
        // An owner's mapping takes the name along when it goes.
        shmem.set_owner(true);
    }
    super::ledger::strike(key);
}

/// Object and margin.
fn whole(len: u64) -> io::Result<usize> {
    let whole = len.checked_next_multiple_of(MARGIN).and_then(|len| len.checked_add(MARGIN));
    let whole = whole.filter(|&whole| whole <= i64::MAX as u64).and_then(|whole| usize::try_from(whole).ok());
    whole.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

fn explain(error: ShmemError) -> io::Error {
    match error {
        ShmemError::MappingIdExists => io::ErrorKind::AlreadyExists.into(),
        ShmemError::MapCreateFailed(code)
        | ShmemError::MapOpenFailed(code)
        | ShmemError::UnknownOsError(code) => io::Error::from_raw_os_error(code as i32),
        other => io::Error::other(other),
    }
}
