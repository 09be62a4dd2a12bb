//! Tasks of one kind and one batch, side by side: those that wait, and those that are at a worker.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::Batch;
use super::message::{self, CHUNK_HEAD};
use super::sheet::Sheet;
use crate::participant::{Kept, pinning};
use crate::process::codec::Page;
use crate::process::error::TaskError;
use crate::process::registry::index_of;
use crate::process::task::Entry;

/// Writes arguments.
pub trait Encode: FnOnce(&mut Page<'_>) -> postcard::Result<()> {}

impl<F: FnOnce(&mut Page<'_>) -> postcard::Result<()>> Encode for F {}

/// What all tasks of a run have in common.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) entry: &'static Entry,
    /// Its place in the list of tasks.
    pub(super) task: u32,
    pub(super) batch: Arc<Batch>,
    /// So many shall go together; 0: as many as are worth the way.
    pub(super) chunk: usize,
}

impl Kind {
    pub(super) fn new(entry: &'static Entry, batch: &Arc<Batch>, chunk: usize) -> Self {
        Kind { entry, task: index_of(entry), batch: Arc::clone(batch), chunk }
    }
}

/// Objects whose handles are among the arguments, with the index of the task.
type Pins = VecDeque<(u64, Vec<Kept>)>;

/// Tasks that wait, of consecutive indices in their batch.
pub(super) struct Run {
    pub(super) kind: Kind,
    first: u64,
    count: u64,
    /// From `at` on: the arguments of each task, as a message.
    sheet: Sheet,
    at: usize,
    pins: Pins,
}

impl Run {
    /// No tasks; the first will have the index `first`.
    pub(super) fn new(kind: Kind, first: u64) -> Self {
        Run { kind, first, count: 0, sheet: Sheet::default(), at: 0, pins: Pins::new() }
    }

    /// Adds a task whose arguments `encode` appends. After an error nothing was added.
    #[inline]
    pub(super) fn push(&mut self, encode: impl Encode) -> Result<(), TaskError> {
        let sheet = &mut self.sheet;
        let (encoded, pins) = pinning(|| sheet.add(encode));
        if let Err(error) = encoded {
            return Err(unfit(self.kind.entry, error.to_string()));
        }
        if let Some(pins) = pins {
            self.pins.push_back((self.first + self.count, pins));
        }
        self.count += 1;
        Ok(())
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    #[inline]
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Bytes of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.sheet.messages().len() - self.at
    }

    /// Whether a chunk of the next task alone is one part.
    pub(super) fn starts_small(&self) -> bool {
        let (end, _) = message::pass_usual(self.sheet.messages(), self.at, 1);
        end - self.at + CHUNK_HEAD <= message::PART
    }

    /// Takes a chunk of at most `most` tasks off the front, in one part if the first task allows it.
    pub(super) fn take_chunk(&mut self, number: u64, most: u64) -> Chunk {
        let (end, count) = self.chunk_end(most);
        let mut message = message::chunk(number, self.kind.task, end - self.at);
        message.extend(&self.sheet.messages()[self.at..end]);
        let behind = self.first + count;
        let ours = self.pins.iter().take_while(|(index, _)| *index < behind).count();
        let pins = self.pins.drain(..ours).collect();
        let first = std::mem::replace(&mut self.first, behind);
        self.count -= count;
        self.at = end;
        Chunk { number, kind: self.kind.clone(), first, count, done: 0, is_begun: false, message, pins }
    }

    /// Where a chunk of at most `most` tasks ends, and how many they are.
    fn chunk_end(&self, most: u64) -> (usize, u64) {
        let (room, bytes) = (message::PART - CHUNK_HEAD, self.sheet.messages());
        if most >= self.count && self.bytes() <= room {
            return (bytes.len(), self.count);
        }
        let most = most.min(self.count);
        let within = &bytes[..bytes.len().min(self.at + room)];
        match message::pass_usual(within, self.at, most) {
            // The first one alone is longer.
            (_, 0) => message::pass_usual(bytes, self.at, most.min(1)),
            some => some,
        }
    }
}

/// Tasks that went to a worker together.
pub(super) struct Chunk {
    pub(super) number: u64,
    pub(super) kind: Kind,
    first: u64,
    count: u64,
    /// So many have an outcome.
    done: u64,
    /// Whether the worker has begun with it.
    pub(super) is_begun: bool,
    pub(super) message: Vec<u8>,
    pins: Pins,
}

impl Chunk {
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// How many have no outcome yet.
    pub(super) fn left(&self) -> u64 {
        self.count - self.done
    }

    /// Notes outcomes of the next `count`; tells the index of the first of them.
    pub(super) fn pass(&mut self, count: u64) -> u64 {
        let next = self.first + self.done;
        self.done += count;
        next
    }

    /// Those that have no outcome, as what waits.
    pub(super) fn rest(self) -> Run {
        let (at, _) = message::pass_usual(&self.message, CHUNK_HEAD, self.done);
        let (first, count) = (self.first + self.done, self.count - self.done);
        Run { kind: self.kind, first, count, sheet: Sheet::from(self.message), at, pins: self.pins }
    }
}

/// The error of arguments that have no bytes.
pub(super) fn unfit(entry: &'static Entry, reason: String) -> TaskError {
    TaskError::Codec { task: entry.name(), what: "the arguments", reason }
}
