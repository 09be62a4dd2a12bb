//! Other people's queues.

use std::sync::Mutex;

use crossbeam_utils::Backoff;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, bytes_channel};
use procshare::bytemuck;
use rtrb::{Consumer, Producer, RingBuffer};

use super::super::held;
use super::{BATCH, Belt, CAPACITY, Item, item};
use crate::boost::MessageQueue;
use crate::failure::{Failure, same};

/// What a rival said when it refused.
#[cold]
pub(super) fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::contender("rival", error)
}

/// Sends large items from one place that is written again: making each anew on the stack would be measured, too.
pub(super) fn each_large<const N: usize>(
    mut numbers: impl Iterator<Item = u64>,
    mut send: impl FnMut(&Item<N>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut place = Box::new([0; N]);
    numbers.try_for_each(|number| {
        (place[0], place[N - 1]) = (number, number);
        send(&place)
    })
}

/// Receives large items into one place, and shows it.
pub(super) fn shown_large<const N: usize>(
    count: u64,
    mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    mut receive: impl FnMut(&mut Item<N>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut place = Box::new([0; N]);
    for _ in 0..count {
        receive(&mut place)?;
        sink(&place)?;
    }
    Ok(())
}

/// The first and last word of an item that was received elsewhere.
pub(super) fn copy_ends<const N: usize>(bytes: &[u8], place: &mut Item<N>) -> Result<(), Failure> {
    same("bytes of an item", size_of::<Item<N>>() as u64, bytes.len() as u64)?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_ne_bytes(word)
    };
    (place[0], place[N - 1]) = (word(0), word(bytes.len() - 8));
    Ok(())
}

/// crossbeam's ArrayQueue, with its Backoff.
pub(super) struct ArrayQueue<const N: usize>(crossbeam_queue::ArrayQueue<Item<N>>);

impl<const N: usize> Belt<N> for ArrayQueue<N> {
    fn new() -> Result<Self, Failure> {
        Ok(Self(crossbeam_queue::ArrayQueue::new(CAPACITY)))
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        for mut item in numbers.map(item) {
            let backoff = Backoff::new();
            while let Err(back) = self.0.push(item) {
                item = back;
                backoff.snooze();
            }
        }
        Ok(())
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..count {
            let backoff = Backoff::new();
            let item = loop {
                match self.0.pop() {
                    Some(item) => break item,
                    None => backoff.snooze(),
                }
            };
            sink(&item)?;
        }
        Ok(())
    }
}

type Ends<T> = (Mutex<Producer<T>>, Mutex<Consumer<T>>);

fn ends<T>(capacity: usize) -> Ends<T> {
    let (producer, consumer) = RingBuffer::new(capacity);
    (Mutex::new(producer), Mutex::new(consumer))
}

/// rtrb, item by item; it leaves waiting to its user.
pub(super) struct Rtrb<const N: usize, const BACKOFF: bool>(Ends<Item<N>>);

impl<const N: usize, const BACKOFF: bool> Belt<N> for Rtrb<N, BACKOFF> {
    fn new() -> Result<Self, Failure> {
        Ok(Self(ends(CAPACITY)))
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end = held(&self.0.0);
        for item in numbers.map(item) {
            let backoff = Backoff::new();
            while end.push(item).is_err() {
                if BACKOFF { backoff.snooze() } else { std::hint::spin_loop() }
            }
        }
        Ok(())
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = held(&self.0.1);
        for _ in 0..count {
            let backoff = Backoff::new();
            let item = loop {
                match end.pop() {
                    Ok(item) => break item,
                    Err(_) if BACKOFF => backoff.snooze(),
                    Err(_) => std::hint::spin_loop(),
                }
            };
            sink(&item)?;
        }
        Ok(())
    }
}

/// rtrb in chunks.
pub(super) struct RtrbBatches(Ends<Item<1>>);

impl Belt<1> for RtrbBatches {
    fn new() -> Result<Self, Failure> {
        Ok(Self(ends(CAPACITY)))
    }

    fn send(&self, mut numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end = held(&self.0.0);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            batch.extend(numbers.by_ref().take(BATCH).map(item::<1>));
            if batch.is_empty() {
                return Ok(());
            }
            let backoff = Backoff::new();
            loop {
                if let Ok(chunk) = end.write_chunk_uninit(batch.len()) {
                    chunk.fill_from_iter(batch.iter().copied());
                    break;
                }
                backoff.snooze();
            }
        }
    }

    fn receive(
        &self,
        mut count: u64,
        mut sink: impl FnMut(&Item<1>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = held(&self.0.1);
        let backoff = Backoff::new();
        while count > 0 {
            let ready = end.slots().min(BATCH).min(count as usize);
            if ready == 0 {
                backoff.snooze();
                continue;
            }
            backoff.reset();
            let chunk = end.read_chunk(ready).map_err(refused)?;
            let (front, back) = chunk.as_slices();
            front.iter().chain(back).try_for_each(&mut sink)?;
            chunk.commit_all();
            count -= ready as u64;
        }
        Ok(())
    }
}

/// rtrb of bytes: an item goes in and comes out by chunks, as there is room.
pub(super) struct RtrbBytes(Ends<u8>);

impl<const N: usize> Belt<N> for RtrbBytes {
    fn new() -> Result<Self, Failure> {
        Ok(Self(ends(4 * size_of::<Item<N>>())))
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let mut end = held(&self.0.0);
        each_large(numbers, |item: &Item<N>| {
            let mut rest: &[u8] = bytemuck::cast_slice(&item[..]);
            let backoff = Backoff::new();
            while !rest.is_empty() {
                let room = end.slots().min(rest.len());
                if room == 0 {
                    backoff.snooze();
                    continue;
                }
                let mut chunk = end.write_chunk(room).map_err(refused)?;
                let (front, back) = chunk.as_mut_slices();
                let (now, later) = rest.split_at(room);
                front.copy_from_slice(&now[..front.len()]);
                back.copy_from_slice(&now[front.len()..]);
                chunk.commit_all();
                rest = later;
            }
            Ok(())
        })
    }

    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut end = held(&self.0.1);
        shown_large(count, sink, |place| {
            let mut rest: &mut [u8] = bytemuck::cast_slice_mut(&mut place[..]);
            let backoff = Backoff::new();
            while !rest.is_empty() {
                let ready = end.slots().min(rest.len());
                if ready == 0 {
                    backoff.snooze();
                    continue;
                }
                let chunk = end.read_chunk(ready).map_err(refused)?;
                let (front, back) = chunk.as_slices();
                let (now, later) = rest.split_at_mut(ready);
                now[..front.len()].copy_from_slice(front);
                now[front.len()..].copy_from_slice(back);
                chunk.commit_all();
                rest = later;
            }
            Ok(())
        })
    }
}

/// ipc-channel's channel of bytes.
pub(super) struct IpcChannel(Mutex<IpcBytesSender>, Mutex<IpcBytesReceiver>);

impl<const N: usize> Belt<N> for IpcChannel {
    fn new() -> Result<Self, Failure> {
        let (sender, receiver) = bytes_channel().map_err(refused)?;
        Ok(Self(Mutex::new(sender), Mutex::new(receiver)))
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        let sender = held(&self.0);
        each_large(numbers, |item: &Item<N>| sender.send(bytemuck::cast_slice(&item[..])).map_err(refused))
    }

    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure> {
        let receiver = held(&self.1);
        shown_large(count, sink, |place| copy_ends(&receiver.recv().map_err(refused)?, place))
    }
}

/// Boost's message queue, with a place on either side.
pub(super) struct Boost(MessageQueue);

impl<const N: usize> Belt<N> for Boost {
    fn new() -> Result<Self, Failure> {
        MessageQueue::new(CAPACITY, size_of::<Item<N>>(), |_| Ok(())).map(Self)
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        each(numbers, |item: &Item<N>| self.0.send(bytemuck::cast_slice(&item[..])))
    }

    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure> {
        shown_large(count, sink, |place| self.0.receive(bytemuck::cast_slice_mut(&mut place[..])))
    }
}

/// Sends small items, each of them whole.
fn each<const N: usize>(
    numbers: impl Iterator<Item = u64>,
    mut send: impl FnMut(&Item<N>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    numbers.map(item).try_for_each(|item| send(&item))
}
