//! `Queue` in a storm.

use std::time::Duration;

use procshare::{GetError, PutError, Queue};
use procshare_harness::Seat;

use crate::line::{BATCH, Found, Line, WAIT, line_storms, without};
use crate::support::{SHORT, Scene};

const CAPACITY: usize = 7;

/// Who put it, the number, and a checksum over both, many times.
type Item = [u64; 12];

fn item(who: u64, number: u64) -> Item {
    let mut item = [who.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(17); 12];
    (item[0], item[1]) = (who, number);
    item
}

fn read(found: &Item) -> Found {
    let [who, number, ..] = *found;
    if *found == item(who, number) { Ok((who, number)) } else { Err(format!("torn: {found:?}")) }
}

impl Line for Queue<Item> {
    fn make(scene: &Scene) -> Self {
        Queue::builder().space(&scene.space).create("it", CAPACITY).unwrap()
    }

    fn put(&self, who: u64, number: u64, seat: &mut Seat<'_>) -> Result<(), PutError<()>> {
        let it = item(who, number);
        match seat.rng().below(3) {
            0 => self.put_timeout(it, WAIT).map_err(without),
            1 => self.try_put(it).map_err(without),
            _ => self.reserve_timeout(WAIT).map(|mut slot| {
                if seat.rng().one_in(2) {
                    slot.write(it);
                    slot.commit_in_place();
                } else {
                    slot.commit(it);
                }
            }),
        }
    }

    fn get(&self, seat: &mut Seat<'_>) -> Result<Vec<Found>, GetError> {
        if seat.rng().one_in(2) {
            return self.get_one(WAIT).map(|found| vec![found]);
        }
        Ok(self.get_many_timeout(BATCH, WAIT)?.iter().map(read).collect())
    }

    fn get_one(&self, wait: Duration) -> Result<Found, GetError> {
        self.get_timeout(wait).map(|item| read(&item))
    }

    fn put_batch(
        &self,
        who: u64,
        seat: &mut Seat<'_>,
        mut begin: impl FnMut() -> u64,
    ) -> Result<(), PutError<()>> {
        let most = 1 + seat.rng().below(BATCH as u64) as usize;
        let mut batch = self.reserve_many_timeout(most, WAIT)?;
        for _ in 0..seat.rng().below(batch.len() as u64 + 1) {
            assert!(batch.push(item(who, begin())).is_ok(), "a slot is missing");
        }
        batch.commit();
        Ok(())
    }

    fn peek(
        &self,
        seat: &mut Seat<'_>,
        mut look: impl FnMut(Found) -> Result<(), String>,
    ) -> Result<Result<(), String>, GetError> {
        if seat.rng().one_in(3) {
            let items = self.peek_many_timeout(BATCH, WAIT)?;
            let some = seat.rng().below(items.len() as u64 + 1) as usize;
            let seen = items.iter().take(some).map(read).try_for_each(look);
            items.release_some(some);
            return Ok(seen);
        }
        let item = self.peek_timeout(WAIT)?;
        let seen = look(read(&item));
        item.release();
        Ok(seen)
    }

    fn capacity_is_intact(&self) -> Result<(), String> {
        let left: Vec<Item> = self.try_iter().collect();
        for number in 0..CAPACITY as u64 {
            self.try_put(item(0, number)).map_err(|error| format!("slot {number} is lost: {error}"))?;
        }
        for number in 0..CAPACITY as u64 {
            let found = self.try_get().map_err(|error| error.to_string())?;
            if found != item(0, number) {
                return Err(format!("out of order: {found:?}"));
            }
        }
        // What the storm left is accounted for afterwards.
        self.put_many(&left).map_err(|error| error.to_string())
    }
}

line_storms!(Queue<Item>, "queue", SHORT);
