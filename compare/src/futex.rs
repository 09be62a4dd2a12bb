//! The kernel's wait and wake on a word that processes share.

use std::sync::atomic::AtomicU32;

use crate::failure::Failure;

/// Sleeps while `word` holds `expected`; may return early for no reason.
///
/// # Errors
/// [`Failure::Os`] for anything but a changed word or a signal.
pub fn wait(word: &AtomicU32, expected: u32) -> Result<(), Failure> {
    // SAFETY: the word is live and aligned for the call's length; a null timeout waits for ever.
    let done = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            std::ptr::null::<libc::timespec>(),
        )
    };
    match std::io::Error::last_os_error().raw_os_error() {
        _ if done == 0 => Ok(()),
        Some(libc::EAGAIN | libc::EINTR) => Ok(()),
        _ => Err(Failure::last_os("futex wait")),
    }
}

/// Wakes one sleeper.
pub fn wake_one(word: &AtomicU32) {
    // SAFETY: the word is live; waking touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}
