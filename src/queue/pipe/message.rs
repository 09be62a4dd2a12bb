//! Messages of any serde type, as postcard.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{PipeEnd, PipeError};
use crate::error::Error;
use crate::queue::codec::{Codec, Postcard};

impl PipeEnd {
    /// Sends `message`, waiting while there is no room (feature `postcard`).
    ///
    /// # Errors
    ///
    /// As [`send_bytes`](Self::send_bytes); [`Error::NotEncoded`] if it cannot be serialised: nothing is sent.
    ///
    /// ```
    /// let (mine, theirs) = procshare::Pipe::pair(4096)?;
    /// mine.send(&("add".to_owned(), vec![1, 2, 3]))?;
    /// let (what, numbers): (String, Vec<i32>) = theirs.recv()?;
    /// assert_eq!((what.as_str(), numbers.len()), ("add", 3));
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn send<T: Serialize + DeserializeOwned>(&self, message: &T) -> Result<(), PipeError> {
        self.send_bytes(&self.encoded(message)?)
    }

    /// Sends `message` if there is room.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`], and as [`send`](Self::send).
    pub fn try_send<T: Serialize + DeserializeOwned>(&self, message: &T) -> Result<(), PipeError> {
        self.try_send_bytes(&self.encoded(message)?)
    }

    /// Sends `message`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`], and as [`send`](Self::send).
    pub fn send_timeout<T: Serialize + DeserializeOwned>(
        &self,
        message: &T,
        timeout: Duration,
    ) -> Result<(), PipeError> {
        self.send_bytes_timeout(&self.encoded(message)?, timeout)
    }

    /// Receives the next message, waiting for it (feature `postcard`).
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes); [`Error::NotDecoded`] if it is no `T`: it is taken out, and the pipe works on.
    pub fn recv<T: Serialize + DeserializeOwned>(&self) -> Result<T, PipeError> {
        self.decoded(&self.recv_bytes()?)
    }

    /// Receives the next message if it is there.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`], and as [`recv`](Self::recv).
    pub fn try_recv<T: Serialize + DeserializeOwned>(&self) -> Result<T, PipeError> {
        self.decoded(&self.try_recv_bytes()?)
    }

    /// Receives the next message, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`], and as [`recv`](Self::recv).
    pub fn recv_timeout<T: Serialize + DeserializeOwned>(&self, timeout: Duration) -> Result<T, PipeError> {
        self.decoded(&self.recv_bytes_timeout(timeout)?)
    }

    pub(super) fn encoded<T: Serialize + DeserializeOwned>(&self, message: &T) -> Result<Vec<u8>, PipeError> {
        let mut bytes = Vec::new();
        let object = || self.pipe().attached.object();
        let codec = <Postcard as Codec<T>>::NAME;
        match Postcard::encode(message, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(source) => Err(PipeError::Failed(Error::NotEncoded { object: object(), codec, source })),
        }
    }

    pub(super) fn decoded<T: Serialize + DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, PipeError> {
        Postcard::decode(bytes).map_err(|source| {
            let object = self.pipe().attached.object();
            PipeError::Failed(Error::NotDecoded { object, codec: <Postcard as Codec<T>>::NAME, source })
        })
    }
}
