//! A descriptor that is readable or not, as this process says: for `poll` and its kin.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A pollable descriptor that is readable as long as something is worth trying; from `as_fd()` of a queue or a subscriber.
///
/// Poll it for reading with whatever you use: `poll`, `epoll`, `AsyncFd`, an event loop. It stays readable until a `try_` call on the
/// handle it was made of, or on a clone, has found nothing (or no room); then it is readable again as soon as trying is
/// worth while. Who else polls or takes does not matter: a try may always find that somebody was faster. Never read from it.
///
/// It belongs to the process that made it: after a fork the child gets one of its own. Dropping it closes the descriptor.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::AsRawFd as _;
///
/// let jobs = procshare::Queue::<u64>::anonymous(4)?;
/// let ready = jobs.as_fd()?;
/// let is_readable = |timeout| {
///     let mut poll = libc::pollfd { fd: ready.as_raw_fd(), events: libc::POLLIN, revents: 0 };
///     // SAFETY: one entry, for the length of the call.
///     unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
/// };
/// assert!(!is_readable(0));
/// jobs.put(7)?;
/// assert!(is_readable(-1));
/// assert_eq!(jobs.try_get()?, 7);
/// assert!(jobs.try_get().is_err(), "empty: from here on it is not readable");
/// assert!(!is_readable(0));
/// # }
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct ReadyFd {
    // The order of the fields matters: what rings the bell goes first.
    _ringer: Box<dyn Any + Send + Sync>,
    bell: Arc<Bell>,
}

impl ReadyFd {
    /// The descriptor of `bell`, which `ringer` rings as long as it lives.
    pub(crate) fn new(bell: Arc<Bell>, ringer: impl Any + Send + Sync) -> Self {
        ReadyFd { _ringer: Box::new(ringer), bell }
    }
}

impl fmt::Debug for ReadyFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadyFd").field(&self.bell).finish()
    }
}

pub(crate) use imp::Bell;

#[cfg(unix)]
impl std::os::fd::AsFd for ReadyFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.bell.descriptor()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for ReadyFd {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.bell.descriptor())
    }
}

#[cfg(unix)]
mod imp {
    use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
    use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
    use std::sync::atomic::{AtomicBool, Ordering::*};

    /// A pipe with at most one byte in it.
    #[derive(Debug)]
    pub(crate) struct Bell {
        reader: PipeReader,
        writer: PipeWriter,
        /// Whether the byte is there; changed by one thread at a time.
        rung: AtomicBool,
    }

    impl Bell {
        /// One that is not rung; closed in programs that this one starts.
        pub(crate) fn new() -> io::Result<Self> {
            let (reader, writer) = io::pipe()?;
            for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
                // SAFETY: (S1) two integers; the descriptor is open.
                if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(Bell { reader, writer, rung: AtomicBool::new(false) })
        }

        /// Makes it readable. The caller lets nobody else ring or clear it meanwhile.
        pub(crate) fn ring(&self) {
            // Relaxed: the caller orders changes.
            if !self.rung.swap(true, Relaxed) {
                // A pipe that is full is readable, too.
                let _ = (&self.writer).write(&[1]);
            }
        }

        /// Makes it unreadable. The caller lets nobody else ring or clear it meanwhile.
        pub(crate) fn clear(&self) {
            if self.rung.swap(false, Relaxed) {
                let _ = (&self.reader).read(&mut [0; 8]);
            }
        }

        pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;

    /// There is none here.
    #[derive(Debug)]
    pub(crate) struct Bell(std::convert::Infallible);

    impl Bell {
        /// Fails: this system polls no descriptors of ours.
        pub(crate) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn ring(&self) {
            match self.0 {}
        }

        pub(crate) fn clear(&self) {
            match self.0 {}
        }
    }
}
