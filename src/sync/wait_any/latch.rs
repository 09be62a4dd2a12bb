//! Latches among the things to wait for.

use super::source::{Announced, Attempt, Look, Source};
use crate::error::Result;
use crate::sync::latch::Latch;

/// A latch that somebody waits for.
pub(crate) struct LatchSource<'a> {
    latch: &'a Latch,
}

impl<'a> LatchSource<'a> {
    pub(crate) fn new(latch: &'a Latch) -> Self {
        LatchSource { latch }
    }
}

impl<'a> Source<'a> for LatchSource<'a> {
    type Output = ();

    fn attempt(&mut self, _: Look) -> Result<Attempt<()>> {
        Ok(if self.latch.try_wait() { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        self.latch.join("wait for it")?;
        let sleepers = self.latch.sleepers();
        // The last count wakes all: no wake-up is spent on one instead of another.
        Ok(Announced::Sleep(sleepers.expect(sleepers.prepare())))
    }
}
