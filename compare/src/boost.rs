//! Boost.Interprocess' `message_queue`, where its headers were when this was built.

use std::ffi::CString;

use crate::failure::{Failure, same};
use crate::leftovers::own_name;

/// A queue of messages of equal size; forked children share it.
pub struct MessageQueue {
    queue: Pointer,
    bytes: usize,
}

impl MessageQueue {
    /// Makes a queue of `slots` messages of `bytes` each; `look` sees it while it still has its name.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] without Boost, [`Failure::Contender`] when it cannot be made, and what `look` returns.
    pub fn new(
        slots: usize,
        bytes: usize,
        look: impl FnOnce(&str) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let name = own_name();
        let c_name = CString::new(name.as_str()).map_err(|error| Failure::contender("name", error))?;
        let made = Self { queue: calls::create(&c_name, slots, bytes)?, bytes };
        let seen = look(&name);
        calls::remove(&c_name);
        seen.map(|()| made)
    }

    /// Sends a message, waiting while the queue is full.
    ///
    /// # Errors
    /// [`Failure::WrongAnswer`] for a message of another size, [`Failure::Contender`] when Boost throws.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), Failure> {
        same("bytes of a message", self.bytes as u64, message.len() as u64)?;
        if calls::send(&self.queue, message) { Ok(()) } else { Err(threw("send")) }
    }

    /// Receives a message, waiting while the queue is empty.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn receive(&self, to: &mut [u8]) -> Result<(), Failure> {
        let received = calls::receive(&self.queue, to).ok_or_else(|| threw("receive"))?;
        same("bytes of a message", self.bytes as u64, received as u64)
    }
}

#[cold]
fn threw(call: &'static str) -> Failure {
    Failure::contender("Boost", format_args!("{call} threw an exception"))
}

#[cfg(has_boost)]
use linked::{Pointer, calls};

#[cfg(not(has_boost))]
use absent::{Pointer, calls};

#[cfg(has_boost)]
mod linked {
    use std::ptr::NonNull;

    /// A queue of Boost's, closed on drop.
    pub(super) struct Pointer(NonNull<Opaque>);

    #[repr(C)]
    struct Opaque {
        bytes: [u8; 0],
    }

    // SAFETY: Boost's queue is made for use by many threads and processes at once.
    unsafe impl Send for Pointer {}
    // SAFETY: as above.
    unsafe impl Sync for Pointer {}

    unsafe extern "C" {
        fn compare_boost_create(name: *const std::ffi::c_char, slots: usize, bytes: usize) -> *mut Opaque;
        fn compare_boost_remove(name: *const std::ffi::c_char) -> bool;
        fn compare_boost_close(queue: *mut Opaque);
        fn compare_boost_send(queue: *mut Opaque, from: *const u8, bytes: usize) -> std::ffi::c_int;
        fn compare_boost_receive(queue: *mut Opaque, to: *mut u8, room: usize) -> std::ffi::c_long;
    }

    impl Drop for Pointer {
        fn drop(&mut self) {
            // SAFETY: made by `create`, and closed only here.
            unsafe { compare_boost_close(self.0.as_ptr()) };
        }
    }

    pub(super) mod calls {
        use std::ffi::CStr;
        use std::ptr::NonNull;

        use super::*;
        use crate::failure::Failure;

        pub(crate) fn create(name: &CStr, slots: usize, bytes: usize) -> Result<Pointer, Failure> {
            // SAFETY: the name is a C string; exceptions do not pass.
            let queue = unsafe { compare_boost_create(name.as_ptr(), slots, bytes) };
            NonNull::new(queue).map(Pointer).ok_or_else(|| Failure::contender("Boost", "no queue was made"))
        }

        pub(crate) fn remove(name: &CStr) -> bool {
            // SAFETY: the name is a C string.
            unsafe { compare_boost_remove(name.as_ptr()) }
        }

        #[inline]
        pub(crate) fn send(queue: &Pointer, message: &[u8]) -> bool {
            // SAFETY: the queue is open, and reads the message's bytes only.
            unsafe { compare_boost_send(queue.0.as_ptr(), message.as_ptr(), message.len()) == 0 }
        }

        #[inline]
        pub(crate) fn receive(queue: &Pointer, to: &mut [u8]) -> Option<usize> {
            // SAFETY: the queue is open, and writes at most as many bytes as there is room for.
            let received = unsafe { compare_boost_receive(queue.0.as_ptr(), to.as_mut_ptr(), to.len()) };
            usize::try_from(received).ok()
        }
    }
}

#[cfg(not(has_boost))]
mod absent {
    /// No queue can be made.
    pub(super) enum Pointer {}

    pub(super) mod calls {
        use std::ffi::CStr;

        use super::Pointer;
        use crate::failure::Failure;

        pub(crate) fn create(_: &CStr, _: usize, _: usize) -> Result<Pointer, Failure> {
            Err(Failure::Unavailable("Boost's headers were missing when this was built".into()))
        }

        pub(crate) fn remove(_: &CStr) -> bool {
            false
        }

        pub(crate) fn send(queue: &Pointer, _: &[u8]) -> bool {
            match *queue {}
        }

        pub(crate) fn receive(queue: &Pointer, _: &mut [u8]) -> Option<usize> {
            match *queue {}
        }
    }
}
