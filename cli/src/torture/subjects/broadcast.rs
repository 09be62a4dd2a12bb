//! `Broadcast`: what is received is whole and in its publisher's order, and what is not is counted.

use std::cell::RefCell;
use std::collections::HashMap;

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{
    Broadcast, BroadcastInit, Error, Handle, Lifetime, Plain, PutError, RecvError, Space, Subscriber,
};

use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

const CAPACITY: usize = 8;

/// News; the last field tells whether it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.torture.news")]
#[repr(C)]
pub(in crate::torture) struct News {
    publisher: u64,
    number: u64,
    check: [u64; 8],
}

impl News {
    fn new(publisher: u64, number: u64) -> Self {
        News { publisher, number, check: [publisher.wrapping_mul(31) ^ number.rotate_left(9); 8] }
    }
}

/// One that outruns the slow, one that waits for them, and one of which only the holder of a probe is a subscriber.
pub(in crate::torture) struct BroadcastSubject {
    free: Broadcast<News>,
    waiting: Broadcast<News>,
    held_up: Broadcast<News>,
}

type Plan = (Handle<Broadcast<News>>, Handle<Broadcast<News>>, Handle<Broadcast<News>>);

/// A subscriber, and the last number that it had from each publisher.
type Reader = (Subscriber<News>, HashMap<u64, u64>);

thread_local! {
    /// The next number of this publisher.
    static NUMBER: RefCell<u64> = const { RefCell::new(0) };
    static READERS: RefCell<[Option<Reader>; 2]> = const { RefCell::new([None, None]) };
}

impl Stage for BroadcastSubject {
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self> {
        let make = |init| Broadcast::builder().space(space).lifetime(Lifetime::Scoped).anonymous(init);
        let init = BroadcastInit::new(CAPACITY);
        // Successors come before the seats of the dead are needed; forks take seats, too.
        Ok(BroadcastSubject {
            free: make(init)?,
            waiting: make(init.wait_for_subscribers(4 * contenders + 4))?,
            held_up: make(init.wait_for_subscribers(2))?,
        })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (free, waiting, held_up): Plan = serde_json::from_str(plan)?;
        Ok(BroadcastSubject { free: free.attach()?, waiting: waiting.attach()?, held_up: held_up.attach()? })
    }
}

impl BroadcastSubject {
    fn publish(&self, actor: &mut Actor, news: &Broadcast<News>) -> Turn {
        let number = NUMBER.with_borrow_mut(|number| {
            *number += 1;
            *number
        });
        match news.publish_timeout(News::new(actor.token.to_word(), number), actor.patience()) {
            Ok(()) => Ok(()),
            Err(PutError::Full(_) | PutError::TimedOut(_)) => Err(Stop::Again),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// A probe: the others publish, and wait for the holder, who does not receive.
    fn probe(&self, actor: &mut Actor) -> Turn {
        let publish = |number| self.held_up.publish(News::new(0, number)).map_err(Error::from);
        if actor.is_holder() {
            let _reader = self.held_up.subscribe()?;
            (0..CAPACITY as u64).try_for_each(publish)?;
            return actor.inside();
        }
        publish(CAPACITY as u64)?;
        actor.granted()
    }

    /// Receives what there is; leaves now and then.
    fn read(&self, actor: &mut Actor, which: usize) -> Turn {
        let news = if which == 0 { &self.free } else { &self.waiting };
        READERS.with_borrow_mut(|readers| {
            let reader = &mut readers[which];
            if reader.is_none() {
                *reader = Some((news.subscribe()?, HashMap::new()));
            }
            let Some((subscriber, last)) = reader else { return Err(Stop::Again) };
            for _ in 0..2 * CAPACITY {
                match subscriber.try_recv() {
                    Ok(found) => look(&found, last)?,
                    Err(RecvError::Missed(count)) if count > 0 && which == 0 => {}
                    Err(RecvError::Empty) => break,
                    Err(RecvError::Missed(count)) => broken!("{count} were missed, where nobody is outrun"),
                    Err(error) => return Err(Error::from(error).into()),
                }
            }
            if actor.choose(16) == 0 {
                *reader = None;
            }
            Ok(())
        })
    }
}

fn look(found: &News, last: &mut HashMap<u64, u64>) -> Turn {
    if *found != News::new(found.publisher, found.number) {
        broken!("torn: {found:?}");
    }
    match last.insert(found.publisher, found.number) {
        Some(before) if before >= found.number => {
            broken!("number {} came after {before} of the same publisher", found.number)
        }
        _ => Ok(()),
    }
}

impl Subject for BroadcastSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.free, &self.waiting, &self.held_up))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.probe(actor);
        }
        match actor.choose(4) {
            0 => self.publish(actor, &self.free),
            1 => self.publish(actor, &self.waiting),
            2 => self.read(actor, 0),
            _ => self.read(actor, 1),
        }
    }

    /// Fresh news reach a fresh subscriber.
    fn check(&self, _calm: &Calm<'_>) -> Turn {
        let mut reader = self.free.subscribe()?;
        // Numbers that grow from check to check, too.
        let first = self.free.published();
        for number in first..first + 3 * CAPACITY as u64 {
            self.free.publish(News::new(0, number)).map_err(Error::from)?;
            if reader.try_recv().map_err(Error::from)? != News::new(0, number) {
                broken!("number {number} did not come through");
            }
        }
        Ok(())
    }

    /// A forked child would have a seat at which nobody reads.
    fn forks(&self) -> bool {
        false
    }
}
