//! A value in memory that forked processes share.

use std::ops::Deref;
use std::ptr::NonNull;

use crate::failure::Failure;

/// A value on pages of its own in an anonymous shared mapping: a forked child sees the same bytes.
///
/// The pages go when the last process that has them mapped drops the value or ends.
pub struct Shared<T> {
    at: NonNull<T>,
}

// SAFETY: a `Shared<T>` gives `&T` to whoever has it, as `Arc<T>` does, so it asks the same of T.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Maps fresh pages and moves `value` there.
    ///
    /// # Errors
    /// [`Failure::Os`] when the memory cannot be mapped.
    pub fn new(value: T) -> Result<Self, Failure> {
        let at = Self::pages()?;
        // SAFETY: the pages are fresh, writable, page-aligned and at least `size_of::<T>()` long.
        unsafe { at.write(value) };
        Ok(Self { at })
    }

    /// Maps fresh pages and takes their zeros for a value.
    ///
    /// # Errors
    /// [`Failure::Os`] when the memory cannot be mapped.
    ///
    /// # Safety
    /// All-zero bytes are a valid `T`.
    pub unsafe fn zeroed() -> Result<Self, Failure> {
        Ok(Self { at: Self::pages()? })
    }

    /// Where the value lies: the same address in every forked child.
    pub fn as_ptr(&self) -> *mut T {
        self.at.as_ptr()
    }

    fn pages() -> Result<NonNull<T>, Failure> {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Failure::last_os("mmap"));
        }
        NonNull::new(at.cast()).ok_or(Failure::Os { call: "mmap".into(), errno: libc::EINVAL })
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `at` holds a valid T from construction until drop; only shared references are ever handed out.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `pages` with this length, and no reference outlives the owner. The value
        // itself is not dropped: other processes may still use it, and nothing kept here owns more than its bytes.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<T>()) };
    }
}

/// A word with its cache line to itself.
#[derive(Default)]
#[repr(align(128))]
pub struct OwnLine<T>(pub T);

impl<T> Deref for OwnLine<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let shared = Shared::new(AtomicU64::new(7)).unwrap();
        shared.fetch_add(1, Ordering::Relaxed);
        assert_eq!(shared.load(Ordering::Relaxed), 8);
    }
}
