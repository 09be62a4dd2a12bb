//! What travels through the queues of a pool.
//!
//! A message is cut into parts that fit: each part is one item of a queue, with a byte in front that says whether more follow.
//!
//! | to a worker | |
//! |---|---|
//! | 8 bytes | number of the chunk |
//! | for each task: 4, 4, n bytes | its place in the list of tasks, length, arguments |
//!
//! | from a worker | |
//! |---|---|
//! | 4, 4 bytes | worker, generation (in front of each part) |
//! | 1 byte | what it is: [`News`] |
//! | 8, 4, 8 bytes | number of the chunk, index in it, nanoseconds since the chunk began |
//! | the rest | output, or text |

/// No part is longer: then a queue copies it under its lock, so that whoever is dead has put it or has not.
pub(super) const PART: usize = 4000;

const LAST: u8 = 0;
const MORE: u8 = 1;

/// What a worker has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum News {
    /// It is initialised; the output of the initialiser comes along.
    Ready,
    /// The initialiser panicked.
    NotReady,
    /// A task returned.
    Returned,
    /// A task panicked; the worker leaves.
    Panicked,
    /// A task's output has no bytes.
    UnfitOutput,
    /// A task's arguments are none.
    UnfitArguments,
    /// It has room for another part.
    Room,
    /// Nothing; somebody wants the router to look around.
    Look,
}

impl News {
    fn of(byte: u8) -> Option<News> {
        use News::*;
        [Ready, NotReady, Returned, Panicked, UnfitOutput, UnfitArguments, Room, Look]
            .into_iter()
            .find(|news| *news as u8 == byte)
    }
}

/// A message of a worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report<'a> {
    pub(super) news: News,
    pub(super) chunk: u64,
    pub(super) index: u32,
    pub(super) nanoseconds: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Report<'a> {
    pub(super) fn new(news: News, payload: &'a [u8]) -> Self {
        Report { news, chunk: 0, index: 0, nanoseconds: 0, payload }
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.push(self.news as u8);
        to.extend(self.chunk.to_le_bytes());
        to.extend(self.index.to_le_bytes());
        to.extend(self.nanoseconds.to_le_bytes());
        to.extend(self.payload);
    }

    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let news = News::of(take::<1>(&mut bytes)?[0])?;
        let chunk = u64::from_le_bytes(take(&mut bytes)?);
        let index = u32::from_le_bytes(take(&mut bytes)?);
        let nanoseconds = u64::from_le_bytes(take(&mut bytes)?);
        Some(Report { news, chunk, index, nanoseconds, payload: bytes })
    }
}

/// Who sent a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sender {
    pub(super) worker: u32,
    pub(super) generation: u32,
}

impl Sender {
    pub(super) const BYTES: usize = 8;

    pub(super) fn bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.worker.to_le_bytes());
        bytes[4..].copy_from_slice(&self.generation.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Sender {
            worker: u32::from_le_bytes(take(bytes)?),
            generation: u32::from_le_bytes(take(bytes)?),
        })
    }
}

/// Begins a chunk.
pub(super) fn chunk(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Adds a task to a chunk.
pub(super) fn add_task(chunk: &mut Vec<u8>, task: u32, args: &[u8]) {
    chunk.extend(task.to_le_bytes());
    chunk.extend((args.len() as u32).to_le_bytes());
    chunk.extend(args);
}

/// The number of a chunk, and its tasks.
pub(super) fn read_chunk(mut bytes: &[u8]) -> Option<(u64, impl Iterator<Item = (u32, &[u8])>)> {
    let number = u64::from_le_bytes(take(&mut bytes)?);
    let tasks = std::iter::from_fn(move || {
        let task = u32::from_le_bytes(take(&mut bytes)?);
        let len = u32::from_le_bytes(take(&mut bytes)?) as usize;
        let (args, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        Some((task, args))
    });
    Some((number, tasks))
}

/// The parts of a message, each behind `front`.
pub(super) fn parts<'a>(message: &'a [u8], front: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let count = message.len().div_ceil(PART).max(1);
    (0..count).map(move |index| {
        let part = &message[index * PART..message.len().min((index + 1) * PART)];
        let mut bytes = Vec::with_capacity(front.len() + 1 + part.len());
        bytes.extend(front);
        bytes.push(if index + 1 == count { LAST } else { MORE });
        bytes.extend(part);
        bytes
    })
}

/// Adds a part to what came before it; says whether the message is whole.
pub(super) fn join(part: &[u8], message: &mut Vec<u8>) -> bool {
    let Some((&more, part)) = part.split_first() else { return false };
    message.extend(part);
    more == LAST
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written_whatever_their_length() {
        for len in [0, 1, PART - 30, PART, PART + 1, 5 * PART] {
            let payload = vec![7; len];
            let report =
                Report { news: News::Returned, chunk: 1 << 40, index: 9, nanoseconds: 5, payload: &payload };
            let (mut bytes, mut whole) = (Vec::new(), Vec::new());
            report.write(&mut bytes);
            let sender = Sender { worker: 3, generation: 8 };
            let front = sender.bytes();
            let parts: Vec<Vec<u8>> = parts(&bytes, &front).collect();
            for (index, part) in parts.iter().enumerate() {
                let mut rest = &part[..];
                assert_eq!(Sender::read(&mut rest), Some(sender));
                assert_eq!(join(rest, &mut whole), index + 1 == parts.len());
            }
            assert_eq!(Report::read(&whole), Some(report));
        }
    }

    #[test]
    fn chunks_are_read_as_they_were_written_and_nonsense_is_no_task() {
        let mut bytes = chunk(77);
        add_task(&mut bytes, 1, b"one");
        add_task(&mut bytes, 2, b"");
        let (number, tasks) = read_chunk(&bytes).unwrap();
        assert_eq!((number, tasks.collect::<Vec<_>>()), (77, vec![(1, &b"one"[..]), (2, b"")]));
        for len in 0..bytes.len() {
            let tasks = read_chunk(&bytes[..len]).map(|(_, tasks)| tasks.count());
            assert!(tasks.is_none_or(|count| count < 2), "{len} bytes");
        }
        assert!(Report::read(&[99; 40]).is_none() && Report::read(&[0; 20]).is_none());
        assert_eq!(read_chunk(&[0xff; 16]).unwrap().1.count(), 0);
    }
}
