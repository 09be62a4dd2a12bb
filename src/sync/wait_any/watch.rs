//! The end of a participant among the things to wait for.

use super::source::{Announced, Attempt, Doubt, Look, Source};
use crate::error::Result;
use crate::participant::{Fate, ParticipantWatch};

/// A participant whose end somebody waits for.
pub(super) struct EndSource<'a> {
    watch: &'a ParticipantWatch,
    asked: bool,
    doubt: Doubt,
}

impl<'a> EndSource<'a> {
    pub(super) fn new(watch: &'a ParticipantWatch) -> Self {
        EndSource { watch, asked: false, doubt: Doubt::default() }
    }
}

impl<'a> Source<'a> for EndSource<'a> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        // The question is a system call: asked at once, and then once in a slice.
        if look == Look::Quick && self.asked {
            return Ok(Attempt::NotYet);
        }
        self.asked = true;
        let fate = self.watch.fate();
        let unknown = (fate == Fate::Unknown).then(|| self.watch.id().to_bits());
        self.doubt.note(unknown, || self.watch.space_name())?;
        Ok(if fate == Fate::Gone { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        Ok(Announced::Poll)
    }
}
