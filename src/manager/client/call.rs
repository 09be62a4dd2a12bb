//! Calls as values: made by proxies, run alone, together, or in a transaction.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::direct;
use super::link::{Link, Received};
use super::reference::Reference;
use super::short::Short;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::message::Request;

thread_local! {
    /// The server, by the number of its run, for which this thread writes a value.
    static WRITING: Cell<Option<u64>> = const { Cell::new(None) };
    /// The references that came with the value which this thread reads.
    static READING: RefCell<Vec<Arc<Reference>>> = const { RefCell::new(Vec::new()) };
}

/// The number of the server's run for which a value is being written by this thread.
pub(crate) fn writing_for() -> Option<u64> {
    WRITING.get()
}

/// A reference that came with the value which this thread is reading.
pub(crate) fn reading(object: u64) -> Option<Arc<Reference>> {
    READING.with_borrow(|references| references.iter().find(|known| known.object == object).cloned())
}

/// Writes a value as MessagePack for a connection.
#[inline]
fn write<T: Serialize + ?Sized>(link: &Arc<Link>, out: &mut Short, value: &T) -> ManagerResult<()> {
    let before = WRITING.replace(Some(link.server));
    let written = direct::write(out, value);
    WRITING.set(before);
    written.map_err(unwritable::<T>)
}

#[cold]
fn unwritable<T: ?Sized>(error: rmp_serde::encode::Error) -> ManagerError {
    ManagerError::Encode { what: type_name::<T>(), reason: error.to_string() }
}

/// Reads a value that a reply brought.
pub(crate) fn read<T>(
    received: Received,
    decode: impl FnOnce(&[u8]) -> Result<T, rmp_serde::decode::Error>,
) -> ManagerResult<T> {
    let Received { bytes, references } = received;
    if references.is_empty() {
        return read_plain(&bytes, decode);
    }
    let before = READING.replace(references);
    let done = decode(&bytes);
    // Dropped outside of the cell: what was not taken sends a message.
    let left = READING.replace(before);
    drop(left);
    done.map_err(foreign::<T>)
}

/// The same of a value that refers to nothing.
#[inline]
pub(super) fn read_plain<T>(
    bytes: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, rmp_serde::decode::Error>,
) -> ManagerResult<T> {
    decode(bytes).map_err(foreign::<T>)
}

#[cold]
fn foreign<T>(error: rmp_serde::decode::Error) -> ManagerError {
    ManagerError::Decode { what: type_name::<T>(), reason: error.to_string() }
}

/// How a result is read.
pub(crate) type Decode<R> = fn(&[u8]) -> Result<R, rmp_serde::decode::Error>;

/// A call that is complete but for being sent.
///
/// Made by the `calls()` of a proxy. [`run`](Self::run) it alone, [`send`](Self::send) it without waiting, or give it to
/// [`Manager::batch`](crate::manager::Manager::batch), a [`Pipeline`](crate::manager::Pipeline) or a
/// [`Transaction`](crate::manager::Transaction). It borrows the proxy.
#[must_use = "a call does nothing until it is run, sent, or given to a batch or transaction"]
pub struct Call<'a, R> {
    pub(crate) target: Target<'a>,
    pub(crate) method: &'static str,
    pub(crate) arguments: Short,
    pub(crate) count: u32,
    pub(crate) decode: Decode<R>,
}

/// What is called: the manager itself, or an object.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    Manager(&'a Arc<Link>),
    Object(&'a Arc<Reference>),
}

impl<'a> Target<'a> {
    #[inline]
    pub(crate) fn link(self) -> &'a Arc<Link> {
        match self {
            Target::Manager(link) => link,
            Target::Object(reference) => &reference.link,
        }
    }

    #[inline]
    pub(crate) fn object(self) -> u64 {
        match self {
            Target::Manager(_) => 0,
            Target::Object(reference) => reference.object,
        }
    }

    /// Begins a call.
    #[inline]
    pub(crate) fn call(self, method: &'static str) -> Draft<'a> {
        Draft { target: self, method, arguments: Short::new(), count: 0, failed: None }
    }
}

/// A call that gets its arguments.
pub(crate) struct Draft<'a> {
    target: Target<'a>,
    method: &'static str,
    arguments: Short,
    count: u32,
    failed: Option<ManagerError>,
}

impl<'a> Draft<'a> {
    #[inline]
    pub(crate) fn arg<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let written = write(self.target.link(), &mut self.arguments, value);
        self.count += 1;
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.arguments.extend(bytes);
        self.count += 1;
        self
    }

    #[inline]
    pub(crate) fn reads<R>(self, decode: Decode<R>) -> ManagerResult<Call<'a, R>> {
        let Draft { target, method, arguments, count, failed } = self;
        match failed {
            None => Ok(Call { target, method, arguments, count, decode }),
            Some(error) => Err(error),
        }
    }

    /// Runs a call whose result is read by serde.
    pub(crate) fn run<R: DeserializeOwned>(self) -> ManagerResult<R> {
        self.reads(plain::<R>)?.run()
    }

    /// Runs a call without a result.
    pub(crate) fn done(self) -> ManagerResult<()> {
        self.reads(nothing)?.run()
    }

    /// Sends a call without waiting for it.
    pub(crate) fn tell(self) {
        if let Ok(call) = self.reads(nothing) {
            call.target.link().tell(&call.request());
        }
    }
}

impl<R> Call<'_, R> {
    #[inline]
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            id: 0,
            object: self.target.object(),
            method: self.method,
            arguments: &self.arguments,
            count: self.count,
        }
    }

    /// Sends the call and waits for its result.
    ///
    /// # Errors
    ///
    /// Those of the method it is of, and [`ManagerError::Disconnected`].
    pub fn run(self) -> ManagerResult<R> {
        read(self.target.link().run(&self.request())?, self.decode)
    }

    /// Sends the call; its result is waited for later. Calls of one connection are done in the order they are sent.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`], [`ManagerError::Limit`] if it is longer than the server takes.
    pub fn send(self) -> ManagerResult<Pending<R>> {
        let link = self.target.link();
        let sent = Sent { id: Some(link.send(&self.request())?), link: link.clone() };
        Ok(Pending { sent, decode: self.decode, of: PhantomData })
    }
}

/// A call that was sent; dropped, its reply is not waited for.
struct Sent {
    link: Arc<Link>,
    /// Its number, until the reply has come.
    id: Option<u64>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.abandon(id);
        }
    }
}

/// A call that was sent; dropping it gives up the result, not the call.
#[must_use = "the result, and whether there was an error, is in wait()"]
pub struct Pending<R> {
    sent: Sent,
    decode: Decode<R>,
    of: PhantomData<R>,
}

impl<R> Pending<R> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// Those of the method, and [`ManagerError::Disconnected`], which says whether the call may have been done.
    pub fn wait(self) -> ManagerResult<R> {
        let Pending { mut sent, decode, .. } = self;
        match sent.id.take() {
            Some(id) => read(sent.link.wait(id)?, decode),
            // Taken only here.
            None => Err(sent.link.lost_reply()),
        }
    }
}

pub(crate) fn plain<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

pub(crate) fn nothing(_: &[u8]) -> Result<(), rmp_serde::decode::Error> {
    Ok(())
}

/// An array of none or one.
pub(crate) fn maybe<V: DeserializeOwned>(bytes: &[u8]) -> Result<Option<V>, rmp_serde::decode::Error> {
    match bytes {
        [0x90] => Ok(None),
        [0x91, value @ ..] => rmp_serde::from_slice(value).map(Some),
        // Lengths in more bytes than they need.
        _ => Ok(rmp_serde::from_slice::<Vec<V>>(bytes)?.pop()),
    }
}

/// The answer of a compare-and-swap: `Ok` if it was done, else what is there instead.
pub(crate) fn swapped<V: DeserializeOwned>(
    bytes: &[u8],
) -> Result<Result<(), Option<V>>, rmp_serde::decode::Error> {
    let (done, mut there) = rmp_serde::from_slice::<(bool, Vec<V>)>(bytes)?;
    Ok(if done { Ok(()) } else { Err(there.pop()) })
}
