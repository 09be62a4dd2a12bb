//! What another process does while a test looks on.

use std::any::Any;
use std::ffi::OsStr;
use std::path::Path;

use super::place::{cell, file_of};
use crate::atomic::{AtomicU32, Ordering};
use crate::sys::{self, Access, Draft, ProcessLock, Seat};

/// What the other process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes slot 3 of the registry.
    Sit,
    /// Attaches id 77 to the file `object`.
    Attach,
    /// Makes a file and does not publish it.
    Make,
    /// Sleeps on the first word of `object` until it is not 0.
    Sleep,
    /// Takes slot 3, attaches id 77, and closes every descriptor from 3 on.
    CloseAll,
    /// Takes slot 3 and forks a child that lives until its standard input ends.
    SitAndFork,
    /// Writes the first byte of `object` through a region opened for reading.
    WriteReadOnly,
}

/// Plays a role; what it returns is what the process holds.
///
/// `ready` is called once the test may look.
pub(crate) fn play(role: Role, directory: &Path, ready: &mut dyn FnMut()) -> Box<dyn Any> {
    let attach = |access| sys::open(directory, OsStr::new("object"), access, Some(77)).unwrap();
    let held: Box<dyn Any> = match role {
        Role::Sit => Box::new(sit(directory)),
        Role::Attach => Box::new(attach(Access::ReadWrite)),
        Role::Make => Box::new(Draft::create(directory, &file_of(4096, 77)).unwrap()),
        Role::Sleep => {
            let region = attach(Access::ReadWrite);
            // SAFETY: (S5) the region's first word, aligned; used as an atomic by both sides.
            let word = unsafe { &*region.as_ptr().cast::<AtomicU32>() };
            ready();
            while word.load(Ordering::Acquire) == 0 {
                sys::futex_wait(word, 0, u64::MAX >> 1);
            }
            return Box::new(region);
        }
        Role::CloseAll => {
            let held = Box::new((sit(directory), attach(Access::ReadWrite)));
            real::close_all();
            held
        }
        Role::SitAndFork => {
            let seat = sit(directory);
            real::fork_a_child();
            Box::new(seat)
        }
        Role::WriteReadOnly => {
            let region = attach(Access::ReadOnly);
            ready();
            cell(&region, 0).store(1, Ordering::Relaxed);
            return Box::new(region);
        }
    };
    ready();
    held
}

fn sit(directory: &Path) -> Seat {
    let registry = directory.join("registry");
    let _lock = ProcessLock::take();
    Seat::take(&registry, sys::file_id(&registry).unwrap(), std::iter::once(3))
        .unwrap()
        .expect("slot 3 is free")
}

#[cfg(unix)]
mod real {
    /// Closes what this process did not open itself, as daemons do.
    pub(super) fn close_all() {
        for fd in 3..1024 {
            // SAFETY: (S1) nothing in this process uses these descriptors afterwards except what is under test.
            unsafe { libc::close(fd) };
        }
    }

    pub(super) fn fork_a_child() {
        // SAFETY: (S1) the child makes system calls only, and ends without returning.
        if unsafe { libc::fork() } == 0 {
            let mut byte = 0u8;
            // SAFETY: (S1) one byte into a live variable; standard input ends with the test.
            unsafe {
                while libc::read(0, (&raw mut byte).cast(), 1) > 0 {}
                libc::_exit(0);
            }
        }
    }
}

#[cfg(not(unix))]
mod real {
    pub(super) fn close_all() {
        unreachable!("this system has no descriptors to close: nobody promised to survive it");
    }

    pub(super) fn fork_a_child() {
        unreachable!("this system has no fork: nobody promised to survive it");
    }
}
