//! What travels between a pool and its workers.
//!
//! Tasks that go together are a chunk: one item of the worker's queue, or several if it is long, with a byte in front of each that
//! says whether more follow.
//!
//! | to a worker | |
//! |---|---|
//! | 8, 4, 4 bytes | number of the chunk, place of the task in the list of tasks, how many there are |
//! | for each: 4, n bytes | length, arguments |
//!
//! What a worker says is one stream of bytes. Each message is there as a whole at once, if there is room for it; of what a dead worker
//! did not finish saying nothing counts.
//!
//! | from a worker | |
//! |---|---|
//! | 8 bytes | length, and in the highest byte what it is: [`News`] |
//! | n bytes | output, or text, or a number of 8 bytes |

/// An item of a worker's queue has at most so many bytes behind the first.
pub(super) const PART: usize = 32 * 1024;
/// What precedes the tasks of a chunk, the byte in front included.
pub(super) const CHUNK_HEAD: usize = 1 + 16;
/// What precedes the arguments of a task.
pub(super) const TASK_HEAD: usize = 4;
/// What precedes the payload of a message.
const HEAD: usize = 8;

const LAST: u8 = 0;
const MORE: u8 = 1;
const LENGTH: u64 = (1 << 56) - 1;

/// What a worker has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum News {
    /// It is initialised; the output of the initialiser comes along.
    Ready = 1,
    /// The initialiser panicked.
    NotReady,
    /// It has room for another part.
    Room,
    /// It begins with the chunk of this number.
    Began,
    /// The next task of the chunk returned.
    Returned,
    /// It panicked; the worker leaves.
    Panicked,
    /// Its output has no bytes.
    UnfitOutput,
    /// Its arguments are none.
    UnfitArguments,
    /// All tasks of the chunk are done, after so many nanoseconds.
    Done,
}

impl News {
    #[inline]
    fn of(byte: u8) -> Option<News> {
        use News::*;
        Some(match byte {
            1 => Ready,
            2 => NotReady,
            3 => Room,
            4 => Began,
            5 => Returned,
            6 => Panicked,
            7 => UnfitOutput,
            8 => UnfitArguments,
            9 => Done,
            _ => return None,
        })
    }
}

/// Adds a message whose payload `write` appends; what `write` returns is returned.
pub(super) fn add<R>(to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> (News, R)) -> R {
    let start = to.len();
    to.extend([0; HEAD]);
    let (news, result) = write(to);
    let head = u64::from(news as u8) << 56 | (to.len() - start - HEAD) as u64;
    to[start..start + HEAD].copy_from_slice(&head.to_le_bytes());
    result
}

/// Adds a message that is a number.
pub(super) fn add_number(to: &mut Vec<u8>, news: News, number: u64) {
    add(to, |to| {
        to.extend(number.to_le_bytes());
        (news, ())
    });
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
    let Some((head, rest)) = stream[at..].split_first_chunk::<HEAD>() else { return Ok(None) };
    let head = u64::from_le_bytes(*head);
    let news = News::of((head >> 56) as u8).ok_or(Nonsense)?;
    let len = usize::try_from(head & LENGTH).map_err(|_| Nonsense)?;
    Ok(rest.get(..len).map(|payload| Message { news, payload, end: at + HEAD + len }))
}

/// Begins a chunk.
pub(super) fn chunk(number: u64, task: u32, count: u32) -> Vec<u8> {
    let mut chunk = vec![LAST];
    chunk.extend(number.to_le_bytes());
    chunk.extend(task.to_le_bytes());
    chunk.extend(count.to_le_bytes());
    chunk
}

/// Where the task at `at` ends, if it is whole; its arguments begin behind [`TASK_HEAD`].
#[inline]
pub(super) fn task_end(tasks: &[u8], at: usize) -> Option<usize> {
    let (len, rest) = tasks.get(at..)?.split_first_chunk::<TASK_HEAD>()?;
    let len = u32::from_le_bytes(*len) as usize;
    (len <= rest.len()).then_some(at + TASK_HEAD + len)
}

/// A chunk as a worker reads it.
pub(super) struct Tasks<'a> {
    pub(super) number: u64,
    pub(super) task: u32,
    pub(super) count: u32,
    tasks: &'a [u8],
}

impl<'a> Tasks<'a> {
    /// Reads a chunk without the byte in front.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (number, bytes) = bytes.split_first_chunk()?;
        let (task, bytes) = bytes.split_first_chunk()?;
        let (count, tasks) = bytes.split_first_chunk()?;
        Some(Tasks {
            number: u64::from_le_bytes(*number),
            task: u32::from_le_bytes(*task),
            count: u32::from_le_bytes(*count),
            tasks,
        })
    }

    /// The arguments of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let (tasks, mut at) = (self.tasks, 0);
        std::iter::from_fn(move || {
            let (start, end) = (at + TASK_HEAD, task_end(tasks, at)?);
            at = end;
            Some(&tasks[start..end])
        })
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

    #[test]
    fn messages_are_read_as_they_were_written_and_only_whole() {
        let mut stream = Vec::new();
        add_number(&mut stream, News::Began, 1 << 40);
        for len in [0, 1, 70_000] {
            let returned = add(&mut stream, |to| {
                to.resize(to.len() + len, 7);
                (News::Returned, len)
            });
            assert_eq!(returned, len);
        }
        let mut from = 0;
        let mut next = || {
            let message = at(&stream, from).unwrap().unwrap();
            from = message.end;
            message
        };
        assert_eq!(next().number(), Some(1 << 40));
        for len in [0, 1, 70_000] {
            let message = next();
            assert_eq!((message.news, message.payload), (News::Returned, &vec![7; len][..]));
        }
        assert_eq!(at(&stream, from), Ok(None));
        for len in 0..HEAD + 8 {
            assert_eq!(at(&stream[..len], 0), Ok(None), "{len} bytes");
        }
        for byte in 0..=255 {
            assert!(News::of(byte).is_none_or(|news| news as u8 == byte));
        }
        assert!(News::of(News::Ready as u8).is_some() && News::of(News::Done as u8 + 1).is_none());
        assert_eq!(at(&[99; 40], 0), Err(Nonsense));
        assert_eq!(at(&[0; 40], 0), Err(Nonsense));
    }

    fn chunk_of(lens: &[usize]) -> Vec<u8> {
        let mut bytes = chunk(77, 5, lens.len() as u32);
        for &len in lens {
            bytes.extend((len as u32).to_le_bytes());
            bytes.resize(bytes.len() + len, len as u8);
        }
        bytes
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
            assert_eq!((tasks.number, tasks.task, tasks.count), (77, 5, lens.len() as u32));
            assert!(tasks.iter().map(<[u8]>::len).eq(lens.iter().copied()));
        }
    }

    #[test]
    fn nonsense_is_no_task() {
        let bytes = chunk_of(&[3, 2]);
        for len in 1..bytes.len() {
            let tasks = Tasks::read(&bytes[1..len]).map(|tasks| tasks.iter().count());
            assert!(tasks.is_none_or(|count| count < 2), "{len} bytes");
        }
        assert_eq!(Tasks::read(&[0xff; 40]).unwrap().iter().count(), 0);
    }
}
