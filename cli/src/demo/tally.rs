//! What is counted, and how.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use procshare::Plain;
use procshare::bytemuck::{Pod, Zeroable};

use super::files::Listed;

/// The most workers a tally has room for.
pub(crate) const MOST_WORKERS: usize = 64;

/// Words of so many bytes or more are counted together.
pub(super) const LONGEST: usize = 32;

/// The counts of some files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.demo.counts")]
#[repr(C)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) skipped: u64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) words: u64,
    /// How often each byte occurs.
    pub(super) histogram: [u64; 256],
    /// How many words have 1, 2, ... bytes.
    pub(super) word_lengths: [u64; LONGEST],
}

/// What the workers share: the sums, and who contributed what last. Both change in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.demo.tally")]
#[repr(C)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// For each worker, the file it committed last and how it went; see [`Tally::last_of`].
    last: [u64; MOST_WORKERS],
}

impl Counts {
    pub(super) fn zero() -> Self {
        Zeroable::zeroed()
    }

    /// Of one file that cannot be read.
    pub(super) fn skipped() -> Self {
        Counts { skipped: 1, ..Self::zero() }
    }

    /// Files that need no more work.
    pub(super) fn done(&self) -> u64 {
        self.files + self.skipped
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.files += other.files;
        self.skipped += other.skipped;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.words += other.words;
        let add = |sums: &mut [u64], terms: &[u64]| {
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += term;
            }
        };
        add(&mut self.histogram, &other.histogram);
        add(&mut self.word_lengths, &other.word_lengths);
    }

    /// All counts that are not 0, by name.
    #[cfg(unix)]
    pub(super) fn named(mut self) -> Vec<(String, u64)> {
        let all = self.fields().map(|(name, count)| (name, *count));
        all.filter(|&(_, count)| count > 0).collect()
    }

    /// The counts that have these names.
    #[cfg(unix)]
    pub(super) fn from_named(count_of: impl Fn(&str) -> u64) -> Self {
        let mut counts = Self::zero();
        counts.fields().for_each(|(name, count)| *count = count_of(&name));
        counts
    }

    #[cfg(unix)]
    fn fields(&mut self) -> impl Iterator<Item = (String, &mut u64)> {
        let Counts { files, skipped, bytes, lines, words, histogram, word_lengths } = self;
        let plain =
            [("files", files), ("skipped", skipped), ("bytes", bytes), ("lines", lines), ("words", words)];
        let plain = plain.into_iter().map(|(name, count)| (name.to_owned(), count));
        let bytes = (0..).zip(histogram).map(|(byte, count): (u32, _)| (format!("byte {byte}"), count));
        let lengths =
            (1..).zip(word_lengths).map(|(len, count): (u32, _)| (format!("words of {len}"), count));
        plain.chain(bytes).chain(lengths)
    }

    /// Adds some bytes of a file; `word` carries an unfinished word's length from one call to the next.
    pub(super) fn add_bytes(&mut self, bytes: &[u8], word: &mut usize) {
        self.bytes += bytes.len() as u64;
        for &byte in bytes {
            self.histogram[usize::from(byte)] += 1;
            if byte.is_ascii_whitespace() {
                self.end_word(word);
            } else {
                *word += 1;
            }
        }
    }

    pub(super) fn end_word(&mut self, word: &mut usize) {
        if *word > 0 {
            self.words += 1;
            self.word_lengths[(*word).min(LONGEST) - 1] += 1;
            *word = 0;
        }
    }
}

impl Tally {
    pub(super) fn zero() -> Self {
        Zeroable::zeroed()
    }

    /// Adds a file's counts and records that `worker` did.
    pub(super) fn commit(&mut self, worker: usize, file: usize, counts: &Counts) {
        self.counts.add(counts);
        // Not 0, which is "nothing yet".
        self.last[worker] = ((file as u64) << 1 | u64::from(counts.skipped > 0)) + 1;
    }

    /// The file that `worker` committed last, and whether it was skipped.
    pub(super) fn last_of(&self, worker: usize) -> Option<(usize, bool)> {
        let code = self.last[worker].checked_sub(1)?;
        Some(((code >> 1) as usize, code & 1 != 0))
    }
}

/// Counts the first `limit` bytes of a file; all or nothing.
pub(super) fn count(path: &Path, limit: u64) -> io::Result<Counts> {
    let mut counts = Counts { files: 1, ..Counts::zero() };
    let mut file = File::open(path)?.take(limit);
    let mut buffer = vec![0; 64 * 1024];
    let mut word = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => counts.add_bytes(&buffer[..got], &mut word),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    counts.end_word(&mut word);
    // All line feeds are in the histogram already.
    counts.lines = counts.histogram[usize::from(b'\n')];
    Ok(counts)
}

/// What one process counts alone.
pub(super) struct Alone {
    pub(super) counts: Counts,
    /// Files that could not be read, and why.
    pub(super) skipped: Vec<(usize, io::Error)>,
}

/// Counts all files, one after the other.
pub(super) fn count_all(files: &[Listed]) -> Alone {
    let mut alone = Alone { counts: Counts::zero(), skipped: Vec::new() };
    for (index, file) in files.iter().enumerate() {
        match count(&file.path, file.limit) {
            Ok(counts) => alone.counts.add(&counts),
            Err(error) => {
                alone.counts.add(&Counts::skipped());
                alone.skipped.push((index, error));
            }
        }
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &[u8], chunk: usize) -> Counts {
        let mut counts = Counts::zero();
        let mut word = 0;
        for bytes in text.chunks(chunk) {
            counts.add_bytes(bytes, &mut word);
        }
        counts.end_word(&mut word);
        counts
    }

    #[test]
    fn words_are_counted_alike_however_the_text_is_cut() {
        let text = b" one\ttwo\n\nthree  four\r\nfive";
        let whole = counted(text, text.len());
        assert_eq!(whole.words, 5);
        assert_eq!(whole.word_lengths[..5], [0, 0, 2, 2, 1]);
        for chunk in 1..text.len() {
            assert_eq!(counted(text, chunk), whole);
        }
        assert_eq!(counted(&[b'x'; 1000], 7).word_lengths[LONGEST - 1], 1);
    }

    #[cfg(unix)]
    #[test]
    fn counts_survive_being_named() {
        let counts = counted(b"some words of\nthis and that length", 100);
        let named = counts.named();
        assert!(named.iter().all(|&(_, count)| count > 0) && named.contains(&("byte 32".into(), 5)));
        let back = Counts::from_named(|wanted| {
            named.iter().find(|(name, _)| name == wanted).map_or(0, |&(_, count)| count)
        });
        assert_eq!(back, counts);
    }

    #[test]
    fn a_commit_is_remembered_with_its_outcome() {
        let mut tally = Tally::zero();
        assert_eq!(tally.last_of(3), None);
        tally.commit(3, 0, &Counts { files: 1, ..Counts::zero() });
        assert_eq!(tally.last_of(3), Some((0, false)));
        tally.commit(3, 9, &Counts::skipped());
        assert_eq!(tally.last_of(3), Some((9, true)));
        assert_eq!(tally.counts.done(), 2);
    }
}
