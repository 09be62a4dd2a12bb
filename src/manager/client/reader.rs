//! Reading a connection: one thread at a time does, for all.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::channel::{Incoming, recycled};
use super::inbox::{Inbox, Stand, Told, sleep};
use super::link::{Link, Received};
use super::reference::Reference;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::message::Reply;
use crate::manager::wire::read::Malformed;

/// The longest frame that is taken from a server: a reply is little longer than what somebody sent.
const LONGEST: usize = 1 << 30;

fn no_reply(malformed: Malformed) -> String {
    format!("the server sent no reply: {malformed}")
}

/// Where the replies to somebody's calls go.
pub(crate) trait Sink {
    /// Whether the reply to this request is missing here.
    fn awaits(&self, id: u64) -> bool;

    /// How many are missing.
    fn missing(&self) -> usize;

    /// Takes a result, with the objects that it refers to.
    fn done(&mut self, id: u64, result: &[u8], references: Vec<Arc<Reference>>);

    /// Takes a reply in any other form.
    fn take(&mut self, id: u64, outcome: ManagerResult<Received>);
}

/// The reply to one call.
pub(crate) struct One {
    id: u64,
    pub(crate) outcome: Option<ManagerResult<Received>>,
}

impl One {
    pub(crate) fn new(id: u64) -> Self {
        One { id, outcome: None }
    }
}

impl Sink for One {
    fn awaits(&self, id: u64) -> bool {
        id == self.id && self.outcome.is_none()
    }

    fn missing(&self) -> usize {
        usize::from(self.outcome.is_none())
    }

    fn done(&mut self, id: u64, result: &[u8], references: Vec<Arc<Reference>>) {
        self.take(id, Ok(Received { bytes: result.into(), references }));
    }

    fn take(&mut self, _id: u64, outcome: ManagerResult<Received>) {
        self.outcome = Some(outcome);
    }
}

/// The right to read a connection, which one thread has at a time; dropped, another one gets it.
pub(super) struct Turn<'a> {
    link: &'a Arc<Link>,
    /// Until the turn ends.
    incoming: Option<Box<Incoming>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(link: &'a Arc<Link>, incoming: Box<Incoming>) -> Self {
        Turn { link, incoming: Some(incoming) }
    }

    /// An empty buffer for the reader's own request.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        self.incoming.as_mut().map(|incoming| std::mem::take(&mut incoming.scratch)).unwrap_or_default()
    }

    /// Takes it back, if the turn has not ended.
    pub(super) fn keep_scratch(&mut self, scratch: Vec<u8>) {
        if let Some(incoming) = &mut self.incoming {
            incoming.scratch = recycled(scratch);
        }
    }

    /// Reads until nothing is missing any more, or nothing will come.
    pub(super) fn read_for(&mut self, sink: &mut impl Sink) {
        let Some(incoming) = &mut self.incoming else { return };
        if let Err(reason) = self.link.read_for(incoming, sink) {
            self.link.die(reason);
        }
    }

    /// Lets another one read.
    pub(super) fn end(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            let mut inbox = self.link.inbox();
            inbox.incoming = Some(incoming);
            inbox.turn += 1;
            inbox.wake_a_reader();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Link {
    /// Waits for the reply to a request.
    pub(crate) fn wait(self: &Arc<Self>, id: u64) -> ManagerResult<Received> {
        // What comes is the parent's, and its threads may have left every lock as it was.
        self.check_process()?;
        self.await_reply(id).1
    }

    /// Waits for the replies to requests that were registered.
    pub(super) fn wait_all(self: &Arc<Self>, mut ids: Range<u64>, sink: &mut impl Sink) {
        while let Some(first) = ids.next() {
            let (mut inbox, outcome) = self.await_reply(first);
            sink.take(first, outcome);
            // Those behind it that have come.
            while !ids.is_empty()
                && let Stand::Here(outcome) = inbox.take(ids.start)
            {
                sink.take(ids.start, outcome);
                ids.start += 1;
            }
        }
    }

    /// Waits for the reply to a request; all replies are locked when it has come.
    fn await_reply(self: &Arc<Self>, id: u64) -> (MutexGuard<'_, Inbox>, ManagerResult<Received>) {
        let mut inbox = self.inbox();
        loop {
            match inbox.take(id) {
                Stand::Here(outcome) => return (inbox, outcome),
                Stand::Unknown => {
                    let taken = self.gone("the reply was taken already", true);
                    return (inbox, Err(taken));
                }
                Stand::Awaited => {}
            }
            if let Some(reason) = inbox.dead.clone() {
                inbox.forget(id);
                let gone = self.gone(&reason, true);
                return (inbox, Err(gone));
            }
            let Some(incoming) = inbox.incoming.take() else {
                inbox = sleep(inbox, id);
                continue;
            };
            drop(inbox);
            let mut turn = Turn::new(self, incoming);
            let mut one = One::new(id);
            turn.read_for(&mut one);
            drop(turn);
            inbox = self.inbox();
            if let Some(outcome) = one.outcome {
                inbox.forget(id);
                return (inbox, outcome);
            }
        }
    }

    /// Nobody will ask for this reply.
    pub(crate) fn abandon(&self, id: u64) {
        if self.is_forked() {
            return;
        }
        // Dropped without the lock: references in it send messages of their own.
        let abandoned = self.inbox().forget(id);
        drop(abandoned);
    }

    /// Why a reply is missing.
    pub(super) fn lost_reply(&self) -> ManagerError {
        let reason = self.inbox().dead.clone().unwrap_or_else(|| "the reply did not come".into());
        self.gone(&reason, true)
    }

    pub(super) fn die(&self, reason: String) {
        self.lost.store(true, Ordering::Release);
        self.inbox().die(reason);
    }

    /// Reads replies, until nothing is missing. All that is here, also behind that: others need not read for it.
    fn read_for(self: &Arc<Self>, incoming: &mut Incoming, sink: &mut impl Sink) -> Result<(), String> {
        loop {
            let understood = self.understand(incoming, sink);
            self.hand_out(incoming);
            understood?;
            if sink.missing() == 0 {
                return Ok(());
            }
            incoming.receive(&self.stream).map_err(|error| error.to_string())?;
        }
    }

    /// Takes all whole frames apart.
    fn understand(self: &Arc<Self>, incoming: &mut Incoming, sink: &mut impl Sink) -> Result<(), String> {
        let bad = |_| "the server sent a frame that is too long".to_owned();
        while let Some(content) = incoming.frames.next(LONGEST).map_err(bad)? {
            let mut objects = Vec::new();
            let reply = Reply::read(content, |object| objects.push(object)).map_err(no_reply)?;
            match reply {
                Reply::Failed { id: 0, kind, message } => return Err(format!("{kind}: {message}")),
                Reply::Failed { id, kind, message } => {
                    let outcome = Err(ManagerError::from_fault(kind, message));
                    match sink.awaits(id) {
                        true => sink.take(id, outcome),
                        false => incoming.others.push((id, outcome)),
                    }
                }
                Reply::Done { id, result } => {
                    self.put((id, result), &mut objects, sink, &mut incoming.others);
                }
                Reply::Run { first, mut results } => {
                    let mut id = first;
                    while let Some(result) = results.next(|object| objects.push(object)).map_err(no_reply)? {
                        self.put((id, result), &mut objects, sink, &mut incoming.others);
                        id += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts a result where it belongs, with the objects that it refers to.
    #[inline]
    fn put(
        self: &Arc<Self>,
        (id, result): (u64, &[u8]),
        objects: &mut Vec<u64>,
        sink: &mut impl Sink,
        others: &mut Vec<Told>,
    ) {
        let mut references = Vec::new();
        if !objects.is_empty() {
            // Taken note of in any case, so that the server learns when they are not wanted.
            references.extend(objects.drain(..).map(|object| self.references.adopt(self, object)));
        }
        match sink.awaits(id) {
            true => sink.done(id, result, references),
            false => others.push((id, Ok(Received { bytes: result.into(), references }))),
        }
    }

    /// Gives others what came for them.
    fn hand_out(&self, incoming: &mut Incoming) {
        if incoming.others.is_empty() {
            return;
        }
        let mut unwanted = Vec::new();
        let mut inbox = self.inbox();
        unwanted.extend(incoming.others.drain(..).filter_map(|told| inbox.hand_out(told)));
        drop(inbox);
        // What nobody waits for is dropped without the lock.
        drop(unwanted);
    }
}
