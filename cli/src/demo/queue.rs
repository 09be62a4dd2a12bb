//! The queue's path: producers read files and put chunks, consumers tally them, and it does not matter who is killed.
//!
//! | object | holds | why a death harms nothing |
//! |---|---|---|
//! | `states` | for each file: free, claimed by producer p, put, skipped | a dead producer's claims are freed; its successor puts all chunks of the file again |
//! | `chunks` | a [`JoinableQueue`] of numbered chunks | a dead consumer's chunk is handed out again |
//! | `results` | for each chunk its counts | done twice, it comes to the same |
//!
//! When no file is free any more and no task unfinished, the sum over the results is the tally.

use std::fs::File;
use std::io::{self, Read};

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{
    Array, AtomicArray, Handle, JoinableQueue, Lifetime, LockError, Plain, Result, SharedMemory, Space,
};
use serde::{Deserialize, Serialize};

use super::files::Listed;
use super::tally::Counts;
use crate::random;

/// Bytes of a chunk.
const CHUNK: usize = 32 * 1024;
/// Chunks that are on their way at once.
const CAPACITY: usize = 16;

const FREE: u32 = 0;
const PUT: u32 = u32::MAX;
const SKIPPED: u32 = u32::MAX - 1;

/// Some bytes of a file.
#[derive(Clone, Copy, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.demo.chunk")]
#[repr(C)]
pub(super) struct Chunk {
    /// Where its counts go.
    slot: u64,
    /// Length of the word that began in the chunks before.
    word: u64,
    len: u32,
    /// 1: nothing follows.
    last: u32,
    bytes: [u8; CHUNK],
}

/// What a process of this path does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Role {
    Producer,
    Consumer,
}

/// The objects, attached.
pub(super) struct Line {
    states: AtomicArray<u32>,
    chunks: JoinableQueue<Chunk>,
    results: Array<Counts>,
    list: SharedMemory,
    made: Option<String>,
}

/// The objects as they travel, and what to do with them.
#[derive(Serialize, Deserialize)]
pub(super) struct LinePlan {
    role: Role,
    states: Handle<AtomicArray<u32>>,
    chunks: Handle<JoinableQueue<Chunk>>,
    results: Handle<Array<Counts>>,
    list: Handle<SharedMemory>,
}

/// The file with its length: those of the kernel tell it by being read.
fn measured(file: &Listed) -> Listed {
    let length = || io::copy(&mut File::open(&file.path)?, &mut io::sink());
    // One that cannot be read is tried, and skipped, by a producer.
    let limit = if file.limit == u64::MAX { length().unwrap_or(1) } else { file.limit };
    Listed { path: file.path.clone(), limit }
}

/// How many chunks a file may have.
fn chunks_of(file: &Listed) -> usize {
    file.limit.div_ceil(CHUNK as u64).max(1) as usize
}

const PARTS: [&str; 4] = ["queue-states", "queue", "queue-results", "queue-list"];

impl Line {
    /// Makes the objects, under names that `procshare ls` and `procshare tail` show.
    pub(super) fn new(files: &[Listed]) -> anyhow::Result<Self> {
        let files: Vec<Listed> = files.iter().map(measured).collect();
        let list = serde_json::to_vec(&files)?;
        let made = format!("demo-{}-{:06x}", std::process::id(), random::seed());
        let [states, chunks, results, listed] = PARTS.map(|part| format!("{made}-{part}"));
        let slots = files.iter().map(chunks_of).sum();
        let scoped = Lifetime::Scoped;
        let line = Line {
            states: AtomicArray::builder().lifetime(scoped).create(&states, vec![FREE; files.len()])?,
            chunks: JoinableQueue::builder().lifetime(scoped).create(&chunks, CAPACITY)?,
            results: Array::builder()
                .lifetime(scoped)
                .create(&results, procshare::ArrayInit::filled(slots, Counts::zero()))?,
            list: SharedMemory::builder().lifetime(scoped).create(&listed, list.len())?,
            made: Some(made),
        };
        line.list.write(0, &list)?;
        Ok(line)
    }

    pub(super) fn plan(&self, role: Role) -> LinePlan {
        LinePlan {
            role,
            states: self.states.handle(),
            chunks: self.chunks.handle(),
            results: self.results.handle(),
            list: self.list.handle(),
        }
    }

    /// Does what `plan` says, as the process number `index` of this path, until there is nothing left to do.
    pub(super) fn work(index: usize, plan: &LinePlan) -> anyhow::Result<()> {
        let line = Line {
            states: plan.states.attach()?,
            chunks: plan.chunks.attach()?,
            results: plan.results.attach()?,
            list: plan.list.attach()?,
            made: None,
        };
        match plan.role {
            Role::Producer => line.produce(index),
            Role::Consumer => Ok(line.consume()?),
        }
    }

    fn produce(&self, index: usize) -> anyhow::Result<()> {
        let files: Vec<Listed> = serde_json::from_slice(&self.list.to_vec())?;
        let mut slot = 0;
        for (number, file) in files.iter().enumerate() {
            if self.states.compare_exchange(number, FREE, claim_of(index))?.is_ok() {
                let state = if self.put(file, slot)?.is_ok() { PUT } else { SKIPPED };
                self.states.set(number, state)?;
            }
            slot += chunks_of(file);
        }
        Ok(())
    }

    /// Puts all chunks of a file; the inner error is the file's.
    fn put(&self, file: &Listed, first: usize) -> Result<io::Result<()>> {
        let mut reader = match File::open(&file.path) {
            Ok(open) => open.take(file.limit),
            Err(error) => return Ok(Err(error)),
        };
        let mut chunk = Box::new(Chunk::zeroed());
        chunk.slot = first as u64;
        loop {
            let len = match fill(&mut reader, &mut chunk.bytes) {
                Ok(len) => len,
                Err(error) => return Ok(Err(error)),
            };
            chunk.len = len as u32;
            // A file that ends with a whole chunk, and earlier than it was long, has an empty one behind it.
            chunk.last = u32::from(len < CHUNK || reader.limit() == 0);
            self.chunks.put_many(std::slice::from_ref(&*chunk))?;
            if chunk.last == 1 {
                return Ok(Ok(()));
            }
            let tail = chunk.bytes.iter().rev().take_while(|byte| !byte.is_ascii_whitespace()).count();
            chunk.word = if tail == CHUNK { chunk.word + CHUNK as u64 } else { tail as u64 };
            chunk.slot += 1;
        }
    }

    fn consume(&self) -> Result<()> {
        for task in self.chunks.iter() {
            self.note(task.slot as usize, count(&task))?;
            // Whoever dies before this leaves the chunk to the next.
            task.done();
        }
        Ok(())
    }

    /// Writes a chunk's counts, also over what a dead consumer has half written there.
    fn note(&self, slot: usize, counts: Counts) -> Result<()> {
        let mut place = self.results.lock(slot..slot + 1).or_else(LockError::into_guard)?;
        place[0] = counts;
        place.make_consistent()
    }

    /// Frees the files that a dead producer had claimed.
    pub(super) fn settle(&self, index: usize) -> Result<()> {
        for number in 0..self.states.len() {
            // Of no interest: the file was not its.
            let _ = self.states.compare_exchange(number, claim_of(index), FREE)?;
        }
        Ok(())
    }

    /// Whether every file was put or skipped.
    pub(super) fn all_put(&self) -> bool {
        self.states.iter().all(|state| state == PUT || state == SKIPPED)
    }

    pub(super) fn queue(&self) -> &JoinableQueue<Chunk> {
        &self.chunks
    }

    /// The sums, and the skipped files.
    pub(super) fn sums(&self) -> anyhow::Result<(Counts, Vec<usize>)> {
        let files: Vec<Listed> = serde_json::from_slice(&self.list.to_vec())?;
        let (mut sums, mut skipped, mut slot) = (Counts::zero(), Vec::new(), 0);
        for (number, file) in files.iter().enumerate() {
            let next = slot + chunks_of(file);
            if self.states.get(number)? == SKIPPED {
                sums.add(&Counts::skipped());
                skipped.push(number);
            } else {
                for index in slot..next {
                    sums.add(&self.results.get(index)?);
                }
            }
            slot = next;
        }
        Ok((sums, skipped))
    }
}

fn claim_of(index: usize) -> u32 {
    index as u32 + 1
}

/// Reads until `to` is full or nothing more comes.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < to.len() {
        match from.read(&mut to[len..]) {
            Ok(0) => break,
            Ok(got) => len += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// The counts of one chunk; a word counts where it ends.
fn count(chunk: &Chunk) -> Counts {
    let mut counts = Counts { files: u64::from(chunk.last), ..Counts::zero() };
    let mut word = chunk.word as usize;
    counts.add_bytes(&chunk.bytes[..CHUNK.min(chunk.len as usize)], &mut word);
    if chunk.last == 1 {
        counts.end_word(&mut word);
    }
    counts.lines = counts.histogram[usize::from(b'\n')];
    counts
}

impl Drop for Line {
    fn drop(&mut self) {
        // As for the objects of the other path.
        if let (Some(made), Ok(space)) = (&self.made, Space::default_space()) {
            for part in PARTS {
                let _ = space.unlink(&format!("{made}-{part}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tally;

    #[test]
    fn a_file_in_chunks_counts_like_a_file_as_a_whole() {
        let directory = std::env::temp_dir().join(format!("procshare-demo-line-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let texts = [
            Vec::new(),
            b"two words".to_vec(),
            vec![b'x'; 2 * CHUNK],
            [vec![b'x'; CHUNK - 1], b" y\n".to_vec(), vec![b'z'; CHUNK + 7], b"\nend".to_vec()].concat(),
        ];
        let mut files = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = directory.join(index.to_string());
            std::fs::write(&path, text).unwrap();
            files.push(Listed { path, limit: text.len() as u64 });
        }
        // One that has become shorter, and one that has gone.
        files[2].limit += 5;
        files.push(Listed { path: directory.join("none"), limit: 3 });
        let line = Line::new(&files).unwrap();
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| line.consume());
            line.produce(0).unwrap();
            assert!(line.all_put());
            line.chunks.join().unwrap();
            line.chunks.close().unwrap();
            consumer.join().unwrap().unwrap();
        });
        let (sums, skipped) = line.sums().unwrap();
        assert!(sums == tally::count_all(&files).counts && skipped == [4]);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
