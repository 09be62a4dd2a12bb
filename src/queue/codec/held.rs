//! Items of a queue with a codec that are not taken out yet.

use std::fmt;
use std::ops::Deref;

use crate::queue::bytes::PeekedBytes;

/// An item of a [`CodecQueue`](super::CodecQueue) that is not taken out yet; [`release`](Self::release) does that.
///
/// Dropping it unreleased, or dying, gives the item to the next consumer, before all others. So work on it may be done twice, but
/// never zero times. Its bytes keep their room meanwhile.
#[must_use = "dropping it gives the item to the next consumer"]
pub struct PeekedItem<'a, T> {
    item: T,
    held: PeekedBytes<'a>,
}

impl<'a, T> PeekedItem<'a, T> {
    pub(super) fn new(item: T, held: PeekedBytes<'a>) -> Self {
        PeekedItem { item, held }
    }

    /// Takes the item out of the queue for good.
    pub fn release(self) -> T {
        self.held.release();
        self.item
    }
}

impl<T> Deref for PeekedItem<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: fmt::Debug> fmt::Debug for PeekedItem<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

/// Bytes that are being decoded: taken out when this is dropped, also by a panic. Who cannot be decoded shall be in nobody's way.
pub(super) struct Undecoded<'a>(Option<PeekedBytes<'a>>);

impl<'a> Undecoded<'a> {
    pub(super) fn new(held: PeekedBytes<'a>) -> Self {
        Undecoded(Some(held))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// They are an item: whoever has it decides.
    pub(super) fn keep(mut self) -> PeekedBytes<'a> {
        self.0.take().expect("only `keep` and `drop` take it")
    }
}

impl Drop for Undecoded<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.release();
        }
    }
}
