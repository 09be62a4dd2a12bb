//! A model of one direction: what the ends see of each other, and that no bell is missed. The bell is the socket: a byte stays until
//! somebody takes it.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::word::{End, StreamWord};
use crate::model::{Guarded, explore};

/// The longest ring of a model.
const SLOTS: usize = 2;

#[derive(Default)]
struct Bell {
    bytes: Mutex<u32>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.bytes.lock().unwrap() += 1;
        self.rung.notify_one();
    }

    /// Sleeps until a byte has come, and takes all.
    fn wait(&self) {
        let mut bytes = self.bytes.lock().unwrap();
        while *bytes == 0 {
            bytes = self.rung.wait(bytes).unwrap();
        }
        *bytes = 0;
    }
}

/// A ring of numbers, each of which counts as one byte.
#[derive(Default)]
struct Ring {
    word: StreamWord,
    slots: [Guarded<u64>; SLOTS],
    /// What the reader waits for, and the writer.
    bells: [Bell; 2],
}

// SAFETY: (S6) loom reports every access of a slot that is not ordered behind the others.
unsafe impl Send for Ring {}
// SAFETY: (S6) as above.
unsafe impl Sync for Ring {}

impl Ring {
    fn write(&self, size: u64, count: u64) {
        for at in 0..count {
            while at - self.word.position(End::Reader) == size {
                self.word.fall_asleep(End::Writer);
                if at - self.word.position(End::Reader) == size {
                    self.bells[1].wait();
                }
                self.word.wake_up(End::Writer);
            }
            self.slots[(at % size) as usize].set(at);
            if self.word.advance(End::Writer, at + 1) {
                self.bells[0].ring();
            }
        }
    }

    fn read(&self, size: u64, count: u64) {
        for at in 0..count {
            while self.word.position(End::Writer) == at {
                self.word.fall_asleep(End::Reader);
                if self.word.position(End::Writer) == at {
                    self.bells[0].wait();
                }
                self.word.wake_up(End::Reader);
            }
            assert_eq!(self.slots[(at % size) as usize].get(), at);
            if self.word.advance(End::Reader, at + 1) {
                self.bells[1].ring();
            }
        }
    }
}

fn both(size: u64, count: u64) {
    explore(3, move |_| {
        let ring = Arc::new(Ring::default());
        let same = Arc::clone(&ring);
        let writer = loom::thread::spawn(move || same.write(size, count));
        ring.read(size, count);
        writer.join().unwrap();
    });
}

#[test]
fn a_sleeping_reader_is_told() {
    both(2, 2);
}

#[test]
fn a_writer_that_waits_for_room_is_told() {
    both(1, 2);
}
