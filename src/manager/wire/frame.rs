//! Frames: a length of four bytes, most significant first, and that many bytes.

/// The bytes in front of a frame's content.
pub(crate) const PREFIX: usize = 4;

/// A frame that announces more than is allowed, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength {
    pub(crate) announced: u32,
}

/// Bytes as they come, cut into frames.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// Where the first byte lies that has not been given out.
    start: usize,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // What has been given out is forgotten once it is half of the buffer: each byte is moved once on average.
        if self.start > 0 && self.start * 2 >= self.buffer.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
            // Peers that once sent a large frame do not keep its memory.
            if self.buffer.is_empty() && self.buffer.capacity() > 1 << 20 {
                self.buffer = Vec::new();
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there and no longer than `most`.
    pub(crate) fn next(&mut self, most: usize) -> Result<Option<&[u8]>, BadLength> {
        let rest = &self.buffer[self.start..];
        let Some((prefix, content)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*prefix);
        if announced == 0 || announced as usize > most {
            return Err(BadLength { announced });
        }
        let Some(content) = content.get(..announced as usize) else { return Ok(None) };
        self.start += PREFIX + announced as usize;
        Ok(Some(content))
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.start < self.buffer.len()
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
    }
}
