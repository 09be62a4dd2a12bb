//! `BytesQueue` in a storm.

use std::time::Duration;

use procshare::{BytesQueue, GetError, PutError};
use procshare_harness::Seat;

use crate::line::{BATCH, Found, Line, WAIT, line_storms, without};
use crate::support::{BRIEF, Scene};

/// Bytes of the longest item: some are so long that they are copied outside the locks.
const CAPACITY: usize = 6_000;

/// Who put it, the number, and as many bytes as those tell, which tell whether they are whole.
fn item(who: u64, number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(37) { 4_300 } else { 8 + number * 13 % 700 };
    let mut bytes = [who.to_ne_bytes(), number.to_ne_bytes()].concat();
    let mixed = (number.rotate_left(29) ^ who).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.extend((0..len).map(|at| (mixed >> (at % 8 * 8)) as u8 ^ (at / 8) as u8));
    bytes
}

fn read(bytes: &[u8]) -> Found {
    let word = |at: usize| bytes.get(at..at + 8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
    match (word(0), word(8)) {
        (Some(who), Some(number)) if bytes == item(who, number) => Ok((who, number)),
        told => Err(format!("torn: {} bytes of {told:?}", bytes.len())),
    }
}

impl Line for BytesQueue {
    fn make(scene: &Scene) -> Self {
        BytesQueue::builder().space(&scene.space).create("it", CAPACITY).unwrap()
    }

    fn put(&self, who: u64, number: u64, seat: &mut Seat<'_>) -> Result<(), PutError<()>> {
        let it = item(who, number);
        match seat.rng().below(4) {
            0 => self.put_timeout(&it, WAIT),
            1 => self.try_put(&it),
            2 => match self.try_put_many(&[&it]) {
                Ok(0) => Err(PutError::Full(())),
                other => other.map(drop).map_err(without),
            },
            _ => self.reserve_timeout(it.len() + 100, WAIT).map(|mut room| {
                room.write(&it);
                room.truncate(it.len());
                room.commit();
            }),
        }
    }

    fn get(&self, seat: &mut Seat<'_>) -> Result<Vec<Found>, GetError> {
        if seat.rng().one_in(2) {
            return self.get_one(WAIT).map(|found| vec![found]);
        }
        Ok(self.get_many_timeout(BATCH, WAIT)?.iter().map(|item| read(item)).collect())
    }

    fn get_one(&self, wait: Duration) -> Result<Found, GetError> {
        self.get_timeout(wait).map(|item| read(&item))
    }

    fn peek(
        &self,
        _: &mut Seat<'_>,
        mut look: impl FnMut(Found) -> Result<(), String>,
    ) -> Result<Result<(), String>, GetError> {
        let item = self.peek_timeout(WAIT)?;
        let seen = look(read(&item));
        item.release();
        Ok(seen)
    }

    fn capacity_is_intact(&self) -> Result<(), String> {
        let left: Vec<Vec<u8>> = self.try_iter().collect();
        for fill in 0..3 {
            let whole = vec![fill; CAPACITY];
            self.try_put(&whole).map_err(|error| format!("room is lost: {error}: {self:?}"))?;
            if self.try_get().map_err(|error| error.to_string())? != whole {
                return Err("an item of the whole capacity is torn".into());
            }
        }
        // Room that was released in place is freed by whoever looks next.
        if self.try_get().is_ok() || (self.len(), self.bytes()) != (0, 0) {
            return Err(format!("empty, and {self:?}"));
        }
        // What the storm left is accounted for afterwards.
        self.put_many(&left).map_err(|error| error.to_string())
    }
}

line_storms!(BytesQueue, "bytes", BRIEF);
