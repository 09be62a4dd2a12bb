//! Views of a model's segment: words are loom's, so each has a place of its own and no address; bytes are atomics each.
//!
//! The same face as the real views. A model [places](super::segment::Segment::place) the words that the code under test will look for; bytes
//! come by themselves. What is copied and what is lent by its [address](Bytes::address) are not the same bytes: a model uses one or the
//! other. Copies may be stale or torn like all that is loaded Relaxed; for what is lent loom reports everybody who is not ordered behind
//! the last one.

use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};

use super::segment::Segment;
use crate::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::error::{Error, Result};
use crate::sys::Foreign;

/// As in the real views.
///
/// # Safety
///
/// As there.
pub unsafe trait Word: Send + Sync + 'static {}

// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for AtomicU8 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for AtomicU16 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for AtomicU32 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for AtomicU64 {}

/// A word of a model's segment.
pub(crate) struct Shared<W: Word> {
    word: Arc<Vec<W>>,
    segment: Arc<Segment>,
}

/// Consecutive words of a model's segment.
pub(crate) struct SharedSlice<W: Word> {
    words: Arc<Vec<W>>,
    len: usize,
}

/// Bytes of a model's segment.
#[derive(Clone)]
pub(crate) struct Bytes {
    bytes: Arc<Vec<AtomicU8>>,
    lent: Arc<Vec<Lent>>,
    offset: usize,
    segment: Arc<Segment>,
}

/// Who had a byte last.
#[derive(Default)]
struct Lent(loom::cell::UnsafeCell<()>);

// SAFETY: (S5) nothing is in it: loom only looks whether its accesses are ordered.
unsafe impl Send for Lent {}
// SAFETY: (S5) as above.
unsafe impl Sync for Lent {}

impl<W: Word> Shared<W> {
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize) -> Result<Self> {
        let word = segment.placed(offset).ok_or_else(|| nothing(segment, offset))?;
        Ok(Shared { word, segment: Arc::clone(segment) })
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl<W: Word> SharedSlice<W> {
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize, len: usize) -> Result<Self> {
        let words: Arc<Vec<W>> = if len == 0 {
            Arc::default()
        } else {
            segment
                .placed(offset)
                .filter(|words: &Arc<Vec<W>>| words.len() >= len)
                .ok_or_else(|| nothing(segment, offset))?
        };
        Ok(SharedSlice { words, len })
    }
}

#[cold]
fn nothing(segment: &Segment, offset: usize) -> Error {
    Error::NotASegment {
        object: segment.object(),
        what: "model",
        expected: format!("words at offset {offset}"),
        found: "none that were placed there".into(),
    }
}

impl Bytes {
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize, len: usize, _align: usize) -> Result<Self> {
        Ok(Bytes {
            bytes: segment.lasting(usize::MAX / 2 + offset, len),
            lent: segment.lasting(usize::MAX / 4 * 3 + offset, len),
            offset,
            segment: Arc::clone(segment),
        })
    }

    pub(crate) fn foreign(_: Foreign) -> Self {
        panic!("models adopt nothing")
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn load(&self, at: usize, to: &mut [MaybeUninit<u8>]) {
        for (byte, to) in self.bytes[at..at + to.len()].iter().zip(to) {
            to.write(byte.load(Relaxed));
        }
    }

    pub(crate) fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let bytes = self.bytes.get(at..at + N)?;
        Some(std::array::from_fn(|index| bytes[index].load(Relaxed)))
    }

    pub(crate) fn store(&self, at: usize, from: &[u8]) {
        self.bytes[at..at + from.len()].iter().zip(from).for_each(|(byte, &from)| byte.store(from, Relaxed));
    }

    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        self.bytes[at..at + to.len()].iter().zip(to).for_each(|(byte, to)| *to = byte.load(Relaxed));
    }

    pub(crate) fn fill(&self, at: usize, len: usize, value: u8) {
        self.bytes[at..at + len].iter().for_each(|byte| byte.store(value, Relaxed));
    }

    pub(crate) fn is_writable(&self) -> bool {
        true
    }

    pub(crate) fn load_value<'b, B: AnyBitPattern>(
        &self,
        at: usize,
        to: &'b mut MaybeUninit<B>,
    ) -> &'b mut B {
        let mut value = B::zeroed();
        let mut bytes = vec![0; size_of::<B>()];
        self.read(at, &mut bytes);
        // SAFETY: (S4) as many bytes as a `B` has, and any bytes are one.
        unsafe { (&raw mut value).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        to.write(value)
    }

    pub(crate) fn store_value<B: NoUninit>(&self, at: usize, value: &B) {
        self.store(at, bytemuck::bytes_of(value));
    }

    /// As in the real views; whoever asks is taken to write.
    pub(crate) fn address(&self, at: usize, len: usize) -> NonNull<u8> {
        self.lent[at..at + len].iter().for_each(|byte| byte.0.with_mut(|_| ()));
        // SAFETY: (S5) as many bytes lie in the body as there are `lent`.
        unsafe { self.segment.body().0.add(self.offset + at) }
    }

    /// As `address` of one byte, which is all that loom is told of.
    ///
    /// # Safety
    ///
    /// `at` is at most the length of the view.
    pub(crate) unsafe fn address_of(&self, at: usize) -> NonNull<u8> {
        self.address(at, usize::from(at < self.len()))
    }
}

impl<W: Word> Deref for Shared<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.word[0]
    }
}

impl<W: Word> Deref for SharedSlice<W> {
    type Target = [W];

    fn deref(&self) -> &[W] {
        &self.words[..self.len]
    }
}

impl<W: Word> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared { word: Arc::clone(&self.word), segment: Arc::clone(&self.segment) }
    }
}

impl<W: Word> Clone for SharedSlice<W> {
    fn clone(&self) -> Self {
        SharedSlice { words: Arc::clone(&self.words), len: self.len }
    }
}
