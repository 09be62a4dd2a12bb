//! Systems whose mutexes do not notice that their owner died.

use core::convert::Infallible;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::io;

use super::{Got, Refusal};

/// No mutex is placed here, so it has no size.
pub(super) const SIZE: usize = 0;
/// Nor an alignment that matters.
pub(super) const ALIGN: usize = 1;

/// A mutex that cannot be made.
pub(crate) struct RobustMutex(Infallible);

/// A holding that never begins.
pub(crate) struct Hold<'a>(Infallible, PhantomData<&'a RobustMutex>);

fn unsupported() -> io::Error {
    io::Error::other("this system has no robust mutexes that processes can share")
}

impl RobustMutex {
    /// Refuses.
    ///
    /// # Safety
    ///
    /// None is needed here.
    pub(crate) unsafe fn initialise(_: NonNull<u8>) -> io::Result<()> {
        Err(unsupported())
    }

    /// Refuses.
    ///
    /// # Safety
    ///
    /// None is needed here.
    pub(crate) unsafe fn at(_: NonNull<u8>) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Never called: there is no mutex.
    pub(crate) fn lock(&self, _: Option<u64>) -> Result<(Hold<'_>, Got), Refusal> {
        match self.0 {}
    }

    /// Never called: there is no mutex.
    pub(crate) fn make_consistent(&self) {
        match self.0 {}
    }
}
