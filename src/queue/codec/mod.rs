//! `CodecQueue<T, C>`: items that a codec turns into bytes and back, in a queue of bytes.

mod held;
mod object;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "async")]
mod tasks;

use std::marker::PhantomData;
use std::time::Duration;

use super::bytes::{BytesQueue, PeekedBytes};
use super::error::{GetError, PutError};
use crate::error::{Error, Result};

pub use held::PeekedItem;
#[cfg(feature = "postcard")]
pub use postcard::Postcard;

/// Why a codec refused: anything that is an error.
pub type CodecFault = Box<dyn std::error::Error + Send + Sync + 'static>;

/// How items of type `T` become bytes and items again, for a [`CodecQueue`].
///
/// Both directions run outside all locks of the queue. `Postcard` (feature `postcard`) does it for every serde
/// type.
///
/// # Examples
///
/// ```
/// use procshare::{Codec, CodecFault, CodecQueue};
///
/// /// Text as UTF-8.
/// struct Text;
///
/// impl Codec<String> for Text {
///     const NAME: &'static str = "text";
///
///     fn encode(item: &String, to: &mut Vec<u8>) -> Result<(), CodecFault> {
///         to.extend_from_slice(item.as_bytes());
///         Ok(())
///     }
///
///     fn decode(bytes: &[u8]) -> Result<String, CodecFault> {
///         Ok(std::str::from_utf8(bytes)?.to_owned())
///     }
/// }
///
/// let words = CodecQueue::<String, Text>::anonymous(1024)?;
/// words.put(&"hello".into())?;
/// assert_eq!(words.get()?, "hello");
/// # Ok::<(), procshare::Error>(())
/// ```
pub trait Codec<T> {
    /// What the codec is called; a queue can be opened only with a codec of the name that it was made with.
    const NAME: &'static str;

    /// Appends the bytes of `item` to `to`, which is empty.
    ///
    /// # Errors
    ///
    /// The item has no bytes: `put` fails with [`Error::NotEncoded`](crate::Error::NotEncoded), and nothing was put.
    fn encode(item: &T, to: &mut Vec<u8>) -> Result<(), CodecFault>;

    /// Makes an item of `bytes`, which may be anything.
    ///
    /// # Errors
    ///
    /// The bytes are no item: `get` fails with [`Error::NotDecoded`](crate::Error::NotDecoded), and they are taken out.
    fn decode(bytes: &[u8]) -> Result<T, CodecFault>;
}

/// A bounded first-in-first-out queue of items of any type that a [`Codec`] knows, between any number of producers and consumers.
///
/// A [`BytesQueue`] whose items are encoded by `put`, in the calling thread, and decoded by `get`: what was put is a copy, and what
/// cannot be encoded is an error where it belongs. The capacity is counted in bytes, [`DEFAULT_BYTES_CAPACITY`](crate::DEFAULT_BYTES_CAPACITY) is a
/// good one; an item costs its encoded length rounded up to 16, and 16 more. Items of one producer arrive in the order in
/// which it put them.
///
/// A queue that was made with another codec is refused when it is opened ([`Error::WrongType`]); whether the items are of type `T` shows
/// when they are decoded. Types with a fixed layout are faster in a [`Queue`](crate::Queue).
///
/// # When somebody dies
///
/// As with [`BytesQueue`]. An item is taken out when it has been decoded: if its consumer dies before, it goes to the next one.
/// Bytes that do not decode are taken out with an error, so they are in nobody's way.
///
/// # Examples
///
/// See [`Codec`]; with the feature `postcard`, `PostcardQueue<T>` carries every serde type.
pub struct CodecQueue<T, C> {
    bytes: BytesQueue,
    kind: PhantomData<fn(T, C) -> T>,
}

/// A queue of any serde type (feature `postcard`).
///
/// # Examples
///
/// ```
/// use procshare::{DEFAULT_BYTES_CAPACITY, PostcardQueue};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Job {
///     path: String,
///     lines: Option<Vec<u32>>,
/// }
///
/// let jobs = PostcardQueue::<Job>::anonymous(DEFAULT_BYTES_CAPACITY)?;
/// let job = Job { path: "a.txt".into(), lines: Some(vec![1, 7]) };
/// jobs.put(&job)?;
/// assert_eq!(jobs.get()?, job);
/// # Ok::<(), procshare::Error>(())
/// ```
#[cfg(feature = "postcard")]
pub type PostcardQueue<T> = CodecQueue<T, Postcard>;

impl<T, C: Codec<T>> CodecQueue<T, C> {
    /// Encodes `item` and puts it, waiting while there is no room.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`]; [`PutError::Failed`] with [`Error::NotEncoded`] if the codec refuses the item, with [`Error::TooLong`] if it
    /// takes more bytes than the capacity, and for all else.
    pub fn put(&self, item: &T) -> Result<(), PutError<()>> {
        self.bytes.put(&self.encoded(item)?)
    }

    /// Encodes `item` and puts it if there is room.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`put`](Self::put).
    pub fn try_put(&self, item: &T) -> Result<(), PutError<()>> {
        self.bytes.try_put(&self.encoded(item)?)
    }

    /// Encodes `item` and puts it, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`put`](Self::put).
    pub fn put_timeout(&self, item: &T, timeout: Duration) -> Result<(), PutError<()>> {
        self.bytes.put_timeout(&self.encoded(item)?, timeout)
    }

    /// Encodes and puts all `items` in order, waiting while there is no room. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), with the number of items that were put: those stay put. If one of them cannot be encoded or is too
    /// long, none was put.
    pub fn put_many(&self, items: &[T]) -> Result<(), PutError<usize>> {
        let encoded = self.all_encoded(items).map_err(|error| PutError::Failed(0, error.into()))?;
        self.bytes.put_many(&encoded)
    }

    /// Encodes `items` and puts as many of them as there is room for now, in order; tells how many.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). If one of them cannot be encoded or is too long, none was put.
    pub fn try_put_many(&self, items: &[T]) -> Result<usize, PutError<()>> {
        self.bytes.try_put_many(&self.all_encoded(items)?)
    }

    /// Encodes and puts all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`] with the number of items that were put, and as [`put_many`](Self::put_many).
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<(), PutError<usize>> {
        let encoded = self.all_encoded(items).map_err(|error| PutError::Failed(0, error.into()))?;
        self.bytes.put_many_timeout(&encoded, timeout)
    }

    /// Takes the next item, waiting while there is none.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] when the queue is closed and drained; [`GetError::Failed`], also with [`Error::NotDecoded`] for bytes that are
    /// no item (they are taken out, and the next item can be had).
    pub fn get(&self) -> Result<T, GetError> {
        self.decoded_out(self.bytes.peek()?)
    }

    /// Takes the next item if there is one.
    ///
    /// # Errors
    ///
    /// [`GetError::Empty`], and as [`get`](Self::get).
    pub fn try_get(&self) -> Result<T, GetError> {
        self.decoded_out(self.bytes.try_peek()?)
    }

    /// Takes the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`GetError::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.decoded_out(self.bytes.peek_timeout(timeout)?)
    }

    /// Waits for an item and takes up to `most` that are there, in order; bytes that are no item are errors in between. Cheaper than
    /// one by one: all are taken out before the first is decoded.
    ///
    /// # Errors
    ///
    /// As [`BytesQueue::get_many`].
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>, GetError> {
        self.bytes.get_many(most).map(|items| self.all_decoded(&items))
    }

    /// Takes up to `most` items that are there now, in order; bytes that are no item are errors in between.
    ///
    /// # Errors
    ///
    /// As [`BytesQueue::try_get_many`].
    pub fn try_get_many(&self, most: usize) -> Result<Vec<Result<T>>, GetError> {
        self.bytes.try_get_many(most).map(|items| self.all_decoded(&items))
    }

    /// Waits at most `timeout` for an item and takes up to `most` that are there, in order; bytes that are no item are errors in between.
    ///
    /// # Errors
    ///
    /// As [`BytesQueue::get_many_timeout`].
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>, GetError> {
        self.bytes.get_many_timeout(most, timeout).map(|items| self.all_decoded(&items))
    }

    /// Lends the next item, waiting while there is none: it is taken out when it is [released](PeekedItem::release).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek(&self) -> Result<PeekedItem<'_, T>, GetError> {
        self.decoded(self.bytes.peek()?)
    }

    /// Lends the next item if there is one.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_peek(&self) -> Result<PeekedItem<'_, T>, GetError> {
        self.decoded(self.bytes.try_peek()?)
    }

    /// Lends the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn peek_timeout(&self, timeout: Duration) -> Result<PeekedItem<'_, T>, GetError> {
        self.decoded(self.bytes.peek_timeout(timeout)?)
    }

    /// The items as they come, until the queue is closed and drained; bytes that are no item are errors in between.
    ///
    /// Any other error than [`Error::NotDecoded`] is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        outcomes(|| self.get())
    }

    /// The items that are there now; else as [`iter`](Self::iter).
    pub fn try_iter(&self) -> impl Iterator<Item = Result<T>> {
        outcomes(|| self.try_get())
    }

    /// Closes the queue: nothing can be put any more, consumers drain what is there. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// As [`BytesQueue::close`].
    pub fn close(&self) -> Result<()> {
        self.bytes.close()
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.bytes.is_closed()
    }

    /// Number of items. A hint: it may change at once.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no item is there. A hint.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes in use. A hint.
    pub fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    /// Bytes of the longest encoded item there can be.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The most [bytes](Self::bytes) that were in use at once; see [`BytesQueue::high_water`].
    pub fn high_water(&self) -> usize {
        self.bytes.high_water()
    }

    /// Items put, and items taken, since the queue was made.
    pub fn counts(&self) -> (u64, u64) {
        self.bytes.counts()
    }

    fn encoded(&self, item: &T) -> Result<Vec<u8>, NotEncoded> {
        let mut to = Vec::new();
        C::encode(item, &mut to).map_err(|source| {
            let object = self.bytes.ring().attached().object();
            NotEncoded(Error::NotEncoded { object, codec: C::NAME, source })
        })?;
        Ok(to)
    }

    fn all_encoded(&self, items: &[T]) -> Result<Vec<Vec<u8>>, NotEncoded> {
        items.iter().map(|item| self.encoded(item)).collect()
    }

    fn all_decoded(&self, items: &[Vec<u8>]) -> Vec<Result<T>> {
        items.iter().map(|bytes| C::decode(bytes).map_err(|source| self.not_decoded(source))).collect()
    }

    fn decoded_out(&self, held: PeekedBytes<'_>) -> Result<T, GetError> {
        self.decoded(held).map(PeekedItem::release)
    }

    /// The item in `held`; bytes that are none, or whose decoding panics, are taken out.
    fn decoded<'a>(&self, held: PeekedBytes<'a>) -> Result<PeekedItem<'a, T>, GetError> {
        let undecoded = held::Undecoded::new(held);
        match C::decode(undecoded.bytes()) {
            Ok(item) => Ok(PeekedItem::new(item, undecoded.keep())),
            Err(source) => Err(GetError::Failed(self.not_decoded(source))),
        }
    }

    fn not_decoded(&self, source: CodecFault) -> Error {
        Error::NotDecoded { object: self.bytes.ring().attached().object(), codec: C::NAME, source }
    }
}

/// What `get` gives until there is nothing more to get; bytes that are no item are errors in between, any other error is the last.
fn outcomes<T>(mut get: impl FnMut() -> Result<T, GetError>) -> impl Iterator<Item = Result<T>> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        match get() {
            Ok(item) => Some(Ok(item)),
            Err(GetError::Failed(error)) => {
                over = !matches!(error, Error::NotDecoded { .. });
                Some(Err(error))
            }
            Err(_) => None,
        }
    })
}

/// The codec refused; nothing was put.
struct NotEncoded(Error);

impl From<NotEncoded> for PutError<()> {
    fn from(NotEncoded(error): NotEncoded) -> Self {
        PutError::Failed((), error)
    }
}

impl From<NotEncoded> for Error {
    fn from(NotEncoded(error): NotEncoded) -> Self {
        error
    }
}
