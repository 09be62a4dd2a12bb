//! What a hostile or broken program does, for tests.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::sys::{Access, imp::open};

/// Overwrites bytes of the segment `file`, from `at` on, whoever uses it.
///
/// # Errors
///
/// It cannot be opened, or it ends before the bytes do.
pub fn overwrite(file: &Path, at: usize, bytes: &[u8]) -> io::Result<()> {
    let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let region = open(directory, name, Access::ReadWrite, None)?;
    if at.checked_add(bytes.len()).is_none_or(|end| end > region.len()) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for (offset, &byte) in bytes.iter().enumerate() {
        // SAFETY: (S5) within the region, which lives as long as the reference; whoever else uses the byte copies it (S4) or is an
        // atomic (S6).
        let cell = unsafe { &*region.as_ptr().add(at + offset).cast::<AtomicU8>() };
        // Relaxed: whoever scribbles promises nothing.
        cell.store(byte, Ordering::Relaxed);
    }
    Ok(())
}
