//! The face of raw memory: copies in and out, and the address for those who bring a protocol of their own.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::shm::view::Bytes;

/// Bytes in shared memory, as [`SharedMemory`](crate::SharedMemory) and [`AdoptedMemory`](crate::AdoptedMemory) give access
/// to them.
///
/// Copies may meet other processes' copies at the same bytes: that is no undefined behaviour, but the result may be a mixture of
/// both, and one does not wait for the other. Protect ranges with a [`Lock`](crate::Lock), or announce them
/// through an [`AtomicValue`](crate::AtomicValue): whoever sees the announcement sees the bytes.
///
/// # When somebody dies
///
/// A write that is killed in the middle leaves any part of its bytes written.
#[derive(Clone)]
pub struct RawBytes {
    bytes: Bytes,
    /// How messages call it.
    object: Arc<str>,
}

impl RawBytes {
    pub(super) fn new(bytes: Bytes, object: String) -> Self {
        RawBytes { bytes, object: object.into() }
    }

    pub(super) fn object(&self) -> &str {
        &self.object
    }

    /// The number of bytes, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the bytes from `at` on into `to`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many; nothing is read then.
    pub fn read(&self, at: usize, to: &mut [u8]) -> Result<()> {
        self.require(at, to.len())?;
        self.bytes.read(at, to);
        Ok(())
    }

    /// Copies `from` to the bytes from `at` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many, [`Error::ReadOnly`]; nothing is written then.
    pub fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        self.require_writable("write to it")?;
        self.require(at, from.len())?;
        self.bytes.store(at, from);
        Ok(())
    }

    /// Gives every byte the same value.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub fn fill(&self, value: u8) -> Result<()> {
        self.require_writable("fill it")?;
        self.bytes.fill(0, self.len(), value);
        Ok(())
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; self.len()];
        self.bytes.read(0, &mut all);
        all
    }

    /// The address of the first byte in this process; elsewhere it is another. Valid as long as this handle or a clone of it.
    ///
    /// Reading through it is for protocols of your own. Other processes may write at any time, so a reference, or a read that
    /// is neither atomic nor volatile, is sound only while your protocol keeps all writers away.
    pub fn as_ptr(&self) -> *const u8 {
        self.bytes.address(0, self.len()).as_ptr()
    }

    /// The address of the first byte, for writing too; see [`as_ptr`](Self::as_ptr).
    ///
    /// A reference to the bytes, or a write that is not atomic, is sound only while your protocol keeps everybody else away.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]: writing there would end the process.
    pub fn as_mut_ptr(&self) -> Result<*mut u8> {
        self.require_writable("write to it")?;
        Ok(self.bytes.address(0, self.len()).as_ptr())
    }

    fn require(&self, at: usize, count: usize) -> Result<()> {
        match at.checked_add(count) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(Error::OutOfRange {
                object: self.object.to_string(),
                start: at,
                end: at.saturating_add(count),
                len: self.len(),
            }),
        }
    }

    fn require_writable(&self, action: &'static str) -> Result<()> {
        if self.bytes.is_writable() {
            Ok(())
        } else {
            Err(Error::ReadOnly { object: self.object.to_string(), action })
        }
    }
}

impl fmt::Debug for RawBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawBytes").field("object", &self.object).field("len", &self.len()).finish()
    }
}
