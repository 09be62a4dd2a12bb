//! Systems without pages that can be sealed.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use crate::sys::sockets::Stream;
use crate::time::Deadline;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

#[derive(Debug)]
pub(crate) struct Pages(Infallible);

impl Pages {
    pub(crate) fn new(_: usize) -> io::Result<(Self, OwnedFd)> {
        unsupported()
    }

    pub(crate) fn of(_: &OwnedFd, _: usize) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn address(&self) -> NonNull<u8> {
        match self.0 {}
    }

    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }
}

pub(crate) fn send(_: &Stream, _: &[u8], _: &OwnedFd, _: Deadline) -> io::Result<usize> {
    unsupported()
}

pub(crate) fn receive(_: &Stream, _: &mut [u8], _: Deadline) -> io::Result<(usize, Option<OwnedFd>)> {
    unsupported()
}

pub(crate) fn has_ended(_: &Stream, _: Deadline) -> io::Result<bool> {
    unsupported()
}
