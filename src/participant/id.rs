//! Ids of participants: slot and generation in 30 bits, never used again.

use std::fmt;

/// Bits of the slot number.
const SLOT_BITS: u32 = 12;
/// Bits of an id: what a lock word has room for.
pub(crate) const ID_BITS: u32 = 30;
/// The last generation of a slot; a slot that reaches it is retired.
pub(crate) const LAST_GENERATION: u32 = (1 << (ID_BITS - SLOT_BITS)) - 1;
/// The most slots a registry can have.
pub(crate) const MAX_SLOTS: u32 = 1 << SLOT_BITS;

/// A process that joined a space, as words in shared memory name it.
///
/// The id combines a slot of the space's registry with the generation of its use, and is never used again: a word that holds
/// the id of a dead participant can be taken over by one compare-exchange from exactly that id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantId(u32);

impl ParticipantId {
    /// The participant that used `slot` for the `generation`-th time.
    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        debug_assert!(slot < MAX_SLOTS && (1..=LAST_GENERATION).contains(&generation));
        ParticipantId(generation << SLOT_BITS | slot)
    }

    /// The id in a word; `None` for 0, which is nobody.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        (bits != 0).then_some(ParticipantId(bits))
    }

    /// The number that words hold: not 0, less than 2^30.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The slot in the registry.
    pub fn slot(self) -> u32 {
        self.0 & (MAX_SLOTS - 1)
    }

    /// How many participants have used the slot, this one included.
    pub fn generation(self) -> u32 {
        self.0 >> SLOT_BITS
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParticipantId({self})")
    }
}
