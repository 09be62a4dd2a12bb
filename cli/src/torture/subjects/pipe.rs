//! `Pipe`: two talk until one says goodbye or dies; the other hears all that was said, and then that it is alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use procshare::{AtomicArray, Error, Handle, Lifetime, Pipe, PipeEnd, PipeError, Space};

use super::ledger;
use super::line::{Tag, message, read};
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// Bytes of the longest message; some conversations fill it.
const CAPACITY: usize = 5_000;
/// What each says before it says goodbye.
const WORDS: u64 = 12;
/// Whoever waits for a guest that says nothing goes home after so many looks.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(1);

/// Numbers: the next pipe's, that of the one who waits for a guest, and in a probe those of the pipes to the holder.
const NEXT: usize = 0;
const MEETING: usize = 1;
const LINES: usize = 2;

/// A place to meet.
pub(in crate::torture) struct PipeSubject {
    space: Space,
    ledger: AtomicArray<u64>,
    /// In a probe: the end that all threads of a process share, and the number of its pipe.
    shared: Mutex<Option<(u64, Arc<PipeEnd>)>>,
}

impl Stage for PipeSubject {
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self> {
        let ledger = ledger(space, LINES + contenders)?;
        Ok(PipeSubject { space: space.clone(), ledger, shared: Mutex::default() })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (directory, ledger): (PathBuf, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        let space = Space::at(directory).open()?;
        Ok(PipeSubject { space, ledger: ledger.attach()?, shared: Mutex::default() })
    }
}

fn name(number: u64) -> String {
    format!("pipe-{number}")
}

/// How one end of a conversation stands.
#[derive(Default)]
struct Talk {
    said: u64,
    heard: u64,
    /// Who is at the other end, once it has said something.
    partner: Option<u64>,
}

impl Talk {
    fn over(&self) -> bool {
        self.said > WORDS && self.heard > WORDS
    }

    fn hear(&mut self, bytes: &[u8]) -> Turn {
        let Tag { ticket, producer } = read(bytes)?;
        if ticket != self.heard || *self.partner.get_or_insert(producer) != producer {
            broken!("{producer:#x} said {ticket} where {} of {:x?} was due", self.heard, self.partner);
        }
        self.heard += 1;
        Ok(())
    }

    /// What an end does when it is told that it is alone.
    fn alone(&self, actor: &Actor) -> Turn {
        match self.partner {
            Some(partner) if !self.over() && !actor.board.is_condemned(partner)? => {
                broken!("closed, and {partner:#x} is alive: it said {} of {WORDS}", self.heard)
            }
            _ => Err(Stop::Again),
        }
    }
}

impl PipeSubject {
    fn make(&self) -> Turn<(u64, PipeEnd)> {
        let number = self.ledger.add(NEXT, 1)? + 1;
        let pipe =
            Pipe::builder().space(&self.space).lifetime(Lifetime::Scoped).create(&name(number), CAPACITY)?;
        Ok((number, pipe.left()?))
    }

    fn join(&self, number: u64) -> Turn<PipeEnd> {
        match Pipe::builder().space(&self.space).open(&name(number)).and_then(|pipe| pipe.right()) {
            Ok(end) => Ok(end),
            // Whoever made it went home, or is dead.
            Err(Error::NotFound { .. } | Error::Closed) => Err(Stop::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a guest, who speaks first.
    fn host(&self, actor: &mut Actor) -> Turn {
        let (number, end) = self.make()?;
        if self.ledger.compare_exchange(MEETING, 0, number)?.is_err() {
            return Err(Stop::Again);
        }
        let mut talk = Talk::default();
        for _ in 0..LOOKS {
            match end.recv_bytes_timeout(LOOK) {
                Ok(first) => {
                    talk.hear(&first)?;
                    return self.talk(actor, &end, talk);
                }
                Err(PipeError::TimedOut) => {}
                Err(PipeError::Closed) => break,
                Err(PipeError::Failed(error)) => return Err(error.into()),
                Err(other) => broken!("a host was told: {other}"),
            }
        }
        // It may be that a guest has come and was killed before it could say anything.
        let _ = self.ledger.compare_exchange(MEETING, number, 0)?;
        Err(Stop::Again)
    }

    fn visit(&self, actor: &mut Actor) -> Turn {
        match self.ledger.swap(MEETING, 0)? {
            0 => Err(Stop::Again),
            number => {
                let end = self.join(number)?;
                self.talk(actor, &end, Talk::default())
            }
        }
    }

    fn talk(&self, actor: &mut Actor, end: &PipeEnd, mut talk: Talk) -> Turn {
        let pause = actor.below(WORDS);
        while !talk.over() {
            if talk.said == pause {
                actor.inside()?;
            }
            if talk.said <= WORDS {
                let word = message(Tag { ticket: talk.said, producer: actor.token.to_word() });
                match end.send_bytes_timeout(&word, actor.patience()) {
                    Ok(()) => talk.said += 1,
                    Err(PipeError::TimedOut) => {}
                    Err(PipeError::Closed) => return talk.alone(actor),
                    Err(other) => broken!("a sender was told: {other}"),
                }
            }
            loop {
                // Whoever has said everything waits: if the other one dies, it is told.
                let heard =
                    if talk.said > WORDS && !talk.over() { end.recv_bytes() } else { end.try_recv_bytes() };
                match heard {
                    Ok(bytes) => talk.hear(&bytes)?,
                    Err(PipeError::WouldBlock) => break,
                    Err(PipeError::Closed) if talk.over() => break,
                    Err(PipeError::Closed) => return talk.alone(actor),
                    Err(other) => broken!("a receiver was told: {other}"),
                }
            }
        }
        Ok(())
    }

    /// A probe: the holder has one end of many pipes; the others wait at theirs for a message, or for room.
    fn probe(&self, actor: &mut Actor) -> Turn {
        if actor.is_holder() {
            let mut ends = Vec::new();
            for row in 0..self.ledger.len() - LINES {
                let (number, end) = self.make()?;
                ends.push(end);
                self.ledger.set(LINES + row, number)?;
            }
            return actor.inside();
        }
        let number = self.ledger.get(LINES + actor.token.row)?;
        let shared = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let end = {
            let mut shared = shared();
            match &*shared {
                Some((known, end)) if *known == number => Arc::clone(end),
                _ => Arc::clone(&shared.insert((number, Arc::new(self.join(number)?))).1),
            }
        };
        let outcome = if actor.choose(2) == 0 {
            end.recv_bytes().map(drop)
        } else {
            loop {
                match end.send_bytes(&[7; CAPACITY / 3]) {
                    Ok(()) => {}
                    other => break other,
                }
            }
        };
        shared().take();
        match outcome {
            Err(PipeError::Closed) => actor.granted(),
            other => broken!("whoever waited for the dead was told: {other:?}"),
        }
    }
}

impl Subject for PipeSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(self.space.directory(), &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.probe(actor);
        }
        match self.ledger.get(MEETING)? {
            0 if actor.choose(2) == 0 => self.host(actor),
            0 => Err(Stop::Again),
            _ => self.visit(actor),
        }
    }

    /// Nothing is left of all those pipes.
    fn check(&self, _calm: &Calm<'_>) -> Turn {
        self.ledger.set(MEETING, 0)?;
        self.space.collect()?;
        for number in 1..=self.ledger.get(NEXT)? {
            if self.space.directory().join(name(number)).exists() {
                broken!("{} was left behind", name(number));
            }
        }
        Ok(())
    }

    fn prepare(&self, _board: &Board) -> Turn {
        for row in LINES..self.ledger.len() {
            self.ledger.set(row, 0)?;
        }
        Ok(())
    }
}
