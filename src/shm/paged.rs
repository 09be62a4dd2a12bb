//! Words and bytes in pages that are no segment: without a header, a name or participants.

use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

use super::view::{Bytes, Word};
use crate::sys::pages::Pages;

/// A word in pages, which it keeps mapped.
pub(crate) struct Paged<W: Word> {
    word: NonNull<W>,
    _pages: Arc<Pages>,
}

impl<W: Word> Paged<W> {
    /// The word at the beginning of the pages; `None` if they are too few.
    pub(crate) fn first(pages: &Arc<Pages>) -> Option<Self> {
        let word = pages.address().cast::<W>();
        let fits = size_of::<W>() <= pages.len() && word.is_aligned();
        fits.then(|| Paged { word, _pages: Arc::clone(pages) })
    }
}

/// `len` bytes of the pages from `at` on; `None` if they are not all there.
pub(crate) fn bytes(pages: &Arc<Pages>, at: usize, len: usize) -> Option<Bytes> {
    let inside = at <= pages.len() && len <= pages.len() - at;
    inside.then(|| Bytes::paged(pages, at, len))
}

impl<W: Word> Deref for Paged<W> {
    type Target = W;

    #[inline]
    fn deref(&self) -> &W {
        // SAFETY: (S19) checked by `first`, mapped as long as the pages; (S6) shared references to words may stand.
        unsafe { self.word.as_ref() }
    }
}

impl<W: Word> Clone for Paged<W> {
    fn clone(&self) -> Self {
        Paged { word: self.word, _pages: Arc::clone(&self._pages) }
    }
}

// SAFETY: (S6) words are `Send + Sync`, and the mapping is kept by the `Arc`.
unsafe impl<W: Word> Send for Paged<W> {}
// SAFETY: (S6) as above.
unsafe impl<W: Word> Sync for Paged<W> {}
