//! procshare's queues.

use std::sync::Mutex;

use procshare::{BytesQueue, Consumer, Producer, Queue, SpscQueue, bytemuck};

use super::super::held;
use super::super::ours::refused;
use super::{BATCH, Belt, CAPACITY, Item, item, slots};
use crate::failure::Failure;

/// `Queue`, item by item.
pub(super) struct Many<const N: usize>(Queue<Item<N>>);

impl<const N: usize> Belt<N> for Many<N> {
    fn new() -> Result<Self, Failure> {
        Queue::anonymous(CAPACITY).map(Self).map_err(refused)
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        for item in numbers.map(item) {
            self.0.put(item).map_err(refused)?;
        }
        Ok(())
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..count {
            sink(&self.0.get().map_err(refused)?)?;
        }
        Ok(())
    }
}

/// `Queue`, in batches.
pub(super) struct Batches(Queue<Item<1>>);

impl Belt<1> for Batches {
    fn new() -> Result<Self, Failure> {
        Queue::anonymous(CAPACITY).map(Self).map_err(refused)
    }

    fn send(&self, mut numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            batch.extend(numbers.by_ref().take(BATCH).map(item::<1>));
            if batch.is_empty() {
                return Ok(());
            }
            self.0.put_many(&batch).map_err(refused)?;
        }
    }

    fn receive(
        &self,
        mut count: u64,
        mut sink: impl FnMut(&Item<1>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while count > 0 {
            let items = self.0.get_many(BATCH.min(count as usize)).map_err(refused)?;
            count -= items.len() as u64;
            items.iter().try_for_each(&mut sink)?;
        }
        Ok(())
    }
}

/// `SpscQueue`. Each side takes its end when it begins.
pub(super) struct Spsc<const N: usize>(SpscQueue<Item<N>>);

impl<const N: usize> Belt<N> for Spsc<N> {
    fn new() -> Result<Self, Failure> {
        SpscQueue::anonymous(CAPACITY).map(Self).map_err(refused)
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end: Producer<_> = self.0.producer().map_err(refused)?;
        for item in numbers.map(item) {
            end.put(item).map_err(refused)?;
        }
        Ok(())
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end: Consumer<_> = self.0.consumer().map_err(refused)?;
        for _ in 0..count {
            sink(&end.get().map_err(refused)?)?;
        }
        Ok(())
    }
}

/// `SpscQueue`, in batches in place.
pub(super) struct SpscBatches(SpscQueue<Item<1>>);

impl Belt<1> for SpscBatches {
    fn new() -> Result<Self, Failure> {
        SpscQueue::anonymous(CAPACITY).map(Self).map_err(refused)
    }

    fn send(&self, mut numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end = self.0.producer().map_err(refused)?;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            batch.extend(numbers.by_ref().take(BATCH).map(item::<1>));
            if batch.is_empty() {
                return Ok(());
            }
            end.put_many(&batch).map_err(refused)?;
        }
    }

    fn receive(
        &self,
        mut count: u64,
        mut sink: impl FnMut(&Item<1>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = self.0.consumer().map_err(refused)?;
        while count > 0 {
            let items = end.peek_many(BATCH.min(count as usize)).map_err(refused)?;
            count -= items.len() as u64;
            items.iter().try_for_each(&mut sink)?;
            items.release();
        }
        Ok(())
    }
}

/// `Queue`, items written and read in place.
pub(super) struct InPlace<const N: usize>(Queue<Item<N>>);

impl<const N: usize> Belt<N> for InPlace<N> {
    fn new() -> Result<Self, Failure> {
        Queue::anonymous(slots::<N>()).map(Self).map_err(refused)
    }

    fn send(&self, mut numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        numbers.try_for_each(|number| {
            let mut slot = self.0.reserve().map_err(refused)?;
            write_ends(slot.as_is(), number);
            slot.commit_in_place();
            Ok(())
        })
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..count {
            let item = self.0.peek().map_err(refused)?;
            sink(&item)?;
            item.release();
        }
        Ok(())
    }
}

/// `SpscQueue`, items written and read in place, one by one.
pub(super) struct SpscInPlace<const N: usize>(SpscQueue<Item<N>>);

impl<const N: usize> Belt<N> for SpscInPlace<N> {
    fn new() -> Result<Self, Failure> {
        SpscQueue::anonymous(slots::<N>()).map(Self).map_err(refused)
    }

    fn send(&self, mut numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end = self.0.producer().map_err(refused)?;
        numbers.try_for_each(|number| {
            let mut slots = end.reserve_many(1).map_err(refused)?;
            write_ends(&mut slots.as_is().0[0], number);
            slots.commit();
            Ok(())
        })
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = self.0.consumer().map_err(refused)?;
        for _ in 0..count {
            let items = end.peek_many(1).map_err(refused)?;
            sink(&items.as_slices().0[0])?;
            items.release();
        }
        Ok(())
    }
}

/// What shows whose a large item is; the words between are what they were.
fn write_ends<const N: usize>(place: &mut Item<N>, number: u64) {
    (place[0], place[N - 1]) = (number, number);
}

/// `BytesQueue`, copied in and out; room for four items.
pub(super) struct Bytes {
    queue: BytesQueue,
    /// Where the consumer copies to.
    to: Mutex<Vec<u8>>,
}

impl<const N: usize> Belt<N> for Bytes {
    fn new() -> Result<Self, Failure> {
        let queue = BytesQueue::anonymous(4 * (size_of::<Item<N>>() + 16)).map_err(refused)?;
        Ok(Self { queue, to: Mutex::default() })
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        super::rivals::each_large(numbers, |item: &Item<N>| {
            self.queue.put(bytemuck::cast_slice(&item[..])).map_err(refused)
        })
    }

    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut to = held(&self.to);
        super::rivals::shown_large(count, sink, |place| {
            self.queue.get_into(&mut to).map_err(refused)?;
            super::rivals::copy_ends(&to, place)
        })
    }
}
