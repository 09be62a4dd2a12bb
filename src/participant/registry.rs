//! The registry of a space: a segment with a slot for each participant. All-zero slots are free.

use std::sync::Arc;

use super::id::{LAST_GENERATION, MAX_SLOTS, ParticipantId};
use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::error::{Error, Result};
use crate::shm::Kind;
use crate::shm::header::{Birth, Home, Lifetime, NewHeader, TypeInfo};
use crate::shm::name::Name;
use crate::shm::segment::{Extent, Segment, Site};
use crate::shm::view::{Shared, SharedSlice, Word};
use crate::sys::{self, Access, ProcessInfo};

/// Slots of a space unless its creator says otherwise. A probe of the oracle costs time in proportion to the locks that are
/// held (270 ns for 64), not to the slots.
pub(crate) const DEFAULT_SLOTS: u32 = 1000;

/// Bound of the generations that count as used in a new registry: a quarter of them all.
const BEFORE: u32 = (LAST_GENERATION + 1) / 4;

/// What precedes the slots.
#[repr(C)]
pub(crate) struct RegistryHead {
    /// Number of slots, fixed at creation.
    capacity: AtomicU32,
    /// Where the next joiner starts to look: spreads generations over the slots.
    hint: AtomicU32,
    /// Generations of every slot that count as used: random, so that two registries of one space give out different ids.
    before: AtomicU32,
    reserved: AtomicU32,
    rest: [AtomicU64; 6],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless: `capacity` is read once and checked.
unsafe impl Word for RegistryHead {}

documented_layout!(RegistryHead { capacity, hint, before, reserved, rest });

/// One participant's slot. Everything but the generation is for display.
#[repr(C)]
pub(crate) struct Slot {
    generation: AtomicU32,
    pid: AtomicU32,
    uid: AtomicU32,
    reserved: AtomicU32,
    start_time: AtomicU64,
    pid_namespace: AtomicU64,
    executable: [AtomicU64; 4],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless.
unsafe impl Word for Slot {}

#[cfg(test)]
mod slot_layout {
    use super::Slot;
    documented_layout!(Slot { generation, pid, uid, reserved, start_time, pid_namespace, executable });
}

const HEAD_LEN: usize = size_of::<RegistryHead>();

/// What a slot says of its last user.
#[derive(Clone, Debug)]
pub(crate) struct SlotInfo {
    pub(crate) id: ParticipantId,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) start_time: u64,
    pub(crate) pid_namespace: u64,
    pub(crate) executable: String,
}

/// A mapped registry.
pub(crate) struct Registry {
    head: Shared<RegistryHead>,
    slots: SharedSlice<Slot>,
}

impl Registry {
    /// The registry's file in every space.
    pub(crate) fn name() -> Name {
        Name::registry()
    }

    /// Maps the registry of a space; makes it, with so many slots, if there is none and `create` allows it.
    pub(crate) fn open(site: &Site, access: Access, create: bool, capacity: u32) -> Result<Self> {
        loop {
            match Segment::open(site, &Self::name(), access, None) {
                Err(Error::NotFound { .. }) if create => {}
                other => return Self::check(&other?),
            }
            match Self::create(site, capacity) {
                Err(Error::AlreadyExists { .. }) => {}
                other => return other,
            }
        }
    }

    fn create(site: &Site, capacity: u32) -> Result<Self> {
        let capacity = capacity.clamp(1, MAX_SLOTS);
        let body = (HEAD_LEN + capacity as usize * size_of::<Slot>()) as u64;
        let birth = Birth(sys::random_u128());
        let header = NewHeader {
            kind: Kind::Registry,
            lifetime: Lifetime::Named,
            birth,
            type_info: TypeInfo::NONE,
            creator: 0,
            home: birth.home(),
        };
        let segment =
            Segment::create(site, &Self::name(), &header, Extent { body, backed: body }, None, |segment| {
                let head = Shared::<RegistryHead>::new(segment, 0)?;
                // Relaxed: publication by `link` orders everything before it.
                head.capacity.store(capacity, Ordering::Relaxed);
                head.before.store((birth.0 >> 64) as u32 % BEFORE, Ordering::Relaxed);
                Ok(())
            })?;
        Self::check(&segment)
    }

    /// How segments name it.
    pub(crate) fn home(&self) -> Home {
        self.segment().header().birth.home()
    }

    /// Checks a mapped registry.
    fn check(segment: &Arc<Segment>) -> Result<Self> {
        segment.header().expect(Kind::Registry, &TypeInfo::NONE, &|| segment.object())?;
        let head = Shared::<RegistryHead>::new(segment, 0)?;
        // Relaxed: written before publication, and checked like any hostile number.
        let capacity = head.capacity.load(Ordering::Relaxed);
        if capacity == 0 || capacity > MAX_SLOTS {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "number of slots",
                expected: format!("1 to {MAX_SLOTS}"),
                found: capacity.to_string(),
            });
        }
        Ok(Registry { slots: SharedSlice::new(segment, HEAD_LEN, capacity as usize)?, head })
    }

    /// The segment it lies in.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        self.head.segment()
    }

    /// How many participants can join at once.
    pub(crate) fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The slots in the order in which a joiner tries them; retired ones are left out.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = u32> {
        // Relaxed throughout: a stale hint or generation costs a longer search, the locked byte decides.
        let start = self.head.hint.load(Ordering::Relaxed) % self.capacity();
        (0..self.capacity())
            .map(move |step| (start + step) % self.capacity())
            .filter(|&slot| self.slots[slot as usize].generation.load(Ordering::Relaxed) < LAST_GENERATION)
    }

    /// Enters the calling process into `slot`, whose byte it has locked, and gives it a new id; `None` if the slot has none left,
    /// because somebody got the last one since it was a candidate.
    pub(crate) fn enter(&self, slot: u32, info: &ProcessInfo) -> Option<ParticipantId> {
        let entry = &self.slots[slot as usize];
        // Only the holder of the byte writes the generation, so load and store need not be one step. A death in between
        // leaves the old generation, whose id is dead: the byte is free again.
        let used = entry.generation.load(Ordering::Relaxed);
        if used >= LAST_GENERATION {
            return None;
        }
        // Relaxed: for display; who sees the new generation (Release below) sees them.
        entry.pid.store(info.pid, Ordering::Relaxed);
        entry.uid.store(info.uid, Ordering::Relaxed);
        entry.start_time.store(info.start_time, Ordering::Relaxed);
        entry.pid_namespace.store(info.pid_namespace, Ordering::Relaxed);
        for (part, bytes) in entry.executable.iter().zip(info.executable.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            part.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        // Checked like any hostile number.
        let before = self.head.before.load(Ordering::Relaxed) % BEFORE;
        let generation = used.max(before) + 1;
        entry.generation.store(generation, Ordering::Release);
        self.head.hint.store((slot + 1) % self.capacity(), Ordering::Relaxed);
        Some(ParticipantId::new(slot, generation))
    }

    /// Whether `id` can be the current user of its slot: its generation is the slot's, and it ever existed.
    pub(crate) fn is_current(&self, id: ParticipantId) -> bool {
        // Acquire: pairs with `enter`; whoever sees a successor's generation may act on the predecessor's death.
        self.slots
            .get(id.slot() as usize)
            .is_some_and(|slot| slot.generation.load(Ordering::Acquire) == id.generation())
    }

    /// What `slot` says of its last user; `None` if it was never used.
    pub(crate) fn info(&self, slot: u32) -> Option<SlotInfo> {
        let entry = self.slots.get(slot as usize)?;
        let generation = entry.generation.load(Ordering::Acquire);
        if !(1..=LAST_GENERATION).contains(&generation) {
            return None;
        }
        let mut executable = Vec::with_capacity(32);
        for part in &entry.executable {
            executable.extend(part.load(Ordering::Relaxed).to_ne_bytes());
        }
        let executable = executable.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(SlotInfo {
            id: ParticipantId::new(slot, generation),
            pid: entry.pid.load(Ordering::Relaxed),
            uid: entry.uid.load(Ordering::Relaxed),
            start_time: entry.start_time.load(Ordering::Relaxed),
            pid_namespace: entry.pid_namespace.load(Ordering::Relaxed),
            executable: executable.escape_ascii().to_string(),
        })
    }
}
