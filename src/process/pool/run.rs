//! Tasks of one kind and one batch, side by side: those that wait, and those that are at a worker.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::Batch;
use super::message::{self, CHUNK_HEAD, TASK_HEAD};
use crate::participant::{Kept, pinning};
use crate::process::error::TaskError;
use crate::process::registry::index_of;
use crate::process::task::Entry;

/// Appends arguments.
pub trait Encode: FnOnce(&mut Vec<u8>) -> postcard::Result<()> {}

impl<F: FnOnce(&mut Vec<u8>) -> postcard::Result<()>> Encode for F {}

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
    /// From `at` on: length and arguments of each task.
    bytes: Vec<u8>,
    at: usize,
    pins: Pins,
}

impl Run {
    /// No tasks; the first will have the index `first`.
    pub(super) fn new(kind: Kind, first: u64) -> Self {
        Run { kind, first, count: 0, bytes: Vec::new(), at: 0, pins: Pins::new() }
    }

    /// Adds a task whose arguments `encode` appends. After an error nothing was added.
    pub(super) fn push(&mut self, encode: impl Encode) -> Result<(), TaskError> {
        let start = self.bytes.len();
        let bytes = &mut self.bytes;
        bytes.extend([0; TASK_HEAD]);
        let (encoded, pins) = pinning(|| encode(bytes));
        let failed = match (encoded, u32::try_from(bytes.len() - start - TASK_HEAD)) {
            (Ok(()), Ok(len)) => {
                bytes[start..start + TASK_HEAD].copy_from_slice(&len.to_le_bytes());
                if !pins.is_empty() {
                    self.pins.push_back((self.first + self.count, pins));
                }
                self.count += 1;
                return Ok(());
            }
            (Err(error), _) => error.to_string(),
            (_, Err(_)) => "they are longer than 4 GiB".to_owned(),
        };
        bytes.truncate(start);
        Err(unfit(self.kind.entry, failed))
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Bytes of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether a chunk of the next task alone is one part.
    pub(super) fn starts_small(&self) -> bool {
        let end = message::task_end(&self.bytes, self.at).unwrap_or(self.at);
        end - self.at + CHUNK_HEAD <= message::PART
    }

    /// Takes a chunk of at most `most` tasks off the front, in one part if the first task allows it.
    pub(super) fn take_chunk(&mut self, number: u64, most: u64) -> Chunk {
        let (mut end, mut count) = (self.at, 0);
        while count < most.min(self.count)
            && let Some(next) = message::task_end(&self.bytes, end)
        {
            if count > 0 && next - self.at + CHUNK_HEAD > message::PART {
                break;
            }
            end = next;
            count += 1;
        }
        let mut message = message::chunk(number, self.kind.task, count as u32);
        message.extend(&self.bytes[self.at..end]);
        let behind = self.first + count;
        let ours = self.pins.iter().take_while(|(index, _)| *index < behind).count();
        let pins = self.pins.drain(..ours).collect();
        let first = std::mem::replace(&mut self.first, behind);
        self.count -= count;
        self.at = end;
        Chunk { number, kind: self.kind.clone(), first, count, done: 0, is_begun: false, message, pins }
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
        let mut at = CHUNK_HEAD;
        for _ in 0..self.done {
            at = message::task_end(&self.message, at).unwrap_or(at);
        }
        let (first, count) = (self.first + self.done, self.count - self.done);
        Run { kind: self.kind, first, count, bytes: self.message, at, pins: self.pins }
    }
}

/// The error of arguments that have no bytes.
pub(super) fn unfit(entry: &'static Entry, reason: String) -> TaskError {
    TaskError::Codec { task: entry.name(), what: "the arguments", reason }
}
