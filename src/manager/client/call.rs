//! Calls as values: made by proxies, run alone, together, or in a transaction.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// Writes a value as MessagePack for a connection; structs as maps, so that other languages see names.
fn write<T: Serialize + ?Sized>(link: &Arc<Link>, out: &mut Short, value: &T) -> ManagerResult<()> {
    let before = WRITING.replace(Some(link.server));
    let written = value.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map());
    WRITING.set(before);
    written.map_err(|error| ManagerError::Encode { what: type_name::<T>(), reason: error.to_string() })
}

/// Reads a value that a reply brought.
pub(crate) fn read<T>(
    received: Received,
    decode: impl FnOnce(&[u8]) -> Result<T, rmp_serde::decode::Error>,
) -> ManagerResult<T> {
    let done = if received.references.is_empty() {
        // Nothing in it refers to anything.
        decode(&received.bytes)
    } else {
        let before = READING.replace(received.references);
        let done = decode(&received.bytes);
        // Dropped outside of the cell: what was not taken sends a message.
        let left = READING.replace(before);
        drop(left);
        done
    };
    done.map_err(|error| ManagerError::Decode { what: type_name::<T>(), reason: error.to_string() })
}

/// How a result is read.
pub(crate) type Decode<R> = fn(&[u8]) -> Result<R, rmp_serde::decode::Error>;

/// A call that is complete but for being sent.
///
/// Made by the `calls()` of a proxy. [`run`](Self::run) it alone, [`send`](Self::send) it without waiting, or give it to
/// [`Manager::batch`](crate::manager::Manager::batch) or a [`Transaction`](crate::manager::Transaction).
#[must_use = "a call does nothing until it is run, sent, or given to a batch or transaction"]
pub struct Call<R> {
    pub(crate) target: Target,
    pub(crate) method: &'static str,
    pub(crate) arguments: Short,
    pub(crate) count: u32,
    pub(crate) decode: Decode<R>,
}

/// What is called: the manager itself, or an object.
#[derive(Clone)]
pub(crate) enum Target {
    Manager(Arc<Link>),
    Object(Arc<Reference>),
}

impl Target {
    pub(crate) fn link(&self) -> &Arc<Link> {
        match self {
            Target::Manager(link) => link,
            Target::Object(reference) => &reference.link,
        }
    }

    pub(crate) fn object(&self) -> u64 {
        match self {
            Target::Manager(_) => 0,
            Target::Object(reference) => reference.object,
        }
    }

    /// Begins a call.
    pub(crate) fn call(&self, method: &'static str) -> Draft {
        Draft { target: self.clone(), method, arguments: Short::new(), count: 0, failed: None }
    }
}

/// A call that gets its arguments.
pub(crate) struct Draft {
    target: Target,
    method: &'static str,
    arguments: Short,
    count: u32,
    failed: Option<ManagerError>,
}

impl Draft {
    pub(crate) fn arg<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let written = write(self.target.link(), &mut self.arguments, value);
        self.count += 1;
        self.failed = self.failed.or(written.err());
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.arguments.extend(bytes);
        self.count += 1;
        self
    }

    pub(crate) fn reads<R>(self, decode: Decode<R>) -> ManagerResult<Call<R>> {
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

impl<R> Call<R> {
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
        self.send()?.wait()
    }

    /// Sends the call; its result is waited for later. Calls of one connection are done in the order they are sent.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`], [`ManagerError::Limit`] if it is longer than the server takes.
    pub fn send(self) -> ManagerResult<Pending<R>> {
        let (link, decode) = (self.target.link(), self.decode);
        let sent = Sent::new(link, std::iter::once(self.request()))?;
        Ok(Pending { sent, decode, of: PhantomData })
    }
}

/// Calls of one connection that were sent one after the other; dropped, the replies that have not come are not waited for.
struct Sent {
    link: Arc<Link>,
    /// Those that have no reply yet.
    ids: Range<u64>,
}

impl Sent {
    fn new<'a>(
        link: &Arc<Link>,
        requests: impl ExactSizeIterator<Item = Request<'a>>,
    ) -> ManagerResult<Self> {
        Ok(Sent { ids: link.send(requests)?, link: link.clone() })
    }

    /// Waits for the next reply, and gives it and those behind it that have come to `take`; whether there was one to wait for.
    ///
    /// `take` must neither call nor drop what it gets: the connection is locked meanwhile.
    fn wait(&mut self, mut take: impl FnMut(ManagerResult<Received>)) -> bool {
        let is_any = !self.ids.is_empty();
        if is_any {
            let ids = self.ids.clone();
            self.link.wait_some(ids, |received| {
                self.ids.start += 1;
                take(received);
            });
        }
        is_any
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.link.abandon(self.ids.clone());
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
        let Sent { link, ids } = &self.sent;
        let received = link.wait(ids.start);
        let Pending { mut sent, decode, .. } = self;
        sent.ids.start = sent.ids.end;
        read(received?, decode)
    }
}

/// Calls under way at once in a batch: more would fill the buffers of both sides.
const WINDOW: usize = 256;

/// Sends many calls together and gives their results in order.
pub(crate) fn batch<R>(calls: Vec<Call<R>>) -> ManagerResult<Vec<ManagerResult<R>>> {
    let mut results = Vec::with_capacity(calls.len());
    let mut come = Vec::new();
    for window in calls.chunks(WINDOW) {
        let mut under_way = Vec::new();
        let mut rest = window;
        while let Some(first) = rest.first() {
            // Neighbours of one connection go in one write.
            let link = first.target.link();
            let same = rest.iter().take_while(|call| Arc::ptr_eq(call.target.link(), link)).count();
            let (together, others) = rest.split_at(same);
            match Sent::new(link, together.iter().map(Call::request)) {
                Ok(sent) => under_way.push(Ok(sent)),
                // None of them was sent: one by one each gets what is its own, and what was sent before keeps its results.
                Err(_) => under_way
                    .extend(together.iter().map(|call| Sent::new(link, std::iter::once(call.request())))),
            }
            rest = others;
        }
        let mut asked = window.iter();
        for sent in under_way {
            let mut sent = match sent {
                Ok(sent) => sent,
                Err(error) => {
                    asked.next();
                    results.push(Err(error));
                    continue;
                }
            };
            while sent.wait(|received| come.push(received)) {
                let answered = come.drain(..).zip(asked.by_ref());
                results.extend(
                    answered
                        .map(|(received, call)| received.and_then(|received| read(received, call.decode))),
                );
            }
        }
    }
    Ok(results)
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
