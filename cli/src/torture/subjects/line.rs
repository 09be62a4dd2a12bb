//! Queues of all kinds, seen alike: numbered items go in at one end and come out at the other.

use std::time::Duration;

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{BytesQueue, Error, GetError, Lifetime, Object, Plain, PutError, Queue, Space};
use serde::Serialize;

use super::Wait;
use crate::torture::subject::{Stop, Turn, broken};

/// The most items of a batch.
pub(super) const MOST: usize = 3;

/// What an item says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::torture) struct Tag {
    pub(super) ticket: u64,
    pub(super) producer: u64,
}

/// A queue of any number of producers and consumers.
pub(in crate::torture) trait Line: Object + Serialize + Send + Sync + 'static {
    fn make(space: &Space) -> procshare::Result<Self>;

    fn put(&self, tag: Tag, wait: Wait) -> Turn;

    /// Calls `inside` while it holds a place, then writes and commits there.
    fn put_in_place(&self, tag: Tag, wait: Wait, inside: impl FnOnce() -> Turn) -> Turn;

    fn get(&self, wait: Wait) -> Turn<Tag>;

    /// What is there, at most `most`.
    fn get_many(&self, most: usize) -> Turn<Vec<Tag>>;

    /// Calls `inside` while it reads in place, then releases.
    fn peek(&self, wait: Wait, inside: impl FnOnce(Tag) -> Turn) -> Turn;

    /// Puts some items in one step: calls `inside` while it holds the places, then `draw` for each of them; tells their tickets.
    /// None where there are no such batches.
    fn put_batch(
        &self,
        _producer: u64,
        _wait: Wait,
        _inside: impl FnOnce() -> Turn,
        _draw: impl FnMut() -> Turn<u64>,
    ) -> Turn<Vec<u64>> {
        Err(Stop::Again)
    }

    /// Calls `inside` while it reads some items in place, then releases them.
    fn peek_batch(&self, _wait: Wait, _inside: impl FnOnce(&[Tag]) -> Turn) -> Turn {
        Err(Stop::Again)
    }

    /// Number of items that a drained one says it has.
    fn left(&self) -> usize;
}

/// An item of plain data; the last fields tell whether it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.torture.item")]
#[repr(C)]
pub(in crate::torture) struct Item {
    ticket: u64,
    producer: u64,
    filling: [u64; 5],
    check: u64,
}

impl Item {
    pub(super) fn new(Tag { ticket, producer }: Tag) -> Self {
        Item { ticket, producer, filling: [ticket ^ producer; 5], check: ticket.wrapping_mul(producer | 1) }
    }

    /// What it says, if it is whole.
    pub(super) fn read(&self) -> Turn<Tag> {
        let tag = Tag { ticket: self.ticket, producer: self.producer };
        if *self != Item::new(tag) {
            broken!("torn: {self:?}");
        }
        Ok(tag)
    }
}

/// An item of bytes whose length and content its tag tells. Some are so long that they are copied outside the locks.
pub(super) fn message(Tag { ticket, producer }: Tag) -> Vec<u8> {
    let len = if ticket % 61 == 7 { 4_700 } else { 8 + ticket % 200 };
    let mut bytes = [ticket.to_ne_bytes(), producer.to_ne_bytes()].concat();
    let mixed = (ticket.rotate_left(29) ^ producer).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.extend((0..len).map(|at| (mixed >> (at % 8 * 8)) as u8 ^ (at / 8) as u8));
    bytes
}

/// What a message says, if it is whole.
pub(super) fn read(bytes: &[u8]) -> Turn<Tag> {
    let word =
        |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
    let (Some(ticket), Some(producer)) = (word(0), word(8)) else {
        broken!("torn: {} bytes", bytes.len());
    };
    let tag = Tag { ticket, producer };
    if bytes != message(tag) {
        broken!("torn: {} bytes that say they are item {ticket} of {producer:#x}", bytes.len());
    }
    Ok(tag)
}

/// What a `put` did.
pub(super) fn was_put<T>(result: Result<T, PutError<impl Sized>>) -> Turn<T> {
    result.map_err(|error| match error {
        PutError::Full(_) | PutError::TimedOut(_) => Stop::Again,
        error => Error::from(error).into(),
    })
}

/// What a `get` did.
pub(super) fn was_got<T>(result: Result<T, GetError>) -> Turn<T> {
    result.map_err(|error| match error {
        GetError::Empty | GetError::TimedOut => Stop::Again,
        error => Error::from(error).into(),
    })
}

impl Line for Queue<Item> {
    fn make(space: &Space) -> procshare::Result<Self> {
        Queue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(16)
    }

    fn put(&self, tag: Tag, wait: Wait) -> Turn {
        let item = Item::new(tag);
        was_put(match wait {
            Wait::Not => self.try_put(item),
            Wait::For(time) => self.put_timeout(item, time),
            Wait::Ever => self.put(item),
        })
    }

    fn put_in_place(&self, tag: Tag, wait: Wait, inside: impl FnOnce() -> Turn) -> Turn {
        let mut slot = was_put(match wait {
            Wait::Not => self.try_reserve(),
            Wait::For(time) => self.reserve_timeout(time),
            Wait::Ever => self.reserve(),
        })?;
        inside()?;
        if tag.ticket.is_multiple_of(2) {
            slot.commit(Item::new(tag));
        } else {
            slot.write(Item::new(tag));
            slot.commit_in_place();
        }
        Ok(())
    }

    fn get(&self, wait: Wait) -> Turn<Tag> {
        was_got(match wait {
            Wait::Not => self.try_get(),
            Wait::For(time) => self.get_timeout(time),
            Wait::Ever => self.get(),
        })?
        .read()
    }

    fn get_many(&self, most: usize) -> Turn<Vec<Tag>> {
        was_got(self.try_get_many(most))?.iter().map(Item::read).collect()
    }

    fn peek(&self, wait: Wait, inside: impl FnOnce(Tag) -> Turn) -> Turn {
        let item = was_got(match wait {
            Wait::Not => self.try_peek(),
            Wait::For(time) => self.peek_timeout(time),
            Wait::Ever => self.peek(),
        })?;
        inside(item.read()?)?;
        item.release();
        Ok(())
    }

    fn put_batch(
        &self,
        producer: u64,
        wait: Wait,
        inside: impl FnOnce() -> Turn,
        mut draw: impl FnMut() -> Turn<u64>,
    ) -> Turn<Vec<u64>> {
        let mut batch = was_put(match wait {
            Wait::Not => self.try_reserve_many(MOST),
            Wait::For(time) => self.reserve_many_timeout(MOST, time),
            Wait::Ever => self.reserve_many(MOST),
        })?;
        inside()?;
        let mut tickets = Vec::new();
        while batch.written() < batch.len() {
            let Ok(ticket) = draw() else { break };
            if batch.push(Item::new(Tag { ticket, producer })).is_err() {
                broken!("a slot of the batch is missing");
            }
            tickets.push(ticket);
        }
        batch.commit();
        Ok(tickets)
    }

    fn peek_batch(&self, wait: Wait, inside: impl FnOnce(&[Tag]) -> Turn) -> Turn {
        let items = was_got(match wait {
            Wait::Not => self.try_peek_many(MOST),
            Wait::For(time) => self.peek_many_timeout(MOST, time),
            Wait::Ever => self.peek_many(MOST),
        })?;
        inside(&items.iter().map(Item::read).collect::<Turn<Vec<Tag>>>()?)?;
        items.release();
        Ok(())
    }

    fn left(&self) -> usize {
        self.len()
    }
}

impl Line for BytesQueue {
    fn make(space: &Space) -> procshare::Result<Self> {
        BytesQueue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(12_000)
    }

    fn put(&self, tag: Tag, wait: Wait) -> Turn {
        let item = message(tag);
        was_put(match wait {
            Wait::Not => self.try_put(&item),
            Wait::For(time) => self.put_timeout(&item, time),
            Wait::Ever => self.put(&item),
        })
    }

    fn put_in_place(&self, tag: Tag, wait: Wait, inside: impl FnOnce() -> Turn) -> Turn {
        let item = message(tag);
        // Longer than it will be.
        let room = item.len() + (tag.ticket % 3) as usize * 40;
        let mut place = was_put(match wait {
            Wait::Not => self.try_reserve(room),
            Wait::For(time) => self.reserve_timeout(room, time),
            Wait::Ever => self.reserve(room),
        })?;
        inside()?;
        place.write(&item);
        place.truncate(item.len());
        place.commit();
        Ok(())
    }

    fn get(&self, wait: Wait) -> Turn<Tag> {
        read(&was_got(match wait {
            Wait::Not => self.try_get(),
            Wait::For(time) => self.get_timeout(time),
            Wait::Ever => self.get(),
        })?)
    }

    fn get_many(&self, most: usize) -> Turn<Vec<Tag>> {
        was_got(self.try_get_many(most))?.iter().map(|item| read(item)).collect()
    }

    fn peek(&self, wait: Wait, inside: impl FnOnce(Tag) -> Turn) -> Turn {
        let item = was_got(match wait {
            Wait::Not => self.try_peek(),
            Wait::For(time) => self.peek_timeout(time),
            Wait::Ever => self.peek(),
        })?;
        inside(read(&item)?)?;
        item.release();
        Ok(())
    }

    fn left(&self) -> usize {
        self.len()
    }
}

impl Wait {
    /// For a probe as long as it takes, else a little.
    pub(super) fn patient(probe: bool, patience: Duration) -> Self {
        if probe { Wait::Ever } else { Wait::For(patience) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_tell_their_tags_and_whether_they_are_whole() {
        for ticket in [0, 7, 199, 68] {
            let tag = Tag { ticket, producer: 0x1_0003 };
            let mut bytes = message(tag);
            assert_eq!(read(&bytes).unwrap(), tag);
            *bytes.last_mut().unwrap() ^= 1;
            assert!(read(&bytes).is_err() && read(&bytes[1..]).is_err());
        }
    }
}
