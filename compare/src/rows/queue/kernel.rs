//! The kernel's own ways to move bytes: pipes and sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd};

use procshare::bytemuck;

use super::rivals::{each_large, refused, shown_large};
use super::{Belt, Item};
use crate::failure::{Failure, not_negative};
use crate::processes::pipe;

/// How two descriptors are joined.
pub(super) trait Joint: Send + Sync + 'static {
    /// The most bytes that go in one piece.
    const PIECE: usize = usize::MAX;

    /// Where to read, and where to write.
    fn pair() -> Result<(OwnedFd, OwnedFd), Failure>;
}

/// A pipe.
pub(super) struct Pipe;

impl Joint for Pipe {
    fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
        pipe()
    }
}

/// Unix stream sockets.
pub(super) struct Stream;

impl Joint for Stream {
    fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
        sockets(libc::SOCK_STREAM)
    }
}

/// Unix sockets of packets, which must fit into a socket's buffer.
pub(super) struct Packets;

impl Joint for Packets {
    const PIECE: usize = 1 << 16;

    fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
        sockets(libc::SOCK_SEQPACKET)
    }
}

fn sockets(kind: i32) -> Result<(OwnedFd, OwnedFd), Failure> {
    let mut ends = [0; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for the two descriptors.
    not_negative("socketpair", unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: both descriptors were just made and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Items through a pair of descriptors.
pub(super) struct Kernel<J> {
    reader: File,
    writer: File,
    joint: PhantomData<J>,
}

impl<const N: usize, J: Joint> Belt<N> for Kernel<J> {
    fn new() -> Result<Self, Failure> {
        let (reader, writer) = J::pair()?;
        Ok(Self { reader: reader.into(), writer: writer.into(), joint: PhantomData })
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        each_large(numbers, |item: &Item<N>| {
            let mut pieces = bytemuck::cast_slice(&item[..]).chunks(J::PIECE);
            pieces.try_for_each(|piece| (&self.writer).write_all(piece)).map_err(refused)
        })
    }

    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure> {
        shown_large(count, sink, |place: &mut Item<N>| {
            (&self.reader).read_exact(bytemuck::cast_slice_mut(&mut place[..])).map_err(refused)
        })
    }
}
