//! Many calls that go together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::call::{Call, Decode, Target, read, read_plain};
use super::link::{Link, Received};
use super::reader::Sink;
use super::reference::Reference;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::frame::PREFIX;
use crate::manager::wire::message::{LONGEST_RUN, Request};

/// Calls under way at once: more would fill the buffers of both sides.
const WINDOW: u64 = LONGEST_RUN as u64;

/// What the head of an array has at most.
const LONGEST_HEAD: usize = 5;

/// No call is added to make a frame longer: to look at it again, if the server does it in parts, shall cost little.
const FULL: usize = 16 << 10;

/// Room for frames at first.
const ROOM: usize = 2 << 10;

/// Calls that are sent together, and done in the order in which they were added: the fastest way to do many.
///
/// Begun by [`Manager::pipeline`](crate::manager::Manager::pipeline). A call costs much less here than alone, because client and server
/// go to the other one once for all of them. They are calls of their own all the same: each may fail by itself, and others may come
/// between. For all or nothing there is [`Manager::transaction`](crate::manager::Manager::transaction).
///
/// ```
/// # use procshare::manager::{Address, Server};
/// # fn main() -> procshare::Result<()> {
/// # let address = Address::Unix(std::env::temp_dir().join(format!("procshare-doc-pipeline-{}.sock", std::process::id())));
/// # let server = Server::bind(&address)?;
/// # let handle = server.handle();
/// # let running = std::thread::spawn(move || server.run());
/// use procshare::manager::{Dict, Manager};
///
/// let manager = Manager::connect(&address)?;
/// let ages = Dict::<String, u32>::open_or_create(&manager, "ages")?;
/// ages.extend(&[("Ada".into(), 36), ("Bob".into(), 41)])?;
///
/// let mut pipeline = manager.pipeline();
/// for name in ["Ada", "Bob", "Eve"] {
///     pipeline.add(ages.calls().get(name)?)?;
/// }
/// let found = pipeline.run().into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(found, [Some(36), Some(41), None]);
/// # handle.shutdown();
/// # running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// Nothing is sent before [`run`](Self::run): dropped, none of the calls is done.
#[must_use = "the calls are sent by run()"]
pub struct Pipeline<R> {
    /// The frames of all calls, one behind the other.
    bytes: Vec<u8>,
    parts: Vec<Part>,
    decodes: Vec<Decode<R>>,
    /// The objects that are called, so that they live until then.
    kept: Vec<Arc<Reference>>,
    /// Calls that were not added, with their place among the others.
    refused: Vec<(usize, ManagerError)>,
}

/// Calls of one connection that are sent at once.
struct Part {
    link: Arc<Link>,
    ids: Range<u64>,
    /// The number behind the last that may be used.
    last: u64,
    /// Where their frames begin.
    start: usize,
    /// The last of them.
    run: Option<Run>,
}

/// A frame to which more calls can be added.
struct Run {
    object: u64,
    method: &'static str,
    start: usize,
    len: usize,
}

impl Run {
    #[inline]
    fn takes(&self, request: &Request<'_>, longest: usize) -> bool {
        let len = self.len + LONGEST_HEAD + request.arguments.len();
        self.object == request.object && self.method == request.method && len <= longest.min(FULL)
    }
}

impl<R> Pipeline<R> {
    pub(super) fn new() -> Self {
        Pipeline {
            bytes: Vec::with_capacity(ROOM),
            parts: Vec::new(),
            decodes: Vec::with_capacity(WINDOW as usize / 4),
            kept: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Adds a call behind the others.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Limit`](crate::manager::ManagerError::Limit) if it is longer than the server takes; it is not added then.
    #[inline]
    pub fn add(&mut self, call: Call<'_, R>) -> ManagerResult<()> {
        let link = call.target.link();
        let part = match self.parts.last_mut() {
            Some(part) if Arc::ptr_eq(&part.link, link) && part.ids.end < part.last => part,
            _ => begin(&mut self.parts, link, self.bytes.len()),
        };
        let request = Request { id: part.ids.end, ..call.request() };
        let before = self.bytes.len();
        let run = match &part.run {
            Some(run) if run.takes(&request, link.longest) => run.start,
            _ => {
                request.write_first(&mut self.bytes);
                before
            }
        };
        request.write_behind(&mut self.bytes, run);
        let len = self.bytes.len() - run - PREFIX;
        if len > link.longest {
            self.bytes.truncate(before);
            return Err(link.too_long(len));
        }
        part.run = Some(Run { object: request.object, method: call.method, start: run, len });
        part.ids.end += 1;
        self.decodes.push(call.decode);
        if let Target::Object(reference) = call.target
            && !self.kept.last().is_some_and(|last| Arc::ptr_eq(last, reference))
        {
            self.kept.push(reference.clone());
        }
        Ok(())
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.decodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.decodes.is_empty()
    }

    /// Adds a call whose result says why it could not be added, if it cannot.
    pub(super) fn add_anyway(&mut self, call: Call<'_, R>) {
        if let Err(error) = self.add(call) {
            self.refused.push((self.decodes.len() + self.refused.len(), error));
        }
    }

    /// Sends all calls, and gives their results in order: each has errors of its own, also if it could not be sent
    /// ([`Disconnected`](crate::manager::ManagerError::Disconnected) says whether it may have been done).
    pub fn run(self) -> Vec<ManagerResult<R>> {
        let Pipeline { bytes, parts, decodes, kept: _kept, refused } = self;
        let mut results = Vec::with_capacity(decodes.len() + refused.len());
        let mut many = Many::default();
        let ends = parts.iter().skip(1).map(|part| part.start).chain([bytes.len()]);
        for (part, end) in parts.iter().zip(ends) {
            many.begin(part.ids.clone());
            match part.link.exchange(&bytes[part.start..end], part.ids.clone(), &mut many) {
                Ok(()) => many.read(&part.link, &decodes[results.len()..], &mut results),
                // None of them was sent, for a reason that stays.
                Err(error) => {
                    results.push(Err(error));
                    results.extend(part.ids.clone().skip(1).map(|_| Err(part.link.refusal())));
                }
            }
        }
        refused.into_iter().for_each(|(at, error)| results.insert(at, Err(error)));
        results
    }
}

#[cold]
fn begin<'a>(parts: &'a mut Vec<Part>, link: &Arc<Link>, start: usize) -> &'a mut Part {
    let Range { start: first, end: last } = link.numbers(WINDOW);
    parts.push(Part { link: link.clone(), ids: first..first, last, start, run: None });
    let at = parts.len() - 1;
    &mut parts[at]
}

/// The replies to consecutive calls, in whatever order they come.
#[derive(Default)]
struct Many {
    ids: Range<u64>,
    missing: usize,
    places: Vec<Place>,
    /// All plain results, one behind the other.
    bytes: Vec<u8>,
    /// All other replies.
    others: BTreeMap<u64, ManagerResult<Received>>,
}

/// What there is of a reply.
#[derive(Clone)]
enum Place {
    Missing,
    /// A result that refers to nothing, in the bytes.
    Plain(Range<usize>),
    Other,
}

impl Many {
    fn begin(&mut self, ids: Range<u64>) {
        let count = (ids.end - ids.start) as usize;
        (self.ids, self.missing) = (ids, count);
        self.places.clear();
        self.places.resize(count, Place::Missing);
        self.bytes.clear();
        self.bytes.reserve(16 * count);
    }

    #[inline]
    fn put(&mut self, id: u64, place: Place) {
        self.missing -= 1;
        self.places[(id - self.ids.start) as usize] = place;
    }

    /// Reads all replies.
    fn read<R>(&mut self, link: &Link, decodes: &[Decode<R>], results: &mut Vec<ManagerResult<R>>) {
        for ((place, &decode), id) in self.places.iter().zip(decodes).zip(self.ids.clone()) {
            results.push(match place {
                Place::Plain(range) => read_plain(&self.bytes[range.clone()], decode),
                Place::Other => match self.others.remove(&id) {
                    Some(outcome) => outcome.and_then(|received| read(received, decode)),
                    None => Err(link.lost_reply()),
                },
                Place::Missing => Err(link.lost_reply()),
            });
        }
    }
}

impl Sink for Many {
    #[inline]
    fn awaits(&self, id: u64) -> bool {
        self.ids.contains(&id) && matches!(self.places[(id - self.ids.start) as usize], Place::Missing)
    }

    #[inline]
    fn missing(&self) -> usize {
        self.missing
    }

    #[inline]
    fn done(&mut self, id: u64, result: &[u8], references: Vec<Arc<Reference>>) {
        if !references.is_empty() {
            return self.take(id, Ok(Received { bytes: result.into(), references }));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(result);
        self.put(id, Place::Plain(start..self.bytes.len()));
    }

    fn take(&mut self, id: u64, outcome: ManagerResult<Received>) {
        self.others.insert(id, outcome);
        self.put(id, Place::Other);
    }
}
