//! Frames: a length of four bytes, most significant first, and that many bytes.

use std::io;

/// The bytes in front of a frame's content.
pub(crate) const PREFIX: usize = 4;

/// A frame that announces more than is allowed, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength {
    pub(crate) announced: u32,
}

impl BadLength {
    /// In words, with what would have been taken.
    pub(crate) fn told(self, most: usize) -> String {
        // The first bytes of TLS: a handshake, and a version.
        let hint =
            if self.announced >> 16 == 0x1603 { "; it looks like TLS, which is not spoken here" } else { "" };
        format!("a frame of {} bytes: 1 to {most} are taken{hint}", self.announced)
    }
}

/// Room for bytes at first; it doubles as long as they fill it.
#[cfg_attr(
    not(feature = "manager"),
    allow(dead_code, reason = "others read what a frame needs, and no more")
)]
const FIRST: usize = 4 << 10;

/// Room that is made before a frame needs it, at most: for peers that send much at once.
#[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "as above"))]
const AHEAD: usize = 64 << 10;

/// Room that is kept when nothing is in it: peers that once sent a large frame do not keep its memory.
const KEPT: usize = 1 << 20;

/// Bytes as they come, cut into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Room; what has come and has not been given out lies in `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the last bytes filled all the room there was.
    filled: bool,
    /// Whether a frame may have no content.
    may_be_empty: bool,
}

/// What is known of the next frame: its length once that has come.
struct Wanted {
    missing: usize,
    len: usize,
}

impl Frames {
    /// From now on frames without content are frames, too.
    pub(crate) fn allow_empty(&mut self) {
        self.may_be_empty = true;
    }

    /// The next whole frame, if it is there and no longer than `most`.
    #[inline]
    pub(crate) fn next(&mut self, most: usize) -> Result<Option<&[u8]>, BadLength> {
        let len = match self.wanted(most)? {
            Wanted { missing: 0, len } => len,
            _ => return Ok(None),
        };
        let start = self.start + PREFIX;
        self.start = start + len;
        Ok(Some(&self.buffer[start..start + len]))
    }

    /// Puts the frame of `len` bytes back that was given out last, since when nothing else was done.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "others take what they are given"))]
    pub(crate) fn put_back(&mut self, len: usize) {
        self.start -= PREFIX + len;
    }

    /// How many bytes are missing of the next frame (first of its length, then of its content); 0 if it is there.
    ///
    /// Who reads no more than that leaves the rest to the system, where a descriptor tells of it.
    pub(crate) fn missing(&self, most: usize) -> Result<usize, BadLength> {
        Ok(self.wanted(most)?.missing)
    }

    #[inline]
    fn wanted(&self, most: usize) -> Result<Wanted, BadLength> {
        let rest = &self.buffer[self.start..self.end];
        let Some((prefix, content)) = rest.split_first_chunk::<PREFIX>() else {
            return Ok(Wanted { missing: PREFIX - rest.len(), len: 0 });
        };
        let announced = u32::from_be_bytes(*prefix);
        let len = announced as usize;
        if (len == 0 && !self.may_be_empty) || len > most {
            return Err(BadLength { announced });
        }
        Ok(Wanted { missing: len.saturating_sub(content.len()), len })
    }

    /// Lets `read` fill in at most `most` further bytes, and says how many it did.
    pub(crate) fn fill(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.tidy();
        let wanted = self.end + most;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let len = read(&mut self.buffer[self.end..wanted])?.min(most);
        self.end += len;
        Ok(len)
    }

    /// The same, of as many bytes as there is room for; room is made as bytes come.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "as above"))]
    pub(crate) fn read<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.tidy();
        let len = self.buffer.len();
        if self.end == len || self.filled && len < AHEAD {
            self.buffer.resize((len * 2).max(FIRST), 0);
        }
        let room = &mut self.buffer[self.end..];
        let most = room.len();
        let len = read(room)?.min(most);
        self.filled = len == most;
        self.end += len;
        Ok(len)
    }

    /// Forgets what has been given out, if that is all, or if it is half of the room and that is full: so each byte is moved once on
    /// average.
    fn tidy(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        } else if self.end == self.buffer.len() && self.start * 2 >= self.end {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.read(|room| io::Read::read(&mut bytes, room)).unwrap();
            assert!(taken > 0, "there is always room");
        }
    }

    /// How many bytes are here.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Keeps no more memory than that, if nothing is here.
    pub(crate) fn shrink(&mut self, most: usize) {
        if !self.is_inside() && self.buffer.capacity() > most {
            self.buffer = Vec::new();
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.start < self.end
    }
}

/// Writes a frame whose content is written by `write`.
pub(crate) fn write(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; PREFIX]);
    write(out);
    let len = (out.len() - start - PREFIX) as u32;
    out[start..start + PREFIX].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let mut bytes = Vec::new();
        for len in [1usize, 2, 300, 70_000, 5] {
            write(&mut bytes, |out| out.extend(vec![len as u8; len]));
        }
        for step in [1, 3, 7, 1000, bytes.len()] {
            let (mut frames, mut lens) = (Frames::default(), Vec::new());
            for part in bytes.chunks(step) {
                frames.push(part);
                while let Some(frame) = frames.next(100_000).unwrap() {
                    assert!(frame.iter().all(|&byte| byte == frame.len() as u8));
                    lens.push(frame.len());
                }
            }
            assert_eq!(lens, [1, 2, 300, 70_000, 5]);
            assert!(!frames.is_inside());
        }
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_come() {
        let mut frames = Frames::default();
        frames.push(&[0, 0, 1, 1]);
        assert_eq!(frames.next(256), Err(BadLength { announced: 257 }));
        let mut empty = Frames::default();
        empty.push(&[0; 4]);
        assert_eq!(empty.next(256), Err(BadLength { announced: 0 }));
        empty.allow_empty();
        assert_eq!(empty.next(256), Ok(Some(&[][..])));
        assert_eq!(empty.next(256), Ok(None));
    }

    #[test]
    fn what_is_put_back_comes_again() {
        let mut bytes = Vec::new();
        [b"one", b"two"].iter().for_each(|content| write(&mut bytes, |out| out.extend_from_slice(*content)));
        let mut frames = Frames::default();
        frames.push(&bytes);
        for content in [b"one", b"two"] {
            for _ in 0..2 {
                assert_eq!(frames.next(3), Ok(Some(&content[..])));
                frames.put_back(3);
            }
            assert_eq!(frames.next(3), Ok(Some(&content[..])));
        }
        assert_eq!(frames.next(3), Ok(None));
    }

    #[test]
    fn what_is_missing_is_all_that_is_read() {
        let mut bytes = Vec::new();
        for content in [&b"one"[..], b"", b"another one"] {
            write(&mut bytes, |out| out.extend_from_slice(content));
        }
        let (mut frames, mut rest, mut found) = (Frames::default(), &bytes[..], Vec::new());
        frames.allow_empty();
        while !rest.is_empty() {
            let before = rest.len();
            while let missing @ 1.. = frames.missing(100).unwrap() {
                // In small pieces, as they may come.
                frames.fill(missing.min(2), |room| io::Read::read(&mut rest, room)).unwrap();
            }
            found.push(frames.next(100).unwrap().unwrap().to_vec());
            assert_eq!(before - rest.len(), PREFIX + found.last().unwrap().len());
        }
        assert_eq!(found, [&b"one"[..], b"", b"another one"]);
        let failed = frames.fill(50, |_| Err(io::ErrorKind::TimedOut.into()));
        assert!(failed.is_err() && !frames.is_inside());
    }
}
