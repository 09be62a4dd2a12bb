//! What a thread can sleep on: 32 bits with an address.

use crate::atomic::{AtomicU32, AtomicU64};

/// A word that threads of any process can sleep on: 32 bits with an address.
pub(crate) trait Futex {
    /// Where the 32 bits are.
    fn address(&self) -> *const u32;
    /// The 32 bits now.
    #[cfg_attr(
        not(any(loom, test)),
        allow(dead_code, reason = "backends without a kernel futex compare by themselves")
    )]
    fn bits(&self) -> u32;
}

impl Futex for AtomicU32 {
    fn address(&self) -> *const u32 {
        std::ptr::from_ref(self).cast()
    }

    fn bits(&self) -> u32 {
        // Acquire: what the waker did before it changed the word is seen by who finds it changed.
        self.load(crate::atomic::Ordering::Acquire)
    }
}

/// The low half of a 64-bit word as a futex.
pub(crate) struct LowHalf<'a>(pub(crate) &'a AtomicU64);

impl Futex for LowHalf<'_> {
    fn address(&self) -> *const u32 {
        let halves = std::ptr::from_ref(self.0).cast::<u32>();
        if cfg!(target_endian = "big") { halves.wrapping_add(1) } else { halves }
    }

    fn bits(&self) -> u32 {
        // Acquire: as for a 32-bit word.
        self.0.load(crate::atomic::Ordering::Acquire) as u32
    }
}

/// A word of either width, to name several in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyFutex<'a> {
    /// A 32-bit word.
    Whole(&'a AtomicU32),
    /// The low half of a 64-bit word.
    Low(&'a AtomicU64),
}

impl Futex for AnyFutex<'_> {
    fn address(&self) -> *const u32 {
        match self {
            AnyFutex::Whole(word) => word.address(),
            AnyFutex::Low(word) => LowHalf(word).address(),
        }
    }

    fn bits(&self) -> u32 {
        match self {
            AnyFutex::Whole(word) => word.bits(),
            AnyFutex::Low(word) => LowHalf(word).bits(),
        }
    }
}

/// The most words that one thread sleeps on at once: what Linux takes.
pub(crate) const FUTEX_WAIT_ANY_MOST: usize = 128;

/// A word, and what it holds as long as there is nothing to wake up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) word: AnyFutex<'a>,
    pub(crate) bits: u32,
}

impl Expected<'_> {
    /// Whether the word holds something else by now.
    pub(crate) fn has_changed(&self) -> bool {
        self.word.bits() != self.bits
    }
}
