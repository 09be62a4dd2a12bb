//! Queues: small items one by one and in batches, one to one and many to many; large items copied, and in place.

pub(super) mod iceoryx;
mod kernel;
mod ours;
mod rivals;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::contender::Contender;
use crate::crew::{Seat, Share, Workers, crew};
use crate::failure::{Failure, same};
use crate::python::python;
use crate::row::{OURS, Placement, Row};
use crate::shared::{OwnLine, Shared};

/// Slots of every queue of small items.
const CAPACITY: usize = 1024;
/// Items that a batch moves at once.
const BATCH: usize = 32;
/// Workers at most.
const SEATS: usize = 8;

/// Slots of a queue whose items are written in place: fewer of large ones.
const fn slots<const N: usize>() -> usize {
    if size_of::<Item<N>>() > 4096 { 16 } else { CAPACITY }
}

/// What is moved: N words, all alike, so that a torn item shows.
type Item<const N: usize> = [u64; N];

/// The item of a number.
fn item<const N: usize>(number: u64) -> Item<N> {
    [number; N]
}

/// One way to move items from producers to consumers.
trait Belt<const N: usize>: Sized + Send + Sync + 'static {
    fn new() -> Result<Self, Failure>;

    /// Puts the items of all `numbers` in order.
    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure>;

    /// Gets `count` items, and shows each to `sink`.
    fn receive(&self, count: u64, sink: impl FnMut(&Item<N>) -> Result<(), Failure>) -> Result<(), Failure>;
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        one_to_one::<1>(1.3)
            .with(moving::<1, kernel::Kernel<kernel::Pipe>>("pipe", Workers::Processes))
            .with(moving::<1, rivals::IpcChannel>("ipc-channel", Workers::Processes))
            .with(python("queue")),
        Row::new("queue-batch-8", "Queue 1x1, 8 B in batches of 32", Placement::Apart(2))
            .with(moving::<1, ours::SpscBatches>(SPSC, Workers::Processes))
            .with(moving::<1, ours::Batches>(OURS, Workers::Processes))
            .with(moving::<1, rivals::RtrbBatches>("rtrb with backoff", Workers::Threads))
            .goal_of(SPSC, 1.3, "rtrb with backoff"),
        one_to_one::<8>(1.0),
        one_to_one::<128>(1.0),
    ];
    for (workers, title) in [(4, "2x2"), (8, "4x4")] {
        rows.push(many_to_many::<1>(workers, title, 1.15));
        rows.push(many_to_many::<8>(workers, title, 1.15));
        rows.push(many_to_many::<128>(workers, title, 0.9));
    }
    rows.push(copies::<8192>("64 KiB", "queue-64k"));
    rows.push(copies::<131_072>("1 MiB", "queue-1m"));
    rows.push(in_place::<128>("1 KiB", 0.10));
    rows.push(in_place::<8192>("64 KiB", 0.20));
    rows.push(in_place::<131_072>("1 MiB", 0.25));
    rows
}

/// The name of our flavour with two ends.
const SPSC: &str = "procshare spsc";

fn one_to_one<const N: usize>(at_most: f64) -> Row {
    let bytes = size_of::<Item<N>>();
    Row::new(format!("queue-1x1-{bytes}"), format!("Queue 1x1, {bytes} B"), Placement::Apart(2))
        .with(moving::<N, ours::Spsc<N>>(SPSC, Workers::Processes))
        .with(moving::<N, ours::Many<N>>(OURS, Workers::Processes))
        .with(moving::<N, rivals::Rtrb<N, true>>("rtrb with backoff", Workers::Threads))
        .with(moving::<N, rivals::Rtrb<N, false>>("rtrb", Workers::Threads))
        .with(moving::<N, rivals::ArrayQueue<N>>("ArrayQueue", Workers::Threads))
        .with(moving::<N, iceoryx::Iceoryx<N, true>>("iceoryx2", Workers::Processes))
        .with(moving::<N, rivals::Boost>("Boost", Workers::Processes))
        .goal_of(SPSC, at_most, "rtrb with backoff")
}

fn many_to_many<const N: usize>(workers: usize, title: &str, at_most: f64) -> Row {
    let bytes = size_of::<Item<N>>();
    Row::new(format!("queue-{title}-{bytes}"), format!("Queue {title}, {bytes} B"), Placement::Apart(workers))
        .with(moving::<N, ours::Many<N>>(OURS, Workers::Processes))
        .with(moving::<N, rivals::ArrayQueue<N>>("ArrayQueue", Workers::Threads))
        .with(moving::<N, rivals::Boost>("Boost", Workers::Processes))
        .goal(at_most, "ArrayQueue")
        .goal(0.3, "Boost")
}

fn copies<const N: usize>(size: &str, python_row: &'static str) -> Row {
    let bytes = size_of::<Item<N>>() as u64;
    Row::new(format!("queue-copy-{bytes}"), format!("Queue 1x1, copying {size}"), Placement::Apart(2))
        .with(moving::<N, ours::Bytes>(OURS, Workers::Processes))
        .with(moving::<N, rivals::RtrbBytes>("rtrb bytes", Workers::Threads))
        .with(moving::<N, iceoryx::Iceoryx<N, true>>("iceoryx2 copy", Workers::Processes))
        .with(moving::<N, kernel::Kernel<kernel::Packets>>("Unix seqpacket", Workers::Processes))
        .with(moving::<N, kernel::Kernel<kernel::Stream>>("Unix stream", Workers::Processes))
        .with(moving::<N, rivals::IpcChannel>("ipc-channel", Workers::Processes))
        .with(python(python_row))
        .moving(bytes)
        .goal(1.05, "rtrb bytes")
}

/// Only the ends of an item are written and read: what is measured is the way, which no byte between them goes.
fn in_place<const N: usize>(size: &str, at_most: f64) -> Row {
    let bytes = size_of::<Item<N>>();
    Row::new(format!("queue-in-place-{bytes}"), format!("Queue 1x1, {size} in place"), Placement::Apart(2))
        .with(moving::<N, ours::SpscInPlace<N>>(SPSC, Workers::Processes))
        .with(moving::<N, ours::InPlace<N>>(OURS, Workers::Processes))
        .with(moving::<N, iceoryx::Iceoryx<N, false>>("iceoryx2", Workers::Processes))
        .goal_of(SPSC, at_most, "iceoryx2")
        .goal(at_most, "iceoryx2")
}

struct Yard<B> {
    belt: B,
    /// Items that each worker has moved.
    moved: Shared<[OwnLine<AtomicU64>; SEATS]>,
    /// The sum of the numbers of those that each consumer got.
    sums: Shared<[OwnLine<AtomicU64>; SEATS]>,
}

fn moving<const N: usize, B: Belt<N>>(name: &'static str, workers: Workers) -> Box<dyn Contender> {
    let build = |_| {
        let (moved, sums) = (Shared::new(Default::default())?, Shared::new(Default::default())?);
        Ok(Yard { belt: B::new()?, moved, sums })
    };
    crew(name, workers, Share::Every, build, part::<N, B>, |yard, total| {
        let half =
            yard.moved.iter().rposition(|moved| moved.load(Relaxed) > 0).map_or(0, |last| last / 2 + 1);
        let sent: Vec<u64> = yard.moved[..half].iter().map(|moved| moved.load(Relaxed)).collect();
        same("items put", total, sent.iter().sum())?;
        same("items got", total, yard.moved[half..].iter().map(|moved| moved.load(Relaxed)).sum())?;
        let right = sent.iter().map(|&n| n * (n + 1) / 2).sum();
        same("sum of what was got", right, yard.sums.iter().map(|sum| sum.load(Relaxed)).sum())
    })
}

/// A worker's part of `ops` items: the first half of the workers puts, the second gets.
fn part<const N: usize, B: Belt<N>>(yard: &Yard<B>, seat: Seat, ops: u64) -> Result<(), Failure> {
    let pairs = seat.of / 2;
    let number = seat.number % pairs;
    let count = ops / pairs as u64 + u64::from((number as u64) < ops % pairs as u64);
    let moved = &yard.moved[seat.number];
    let before = moved.load(Relaxed);
    if seat.number < pairs {
        let who = (number as u64) << 56;
        yard.belt.send((before + 1..=before + count).map(|n| who | n))?;
    } else {
        let (mut sum, mut last) = (0, [0; SEATS]);
        yard.belt.receive(count, |item| {
            let (who, n) = ((item[0] >> 56) as usize % SEATS, item[0] << 8 >> 8);
            if n <= last[who] || item[N - 1] != item[0] {
                return Err(Failure::contender("order", format!("{:x} after {}", item[0], last[who])));
            }
            last[who] = n;
            sum += n;
            Ok(())
        })?;
        yard.sums[seat.number].fetch_add(sum, Relaxed);
    }
    moved.store(before + count, Relaxed);
    Ok(())
}
