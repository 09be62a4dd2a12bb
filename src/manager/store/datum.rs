//! What is stored: bytes of MessagePack that were checked, and the objects they refer to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A reference that keeps an object.
///
/// Whoever has one (a name, a client, a stored value, a ticket) has a clone. With the last one the object's number goes to
/// the graveyard, from which the store removes it after the call.
#[derive(Clone)]
pub(crate) struct Token(Arc<Grip>);

struct Grip {
    object: u64,
    graveyard: Graveyard,
}

impl Token {
    pub(crate) fn new(object: u64, graveyard: &Graveyard) -> Self {
        Token(Arc::new(Grip { object, graveyard: graveyard.clone() }))
    }

    pub(crate) fn object(&self) -> u64 {
        self.0.object
    }

    pub(crate) fn downgrade(&self) -> WeakToken {
        WeakToken(Arc::downgrade(&self.0))
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let Graves { dead, some } = &*self.graveyard.0;
        dead.lock().unwrap_or_else(PoisonError::into_inner).push(self.object);
        // Relaxed: the store's thread drops what it drops before it looks; what others drop is found at some later look.
        some.store(true, Ordering::Relaxed);
    }
}

/// Leads to an object without keeping it.
pub(crate) struct WeakToken(std::sync::Weak<Grip>);

impl WeakToken {
    pub(crate) fn upgrade(&self) -> Option<Token> {
        self.0.upgrade().map(Token)
    }

    /// How many keep it.
    pub(crate) fn count(&self) -> usize {
        self.0.strong_count()
    }
}

/// Objects that nobody refers to any more.
#[derive(Clone, Default)]
pub(crate) struct Graveyard(Arc<Graves>);

#[derive(Default)]
struct Graves {
    dead: Mutex<Vec<u64>>,
    /// Whether there may be any: asked after every call.
    some: AtomicBool,
}

impl Graveyard {
    pub(crate) fn take(&self) -> Vec<u64> {
        // Relaxed: as in `drop`.
        if !self.0.some.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.0.some.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.0.dead.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many bytes are stored, and how many may be: of values, and of what else clients can make many of.
#[derive(Clone)]
pub(crate) struct Meter {
    used: Arc<AtomicUsize>,
    most: usize,
}

impl Meter {
    pub(crate) fn new(most: usize) -> Self {
        Meter { used: Arc::default(), most }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether `more` bytes would be too many.
    pub(crate) fn lacks(&self, more: usize) -> bool {
        self.used().saturating_add(more) > self.most
    }

    /// The same of what is no value: that may have a sixteenth more.
    pub(crate) fn lacks_beside(&self, more: usize) -> bool {
        self.used().saturating_add(more) > self.most.saturating_add(self.most / 16)
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Counts so many bytes, until the charge is dropped.
    pub(crate) fn charge(&self, bytes: usize) -> Charge {
        // Relaxed: one thread stores; others only look at the figure.
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Charge { meter: self.clone(), bytes }
    }
}

/// Bytes that are counted as long as this lives.
pub(crate) struct Charge {
    meter: Meter,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a value costs beside its bytes: its allocation, and its place in a map or list.
pub(crate) const OVERHEAD: usize = 128;

/// One stored value; clones share it.
#[derive(Clone)]
pub(crate) struct Datum(Arc<Stored>);

struct Stored {
    bytes: Box<[u8]>,
    references: Box<[Token]>,
    _charge: Charge,
}

impl Datum {
    pub(crate) fn new(bytes: &[u8], references: Vec<Token>, charge: Charge) -> Self {
        Datum(Arc::new(Stored { bytes: bytes.into(), references: references.into(), _charge: charge }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(crate) fn references(&self) -> &[Token] {
        &self.0.references
    }
}

/// A result under way to a client, with the objects it refers to.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    pub(crate) references: Vec<Token>,
}

impl Out {
    pub(crate) fn nil() -> Self {
        Out::with(crate::manager::wire::pack::nil)
    }

    pub(crate) fn with(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Out::default();
        write(&mut out.bytes);
        out
    }

    pub(crate) fn datum(mut self, datum: &Datum) -> Self {
        self.push(datum);
        self
    }

    pub(crate) fn push(&mut self, datum: &Datum) {
        self.bytes.extend_from_slice(datum.bytes());
        self.references.extend_from_slice(datum.references());
    }

    /// An array of none or one.
    pub(crate) fn maybe(datum: Option<&Datum>) -> Self {
        let len = datum.map_or(0, |datum| datum.bytes().len());
        Out::maybe_in(Vec::with_capacity(1 + len), datum)
    }

    /// The same, in an empty buffer that has memory.
    pub(crate) fn maybe_in(buffer: Vec<u8>, datum: Option<&Datum>) -> Self {
        let mut out = Out { bytes: buffer, references: Vec::new() };
        crate::manager::wire::pack::array(&mut out.bytes, datum.iter().len());
        datum.into_iter().for_each(|datum| out.push(datum));
        out
    }
}
