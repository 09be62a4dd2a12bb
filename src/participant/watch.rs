//! Waiting for the end of a participant.

use super::host::{Fate, Host};
use super::id::ParticipantId;
use super::object::sealed;
use super::space::Space;
use crate::error::{Error, Result};

/// One participant's end, to be asked for or waited for; from [`Space::watch`].
///
/// The answer comes from the kernel, not from what the participant did: it may have exited, crashed or been killed, in whatever
/// container, and a recycled process id deceives nobody. [`wait_any`](crate::wait_any) waits for it, together with other things.
///
/// ```
/// use procshare::Space;
///
/// let space = Space::default_space()?;
/// let me = space.watch(space.join()?);
/// assert!(!me.is_gone()?, "whoever asks is alive");
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParticipantWatch {
    space: Space,
    id: ParticipantId,
}

impl Space {
    /// A watch over the participant `id` of this space, such as the [holder](crate::Lock::holder) of a lock.
    pub fn watch(&self, id: ParticipantId) -> ParticipantWatch {
        ParticipantWatch { space: self.clone(), id }
    }
}

impl ParticipantWatch {
    /// Who is watched.
    pub fn id(&self) -> ParticipantId {
        self.id
    }

    /// Whether no thread of it can run any more. Once true it stays true.
    ///
    /// # Errors
    ///
    /// [`Error::LivenessUnknown`] if it cannot be told at this moment.
    pub fn is_gone(&self) -> Result<bool> {
        match self.fate() {
            Fate::Gone => Ok(true),
            Fate::Alive => Ok(false),
            Fate::Unknown => Err(Error::LivenessUnknown {
                space: self.space.0.site.space.to_string(),
                participant: self.id.to_bits(),
            }),
        }
    }

    /// What the oracle says.
    pub(crate) fn fate(&self) -> Fate {
        self.space.0.fate(self.id.to_bits())
    }

    /// What messages call the space.
    pub(crate) fn space_name(&self) -> String {
        self.space.0.site.space.to_string()
    }
}

impl sealed::Sealed for ParticipantWatch {}
