//! Many items put by one call, as far as there is room.

use super::error::{PutError, not_put};
use super::ring::NotPut;
use crate::time::Deadline;

/// Puts `count` items; `some` puts as many as there is room for, one at least, from the given one on. The error says how many were put.
#[inline]
pub(super) fn put_all(
    count: usize,
    deadline: Deadline,
    mut some: impl FnMut(usize) -> Result<usize, NotPut>,
) -> Result<(), PutError<usize>> {
    let mut done = 0;
    while done < count {
        match some(done) {
            Ok(put) => done += put,
            Err(why) => return Err(not_put(why, deadline, done)),
        }
    }
    Ok(())
}

/// Puts as many of `count` items as there is room for now; tells how many. What went wrong after the first one is the next call's to say.
#[inline]
pub(super) fn put_now(
    count: usize,
    some: impl FnMut(usize) -> Result<usize, NotPut>,
) -> Result<usize, PutError<()>> {
    match put_all(count, Deadline::Now, some) {
        Ok(()) => Ok(count),
        Err(PutError::Full(done) | PutError::TimedOut(done)) => Ok(done),
        Err(PutError::Closed(0)) => Err(PutError::Closed(())),
        Err(PutError::Failed(0, error)) => Err(PutError::Failed((), error)),
        Err(PutError::Closed(done) | PutError::Failed(done, _)) => Ok(done),
    }
}
