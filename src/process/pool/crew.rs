//! The workers of a pool, each in a place that is taken again after its end.

use std::collections::VecDeque;

use super::engine::Chunk;
use super::message::{self, Sender};
use crate::process::error::Failure;
use crate::process::handle::Process;
use crate::queue::{BytesQueue, PutError};

/// A worker process as the pool sees it.
pub(super) struct Worker {
    pub(super) generation: u32,
    pub(super) process: Process<Result<(), Failure>>,
    tasks: BytesQueue,
    /// What did not fit into the queue yet.
    parts: VecDeque<Vec<u8>>,
    pub(super) chunks: VecDeque<Chunk>,
    /// What it said of the next message so far.
    pub(super) heard: Vec<u8>,
    pub(super) is_ready: bool,
    /// Tasks that were given to it.
    pub(super) given: u64,
    is_dismissed: bool,
}

impl Worker {
    pub(super) fn new(generation: u32, process: Process<Result<(), Failure>>, tasks: BytesQueue) -> Self {
        Worker {
            generation,
            process,
            tasks,
            parts: VecDeque::new(),
            chunks: VecDeque::new(),
            heard: Vec::new(),
            is_ready: false,
            given: 0,
            is_dismissed: false,
        }
    }

    /// Puts a chunk into its queue, as far as there is room.
    pub(super) fn give(&mut self, chunk: Chunk) {
        self.given += chunk.len() as u64;
        self.parts.extend(message::parts(&chunk.message(), &[]));
        self.chunks.push_back(chunk);
        self.push();
    }

    /// Puts what did not fit before.
    pub(super) fn push(&mut self) {
        while let Some(part) = self.parts.front() {
            match self.tasks.try_put(part) {
                Ok(()) => drop(self.parts.pop_front()),
                // It says when there is room.
                Err(PutError::Full(())) => return,
                // Its queue is unusable: so is it. Its end settles the rest.
                Err(_) => {
                    let _ = self.process.kill();
                    return;
                }
            }
        }
        if self.is_dismissed {
            let _ = self.tasks.close();
        }
    }

    /// Whether it could begin with something at once.
    pub(super) fn is_idle(&self) -> bool {
        self.is_ready && !self.is_dismissed && self.chunks.is_empty()
    }

    /// Takes the last chunk out of its queue again, if it has not taken it. The caller knows that it is whole in there, or not at all.
    pub(super) fn take_back(&mut self) -> Option<Chunk> {
        if !self.parts.is_empty() {
            return None;
        }
        let part = self.tasks.try_get().ok()?;
        let mut message = Vec::new();
        let is_whole = message::join(&part, &mut message);
        let number = message::read_chunk(&message).map(|(number, _)| number);
        if !is_whole || number != self.chunks.back().map(|chunk| chunk.number) {
            // Not what was put there: its end settles what it has.
            let _ = self.process.kill();
            return None;
        }
        let chunk = self.chunks.pop_back()?;
        self.given -= chunk.len() as u64;
        Some(chunk)
    }

    /// Lets it leave once it has done what it was given.
    pub(super) fn dismiss(&mut self) {
        if !self.is_dismissed {
            self.is_dismissed = true;
            self.push();
        }
    }
}

/// The places.
pub(super) struct Crew {
    places: Vec<Place>,
}

struct Place {
    generation: u32,
    worker: Option<Worker>,
    /// Somebody is starting one.
    is_coming: bool,
    /// What that one reported already.
    early: Vec<Vec<u8>>,
}

impl Crew {
    pub(super) fn new(workers: usize) -> Self {
        let place = || Place { generation: 0, worker: None, is_coming: false, early: Vec::new() };
        Crew { places: (0..workers).map(|_| place()).collect() }
    }

    /// Those that have a process.
    pub(super) fn working(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.places.iter_mut().filter_map(|place| place.worker.as_mut())
    }

    /// Those that have a process, and their places.
    pub(super) fn places(&mut self) -> impl Iterator<Item = (u32, &mut Worker)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(index, place)| place.worker.as_mut().map(|worker| (index as u32, worker)))
    }

    /// The worker that `sender` means, if it has not been replaced.
    pub(super) fn find(&mut self, sender: Sender) -> Option<&mut Worker> {
        let place = self.places.get_mut(sender.worker as usize)?;
        place.worker.as_mut().filter(|worker| worker.generation == sender.generation)
    }

    /// Keeps a place for a worker to come; tells what it shall call itself.
    pub(super) fn reserve(&mut self, worker: u32) -> Sender {
        let place = &mut self.places[worker as usize];
        place.generation += 1;
        place.is_coming = true;
        Sender { worker, generation: place.generation }
    }

    /// The worker has come, or does not. Returns what it reported meanwhile.
    pub(super) fn fill(&mut self, sender: Sender, worker: Option<Worker>) -> Vec<Vec<u8>> {
        let place = &mut self.places[sender.worker as usize];
        place.is_coming = false;
        place.worker = worker;
        std::mem::take(&mut place.early)
    }

    /// Keeps what a worker reports that has no process yet.
    pub(super) fn keep(&mut self, sender: Sender, part: &[u8]) {
        let place = self.places.get_mut(sender.worker as usize);
        if let Some(place) = place.filter(|place| place.is_coming && place.generation == sender.generation) {
            place.early.push(part.to_vec());
        }
    }

    /// Those whose processes have ended.
    pub(super) fn ended(&mut self) -> Vec<Sender> {
        let mut ended = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            if let Some(worker) = &place.worker
                && worker.process.exit_status().is_some()
            {
                ended.push(Sender { worker: index as u32, generation: worker.generation });
            }
        }
        ended
    }

    /// Takes a worker out of its place.
    pub(super) fn take(&mut self, sender: Sender) -> Option<Worker> {
        self.places.get_mut(sender.worker as usize)?.worker.take()
    }

    /// Whether nobody is there, or comes.
    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.worker.is_none() && !place.is_coming)
    }

    /// The processes' numbers.
    pub(super) fn pids(&mut self) -> Vec<u32> {
        self.working().map(|worker| worker.process.pid()).collect()
    }
}
