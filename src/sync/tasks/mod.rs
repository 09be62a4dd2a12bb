//! Waiting in tasks instead of threads: futures of the blocking calls, for any executor.
//!
//! | file | holds |
//! |---|---|
//! | [`Wait`] | the future: attempts a [`Source`] and registers with the bridge in between |
//! | [`lock`] | a lock's guard that may move between threads |
//! | [`objects`] | the methods of semaphores and events |
//! | [`condition`] | those of conditions and latches |

mod condition;
mod lock;
mod objects;

pub use lock::AsyncLockGuard;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::bridge::{Bridge, Registration};

use crate::error::{Error, Result};
use crate::participant::Attached;
use crate::sync::wait_any::{Announced, Attempt, Look, Source};
use crate::sys;

/// The first look for the dead; later ones are twice as far apart.
const FIRST_SLICE_NS: u64 = 1_000_000;
/// How far apart they come to be: as for a thread that is not on watch. A look costs a poll and a system call.
const LAST_SLICE_NS: u64 = 64_000_000;

/// Waits for a source without a thread of its own. Dropping it withdraws what was announced.
pub(crate) struct Wait<'a, S> {
    /// Given up before the source is attempted or dropped: what the bridge's sleep was given for it until then is the source's to
    /// use or to pass on, and what comes later is the bridge's to pass on.
    registration: Option<Registration>,
    source: S,
    attached: &'a Attached,
    bridge: Option<Arc<Bridge>>,
    slice_ns: u64,
    look_at_ns: u64,
}

impl<'a, S> Wait<'a, S> {
    /// A task that waits for `source`, whose words lie in the segment of `attached`.
    pub(crate) fn new(source: S, attached: &'a Attached) -> Self {
        Wait { registration: None, source, attached, bridge: None, slice_ns: FIRST_SLICE_NS, look_at_ns: 0 }
    }

    /// How hard to look now.
    fn look(&mut self) -> Look {
        let now = sys::monotonic_ns();
        if self.look_at_ns == 0 {
            self.look_at_ns = now + self.slice_ns;
        }
        if now < self.look_at_ns {
            return Look::Quick;
        }
        self.slice_ns = (self.slice_ns * 2).min(LAST_SLICE_NS);
        self.look_at_ns = now + self.slice_ns;
        Look::Dead
    }

    fn bridge(&mut self) -> Result<Arc<Bridge>> {
        if let Some(bridge) = &self.bridge
            && bridge.is_at_home()
        {
            return Ok(Arc::clone(bridge));
        }
        let bridge = Bridge::of_this_process().map_err(|source| Error::Io {
            object: self.attached.object(),
            action: "start the thread that wakes tasks waiting for",
            path: self.attached.segment.site().directory.to_path_buf(),
            source,
        })?;
        self.bridge = Some(Arc::clone(&bridge));
        Ok(bridge)
    }
}

impl<'a, S: Source<'a>> Wait<'a, S> {
    /// Takes it, or registers the task.
    fn turn(&mut self, context: &Context<'_>) -> Result<Option<S::Output>> {
        self.registration = None;
        loop {
            let look = self.look();
            if let Attempt::Taken(output) = self.source.attempt(look)? {
                return Ok(Some(output));
            }
            let word = match self.source.announce()? {
                Announced::Sleep(word) => Some(word),
                Announced::Poll => None,
                Announced::Again => continue,
            };
            if let Attempt::Taken(output) = self.source.attempt(Look::Quick)? {
                return Ok(Some(output));
            }
            let (bridge, waker) = (self.bridge()?, context.waker().clone());
            let registration = bridge.register(word, &self.attached.segment, self.look_at_ns, waker)?;
            self.registration = Some(registration);
            return Ok(None);
        }
    }
}

impl<'a, S: Source<'a> + Unpin> Future for Wait<'a, S> {
    type Output = Result<S::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.turn(context).transpose() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}
