//! What travels between a pool and its workers: messages, one behind the other.
//!
//! | a message | |
//! |---|---|
//! | 1 byte | less than 240: so many bytes follow, and it is what is usual there |
//! | or 8 bytes | 240 and what it is ([`News`]); in the upper seven the length |
//! | n bytes | arguments, output, text, or a number of 8 bytes |
//!
//! Tasks that go together are a chunk: one item of the worker's queue, or several if it is long, with a byte in front of each that
//! says whether more follow.
//!
//! | to a worker | |
//! |---|---|
//! | 8, 4 bytes | number of the chunk, place of the task in the list of tasks |
//! | for each a message | arguments |
//!
//! What a worker says is one stream of messages. Each is there as a whole at once, if there is room for it; of what a dead worker
//! did not finish saying nothing counts. Usual is that a task returned.

/// An item of a worker's queue has at most so many bytes behind the first.
pub(super) const PART: usize = 32 * 1024;
/// What precedes the tasks of a chunk, the byte in front included.
pub(super) const CHUNK_HEAD: usize = 1 + 12;
/// Fewer bytes need a head of one only.
pub(super) const SHORT: usize = 240;
/// What precedes others.
const HEAD: usize = 8;

const LAST: u8 = 0;
const MORE: u8 = 1;

/// What a worker has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum News {
    /// What is usual: the next task of the chunk returned.
    Returned,
    /// It is initialised; the output of the initialiser comes along.
    Ready,
    /// The initialiser panicked.
    NotReady,
    /// It has room for another part.
    Room,
    /// It begins with the chunk of this number.
    Began,
    /// The next task of the chunk panicked; the worker leaves.
    Panicked,
    /// Its output has no bytes.
    UnfitOutput,
    /// Its arguments are none.
    UnfitArguments,
    /// All tasks of the chunk are done, after so many nanoseconds.
    Done,
}

impl News {
    fn of(byte: u8) -> Option<News> {
        use News::*;
        let all = [Returned, Ready, NotReady, Room, Began, Panicked, UnfitOutput, UnfitArguments, Done];
        all.get(usize::from(byte)).copied()
    }
}

/// The head of a message that is not short and usual.
pub(super) fn head(news: News, len: usize) -> [u8; HEAD] {
    ((len as u64) << 8 | (SHORT as u64 + news as u64)).to_le_bytes()
}

/// Adds a message whose payload `write` appends; what `write` returns is returned.
pub(super) fn add<R>(to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> (News, R)) -> R {
    let start = to.len();
    to.extend([0; HEAD]);
    let (news, result) = write(to);
    let head = head(news, to.len() - start - HEAD);
    to[start..start + HEAD].copy_from_slice(&head);
    result
}

/// Adds a message that is a number.
pub(super) fn add_number(to: &mut Vec<u8>, news: News, number: u64) {
    add(to, |to| {
        to.extend(number.to_le_bytes());
        (news, ())
    });
}

/// Makes the first byte of `place` the head of what `write` writes behind it, and tells how long both are together; 0, if it says that
/// it wrote nothing there, or there is no place.
#[inline]
pub(super) fn write_short(place: &mut [u8], write: impl FnOnce(&mut [u8]) -> Option<usize>) -> usize {
    let Some((head, payload)) = place.split_first_mut() else {
        write(&mut []);
        return 0;
    };
    let most = payload.len().min(SHORT - 1);
    let Some(len) = write(&mut payload[..most]) else { return 0 };
    *head = len.min(most) as u8;
    1 + usize::from(*head)
}

/// A message in a stream of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) news: News,
    pub(super) payload: &'a [u8],
    /// Where the next one begins.
    pub(super) end: usize,
}

impl Message<'_> {
    /// The number that it is.
    pub(super) fn number(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.payload.try_into().ok()?))
    }
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// The message at `at`, if it is whole.
#[inline]
pub(super) fn at(stream: &[u8], at: usize) -> Result<Option<Message<'_>>, Nonsense> {
    match stream.get(at) {
        Some(&len) if usize::from(len) < SHORT => {
            let (start, end) = (at + 1, at + 1 + usize::from(len));
            Ok(stream.get(start..end).map(|payload| Message { news: News::Returned, payload, end }))
        }
        _ => long_at(stream, at),
    }
}

fn long_at(stream: &[u8], at: usize) -> Result<Option<Message<'_>>, Nonsense> {
    let bytes = stream.get(at..).and_then(|rest| rest.split_first_chunk::<HEAD>());
    let Some((head, rest)) = bytes else { return Ok(None) };
    let news = head[0].checked_sub(SHORT as u8).and_then(News::of).ok_or(Nonsense)?;
    let len = usize::try_from(u64::from_le_bytes(*head) >> 8).map_err(|_| Nonsense)?;
    Ok(rest.get(..len).map(|payload| Message { news, payload, end: at + HEAD + len }))
}

/// Where the usual messages from `at` on end, of which at most `most` are wanted, and how many those are.
pub(super) fn pass_usual(stream: &[u8], mut at: usize, most: u64) -> (usize, u64) {
    let mut count = 0;
    while count < most {
        match stream.get(at) {
            Some(&len) if usize::from(len) < SHORT => {
                let (end, passed) = pass_alike(stream, at, len, most - count);
                if passed == 0 {
                    break;
                }
                (at, count) = (end, count + passed);
            }
            // What is nonsense is so for the next who reads it, too.
            _ => match long_at(stream, at) {
                Ok(Some(message)) if message.news == News::Returned => (at, count) = (message.end, count + 1),
                _ => break,
            },
        }
    }
    (at, count)
}

/// As `pass_usual`, for short messages of one length, as most are: where the next one begins need not be read.
#[inline]
fn pass_alike(stream: &[u8], start: usize, len: u8, most: u64) -> (usize, u64) {
    let step = 1 + usize::from(len);
    let whole = ((stream.len() - start) / step) as u64;
    let (mut at, most) = (start, most.min(whole));
    let mut count = 0;
    while count < most && stream[at] == len {
        at += step;
        count += 1;
    }
    (at, count)
}

/// Begins a chunk that will have so many bytes of tasks.
pub(super) fn chunk(number: u64, task: u32, room: usize) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(CHUNK_HEAD + room);
    chunk.push(LAST);
    chunk.extend(number.to_le_bytes());
    chunk.extend(task.to_le_bytes());
    chunk
}

/// A chunk as a worker reads it.
#[derive(Clone, Copy)]
pub(super) struct Tasks<'a> {
    pub(super) number: u64,
    pub(super) task: u32,
    tasks: &'a [u8],
    /// Where the next one is.
    at: usize,
}

impl<'a> Tasks<'a> {
    /// Reads a chunk without the byte in front.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (number, bytes) = bytes.split_first_chunk()?;
        let (task, tasks) = bytes.split_first_chunk()?;
        Some(Tasks { number: u64::from_le_bytes(*number), task: u32::from_le_bytes(*task), tasks, at: 0 })
    }

    /// The arguments of the next one.
    #[inline]
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let message = at(self.tasks, self.at).ok()??;
        self.at = message.end;
        Some(message.payload)
    }
}

/// Whether a chunk is one item of a queue.
pub(super) fn is_one_part(chunk: &[u8]) -> bool {
    chunk.len() - 1 <= PART
}

/// The items of a queue that make a chunk.
pub(super) fn parts(chunk: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let pieces = chunk[1..].chunks(PART);
    let last = pieces.len().saturating_sub(1);
    pieces.enumerate().map(move |(index, piece)| {
        let mut part = Vec::with_capacity(1 + piece.len());
        part.push(if index == last { LAST } else { MORE });
        part.extend(piece);
        part
    })
}

/// Adds a part to what came before it; returns the chunk, without the byte in front, once it is whole.
pub(super) fn join<'a>(part: &'a [u8], before: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let (&more, part) = part.split_first()?;
    if before.is_empty() && more == LAST {
        return Some(part);
    }
    before.extend(part);
    (more == LAST).then_some(&before[..])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A usual message of so many bytes.
    fn add_len(to: &mut Vec<u8>, len: usize) {
        match u8::try_from(len) {
            Ok(short) if len < SHORT => to.push(short),
            _ => to.extend(head(News::Returned, len)),
        }
        to.resize(to.len() + len, len as u8);
    }

    const LENS: [usize; 6] = [0, 1, SHORT - 1, SHORT, SHORT + 1, 70_000];

    #[test]
    fn messages_are_read_as_they_were_written_and_only_whole() {
        let mut stream = Vec::new();
        add_number(&mut stream, News::Began, 1 << 40);
        for len in LENS {
            add_len(&mut stream, len);
            let text = add(&mut stream, |to| {
                to.resize(to.len() + len, 7);
                (News::Panicked, len)
            });
            assert_eq!(text, len);
        }
        let mut from = 0;
        let mut next = || {
            let message = at(&stream, from).unwrap().unwrap();
            from = message.end;
            message
        };
        assert_eq!(next().number(), Some(1 << 40));
        for len in LENS {
            for (news, byte) in [(News::Returned, len as u8), (News::Panicked, 7)] {
                let message = next();
                assert_eq!((message.news, message.payload), (news, &vec![byte; len][..]));
            }
        }
        assert_eq!((from, at(&stream, from)), (stream.len(), Ok(None)));
        for len in 0..HEAD + 8 {
            assert_eq!(at(&stream[..len], 0), Ok(None), "{len} bytes");
        }
    }

    #[test]
    fn nonsense_is_no_message() {
        assert_eq!(News::of(News::Done as u8), Some(News::Done));
        for byte in 0..=255 {
            assert!(News::of(byte).is_none_or(|news| news as u8 == byte && byte <= News::Done as u8));
            let is_nonsense = at(&[byte; 300], 0) == Err(Nonsense);
            assert_eq!(is_nonsense, usize::from(byte) > SHORT + News::Done as usize, "{byte}");
        }
    }

    #[test]
    fn short_messages_are_written_in_place() {
        for len in [0, 1, SHORT - 1] {
            let mut place = [9; SHORT + 5];
            let written = write_short(&mut place, |payload| {
                assert_eq!(payload.len(), SHORT - 1, "nothing longer fits");
                payload[..len].fill(7);
                Some(len)
            });
            assert_eq!(written, 1 + len);
            let message = at(&place, 0).unwrap().unwrap();
            assert_eq!((message.payload, message.end), (&vec![7; len][..], written));
        }
        assert_eq!(write_short(&mut [9; 50], |_| None), 0);
        assert_eq!(write_short(&mut [9; 50], |payload| Some(payload.len())), 50);
        let mut was_called = false;
        let nowhere = write_short(&mut [], |payload| {
            was_called = payload.is_empty();
            None
        });
        assert_eq!(nowhere, 0);
        assert!(was_called);
    }

    #[test]
    fn usual_messages_are_passed_until_another_one_or_the_end() {
        let mut stream = Vec::new();
        for len in LENS {
            add_len(&mut stream, len);
        }
        let (end, all) = (stream.len(), LENS.len() as u64);
        let mut at_each = 0;
        for most in 0..=all {
            assert_eq!(pass_usual(&stream, 0, most), (at_each, most));
            at_each = at(&stream, at_each).unwrap().map_or(end, |message| message.end);
        }
        assert_eq!(pass_usual(&stream, 0, u64::MAX), (end, all));
        for cut in 0..400 {
            let (passed, count) = pass_usual(&stream[..cut], 0, u64::MAX);
            assert!(passed <= cut && at(&stream[..cut], passed) == Ok(None) && count < all, "{cut} bytes");
        }
        add_number(&mut stream, News::Done, 1);
        add_len(&mut stream, 1);
        assert_eq!(pass_usual(&stream, 0, u64::MAX), (end, all));
    }

    fn chunk_of(lens: &[usize]) -> Vec<u8> {
        let mut bytes = chunk(77, 5, 0);
        lens.iter().for_each(|len| add_len(&mut bytes, *len));
        bytes
    }

    fn lens_of(mut tasks: Tasks<'_>) -> Vec<usize> {
        std::iter::from_fn(|| tasks.next()).map(<[u8]>::len).collect()
    }

    #[test]
    fn chunks_are_read_as_they_were_written_whatever_their_length() {
        for lens in [vec![], vec![0], vec![3, 0, 9], vec![PART], vec![5 * PART, 1, PART]] {
            let bytes = chunk_of(&lens);
            let parts: Vec<Vec<u8>> = parts(&bytes).collect();
            assert_eq!(parts.len() == 1, is_one_part(&bytes));
            let mut before = Vec::new();
            for part in &parts[..parts.len() - 1] {
                assert!(join(part, &mut before).is_none());
            }
            let whole = join(&parts[parts.len() - 1], &mut before).unwrap();
            let tasks = Tasks::read(whole).unwrap();
            assert_eq!((tasks.number, tasks.task), (77, 5));
            assert_eq!(lens_of(tasks), lens);
        }
    }

    #[test]
    fn nonsense_is_no_task() {
        let bytes = chunk_of(&[3, 2]);
        for len in 1..bytes.len() {
            assert!(Tasks::read(&bytes[1..len]).is_none_or(|tasks| lens_of(tasks).len() < 2), "{len} bytes");
        }
        assert!(lens_of(Tasks::read(&[0xff; 40]).unwrap()).is_empty());
    }
}
