//! The workers of a pool, each in a place that is taken again after its end.

use std::collections::VecDeque;

use super::message;
use super::run::Chunk;
use crate::process::error::{Exit, Failure, TaskError};
use crate::process::handle::Process;
use crate::queue::{BytesQueue, Consumer, GetError, PutError};

/// What a pool wants of the process of a worker.
pub(super) trait Body: Send {
    fn pid(&self) -> u32;
    fn kill(&self);
    /// How it ended, if it has.
    fn exit(&self) -> Option<Exit>;
    /// What the panic said that ended it.
    fn last_word(&self) -> Option<String>;
}

impl Body for Process<Result<(), Failure>> {
    fn pid(&self) -> u32 {
        self.pid()
    }

    fn kill(&self) {
        // It fails only if there is none any more.
        let _ = self.kill();
    }

    fn exit(&self) -> Option<Exit> {
        self.exit_status()
    }

    fn last_word(&self) -> Option<String> {
        match self.try_join() {
            Err(TaskError::Panicked { message, .. }) => Some(message),
            _ => None,
        }
    }
}

/// A worker as the pool sees it.
pub(super) struct Worker {
    generation: u32,
    pub(super) body: Box<dyn Body>,
    tasks: BytesQueue,
    /// What did not fit into the queue yet.
    parts: VecDeque<Vec<u8>>,
    /// What it was given and has not done, in this order.
    pub(super) chunks: VecDeque<Chunk>,
    says: Consumer<u8>,
    /// What it said and nobody has read.
    pub(super) heard: Vec<u8>,
    pub(super) is_ready: bool,
    /// Tasks that were given to it.
    pub(super) given: u64,
    is_dismissed: bool,
    /// Its end is no surprise.
    pub(super) may_leave: bool,
}

impl Worker {
    pub(super) fn new(generation: u32, body: Box<dyn Body>, tasks: BytesQueue, says: Consumer<u8>) -> Self {
        Worker {
            generation,
            body,
            tasks,
            parts: VecDeque::new(),
            chunks: VecDeque::new(),
            says,
            heard: Vec::new(),
            is_ready: false,
            given: 0,
            is_dismissed: false,
            may_leave: false,
        }
    }

    /// Takes in what it says; tells whether that is anything.
    pub(super) fn listen(&mut self) -> bool {
        match self.says.try_peek_many(usize::MAX) {
            Ok(said) => {
                let (first, second) = said.as_slices();
                self.heard.extend_from_slice(first);
                self.heard.extend_from_slice(second);
                said.release();
                true
            }
            Err(GetError::Empty | GetError::Closed | GetError::TimedOut) => false,
            Err(GetError::Failed(_)) => {
                self.is_unusable();
                false
            }
        }
    }

    /// Ends it: its own end settles the rest.
    pub(super) fn is_unusable(&mut self) {
        self.body.kill();
    }

    /// Puts a chunk into its queue, as far as there is room.
    pub(super) fn give(&mut self, chunk: Chunk) {
        self.given += chunk.len();
        // Most are one part, and need no copy.
        let is_put = message::is_one_part(&chunk.message)
            && self.parts.is_empty()
            && self.tasks.try_put(&chunk.message).is_ok();
        if !is_put {
            self.parts.extend(message::parts(&chunk.message));
        }
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
                Err(_) => return self.is_unusable(),
            }
        }
        if self.is_dismissed && !self.tasks.is_closed() {
            let _ = self.tasks.close();
        }
    }

    /// Whether it could begin with something at once.
    pub(super) fn is_idle(&self) -> bool {
        self.is_ready && !self.is_dismissed && self.chunks.is_empty()
    }

    /// Takes what it was given ahead out of its queue again, if it has not taken it.
    pub(super) fn take_back(&mut self) -> Option<Chunk> {
        // The first chunk is out of the queue, and the second is in it as a whole.
        if self.chunks.len() < 2 || !self.parts.is_empty() || self.tasks.len() != 1 {
            return None;
        }
        let part = self.tasks.try_get().ok()?;
        let mut before = Vec::new();
        let number =
            message::join(&part, &mut before).and_then(message::Tasks::read).map(|tasks| tasks.number);
        if number != self.chunks.back().map(|chunk| chunk.number) {
            // Not what was put there.
            self.is_unusable();
            return None;
        }
        let chunk = self.chunks.pop_back()?;
        self.given -= chunk.len();
        Some(chunk)
    }

    /// Lets it leave once it has done what it was given.
    pub(super) fn dismiss(&mut self) {
        if !self.is_dismissed {
            self.is_dismissed = true;
            self.may_leave = true;
            self.push();
        }
    }
}

/// Who has a place, among all who had it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Post {
    pub(super) place: u32,
    pub(super) generation: u32,
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
}

impl Crew {
    pub(super) fn new(workers: usize) -> Self {
        let place = || Place { generation: 0, worker: None, is_coming: false };
        Crew { places: (0..workers).map(|_| place()).collect() }
    }

    /// Those that have a process.
    pub(super) fn working(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.places.iter_mut().filter_map(|place| place.worker.as_mut())
    }

    /// All of them.
    pub(super) fn posts(&self) -> impl Iterator<Item = Post> + use<> {
        let posts: Vec<Post> = self
            .places
            .iter()
            .zip(0..)
            .filter_map(|(at, place)| {
                at.worker.as_ref().map(|worker| Post { place, generation: worker.generation })
            })
            .collect();
        posts.into_iter()
    }

    /// The worker that `post` means, if it has not been replaced.
    pub(super) fn find(&mut self, post: Post) -> Option<&mut Worker> {
        let place = self.places.get_mut(post.place as usize)?;
        place.worker.as_mut().filter(|worker| worker.generation == post.generation)
    }

    /// Keeps a place for a worker to come; tells what it shall call itself.
    pub(super) fn reserve(&mut self, place: u32) -> Post {
        let at = &mut self.places[place as usize];
        at.generation += 1;
        at.is_coming = true;
        Post { place, generation: at.generation }
    }

    /// The worker has come, or does not.
    pub(super) fn fill(&mut self, post: Post, worker: Option<Worker>) {
        let place = &mut self.places[post.place as usize];
        place.is_coming = false;
        place.worker = worker;
    }

    /// Those whose processes have ended.
    pub(super) fn ended(&mut self) -> Vec<Post> {
        let posts = self.posts();
        posts.filter(|&post| self.find(post).is_some_and(|worker| worker.body.exit().is_some())).collect()
    }

    /// Takes a worker out of its place.
    pub(super) fn take(&mut self, post: Post) -> Option<Worker> {
        self.find(post)?;
        self.places.get_mut(post.place as usize)?.worker.take()
    }

    /// Whether nobody is there, or comes.
    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.worker.is_none() && !place.is_coming)
    }

    /// Whether every place has a worker that is ready.
    pub(super) fn is_complete(&self) -> bool {
        self.places.iter().all(|place| place.worker.as_ref().is_some_and(|worker| worker.is_ready))
    }

    /// The processes' numbers.
    pub(super) fn pids(&mut self) -> Vec<u32> {
        self.working().map(|worker| worker.body.pid()).collect()
    }
}
