//! Memory: how many bytes a named object takes, as its files say.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use procshare::{
    AtomicValue, Barrier, Condition, Event, Latch, Lock, Once, Queue, RLock, RwLock, Semaphore, Space,
    SpscQueue, Value,
};

use super::ours::refused;
use super::queue::iceoryx;
use crate::boost::MessageQueue;
use crate::contender::{Batch, Contender};
use crate::failure::Failure;
use crate::leftovers::{SHARED_MEMORY, own_name, sweep_own};
use crate::row::{OURS, Placement, Row};
use crate::stopwatch::Lap;

const SLOTS: usize = 1024;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        queue::<1>(0.55),
        queue::<8>(0.85),
        row("memory-small", "Memory: the largest of the small objects")
            .with(bytes(OURS, largest_small))
            .with(bytes("one page", || Ok(4096)))
            .goal(1.0, "one page"),
        row("memory-registry", "Memory: a space's registry")
            .with(bytes(OURS, registry))
            .with(bytes("128 KiB", || Ok(128 << 10)))
            .goal(1.0, "128 KiB"),
    ]
}

fn row(id: impl Into<String>, title: impl Into<String>) -> Row {
    Row::new(id, title, Placement::Alone).counting_bytes()
}

fn queue<const N: usize>(at_most: f64) -> Row {
    let size = size_of::<[u64; N]>();
    row(format!("memory-queue-{size}"), format!("Memory: queue of {SLOTS} \u{d7} {size} B"))
        .with(bytes("procshare spsc", || {
            object(|space| {
                SpscQueue::<[u64; N]>::builder().space(space).create("it", SLOTS).map(drop).map_err(refused)
            })
        }))
        .with(bytes(OURS, || {
            object(|space| {
                Queue::<[u64; N]>::builder().space(space).create("it", SLOTS).map(drop).map_err(refused)
            })
        }))
        .with(bytes("Boost", move || {
            let mut bytes = 0;
            MessageQueue::new(SLOTS, size, |name| {
                bytes = len(&Path::new(SHARED_MEMORY).join(name))?;
                Ok(())
            })?;
            Ok(bytes)
        }))
        .with(bytes("iceoryx2", || iceoryx::bytes::<N>(SLOTS)))
        .goal(at_most, "Boost")
}

/// A contender that is looked at once.
struct Bytes<C> {
    name: &'static str,
    count: C,
}

fn bytes(name: &'static str, count: impl Fn() -> Result<u64, Failure> + 'static) -> Box<dyn Contender> {
    Box::new(Bytes { name, count })
}

impl<C: Fn() -> Result<u64, Failure>> Contender for Bytes<C> {
    fn name(&self) -> &str {
        self.name
    }

    fn run(&self, _: &Batch<'_>) -> Result<Lap, Failure> {
        let counted = (self.count)();
        sweep_own();
        counted.map(Lap::of_bytes)
    }
}

/// Bytes of the space's registry, once somebody has joined.
fn registry() -> Result<u64, Failure> {
    in_space(|space| space.join().map(drop).map_err(refused))
}

/// Bytes of the largest of those objects that hold one value or guard one thing.
fn largest_small() -> Result<u64, Failure> {
    let mut most = 0;
    macro_rules! look {
        ($($object:ty $(, $with:expr)*;)*) => {$(
            let bytes = object(|space| {
                <$object>::builder().space(space).create("it" $(, $with)*).map(drop).map_err(refused)
            })?;
            most = most.max(bytes);
        )*};
    }
    look! {
        Lock;
        RLock;
        RwLock;
        Condition;
        Event;
        Latch, 1;
        Once;
        Barrier, 2;
        Semaphore, 1;
        AtomicValue<u64>, 0;
        Value<u64>, 0;
    }
    Ok(most)
}

/// Bytes of the file that `make` makes in a space of its own.
fn object(make: impl FnOnce(&Space) -> Result<(), Failure>) -> Result<u64, Failure> {
    Ok(in_space(make)? - registry()?)
}

/// Bytes of the files of a new space after `make` has made something in it.
fn in_space(make: impl FnOnce(&Space) -> Result<(), Failure>) -> Result<u64, Failure> {
    let directory = Path::new(SHARED_MEMORY).join(own_name());
    let _ = fs::remove_dir_all(&directory);
    fs::DirBuilder::new().mode(0o700).create(&directory).map_err(unreadable)?;
    let space = Space::at(&directory).open_or_create().map_err(refused)?;
    make(&space)?;
    let entries = fs::read_dir(&directory).map_err(unreadable)?;
    entries.map(|entry| len(&entry.map_err(unreadable)?.path())).sum()
}

fn len(path: &Path) -> Result<u64, Failure> {
    fs::metadata(path).map(|file| file.len()).map_err(unreadable)
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::contender(SHARED_MEMORY, error)
}
