//! What is to be sent to a client: answers, one behind the other.

use std::io::{self, ErrorKind};

use crate::manager::store::{Fault, Glance, Outcome};
use crate::manager::wire::frame;
use crate::manager::wire::message::{LONGEST_RUN, Reply, write_done, write_found};
use crate::manager::wire::pack;

/// A longer result is looked at as any other, and has a frame of its own.
const PLAIN: usize = 1 << 10;

/// A frame of several answers has no more bytes, nor than its client takes.
const LONGEST: usize = 32 << 10;

/// Answers to the calls of one request, in one frame that is being written.
struct Together {
    start: usize,
    /// The number of the next call that may be answered in it.
    next: u64,
    count: usize,
}

/// What is to be sent to a client.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have been.
    sent: usize,
    /// The longest result it takes.
    pub(super) takes: usize,
    /// Calls of the request that comes next which have been done already.
    pub(super) done: usize,
    /// Whether answers go together where they can.
    joins: bool,
    together: Option<Together>,
}

impl Outbox {
    /// How many bytes wait to be sent.
    #[inline]
    pub(super) fn unread(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Answers go together from now on, if they may and there is room for the longest that does.
    #[inline]
    pub(super) fn begin(&mut self, joins: bool) {
        self.joins = joins && self.takes > 2 * PLAIN;
    }

    /// Answers go alone from now on.
    #[inline]
    pub(super) fn end(&mut self) {
        self.joins = false;
        self.close();
    }

    /// Ends the frame of answers that is being written.
    #[inline]
    fn close(&mut self) {
        if let Some(Together { start, count, .. }) = self.together.take() {
            let frame = &mut self.bytes[start..];
            let len = (frame.len() - frame::PREFIX) as u32;
            frame[..frame::PREFIX].copy_from_slice(&len.to_be_bytes());
            frame[frame::PREFIX + 1..frame::PREFIX + 3].copy_from_slice(&(2 + count as u16).to_be_bytes());
        }
    }

    /// Sends a frame.
    pub(super) fn say(&mut self, content: &[u8]) {
        self.close();
        frame::write(&mut self.bytes, |out| out.extend_from_slice(content));
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>) {
        self.close();
        frame::write(&mut self.bytes, |out| reply.write(out));
    }

    /// Answers a call.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, outcome: &Outcome) {
        match outcome {
            Ok(result) if result.len() <= self.takes => self.done(id, None, result),
            Ok(result) => {
                let message = format!("the result has {} bytes, more than the client takes", result.len());
                self.reply(&Reply::Failed { id, kind: Fault::LIMIT, message: &message });
            }
            Err(Fault { kind, message }) => self.reply(&Reply::Failed { id, kind, message }),
        }
    }

    /// Answers a call by what was found at a glance; `false` if that is no plain result.
    #[inline]
    pub(super) fn show(&mut self, id: u64, glance: Glance<'_>) -> bool {
        match glance {
            Glance::Maybe(None) => self.done(id, None, &[0x90]),
            Glance::Maybe(Some(datum)) => {
                if !datum.references().is_empty() || datum.bytes().len() >= self.takes.min(PLAIN) {
                    return false;
                }
                self.done(id, Some(0x91), datum.bytes());
            }
            Glance::Bool(value) => self.done(id, None, &[if value { 0xc3 } else { 0xc2 }]),
            Glance::Number(number) => {
                let (digits, width) = pack::uint_in(number);
                self.done(id, None, &digits[..width]);
            }
        }
        true
    }

    /// Answers a call by a result, with a byte before it or without.
    #[inline]
    fn done(&mut self, id: u64, before: Option<u8>, result: &[u8]) {
        if self.joins && result.len() <= PLAIN {
            self.join(id, result.len());
            self.bytes.extend(before);
            return self.bytes.extend_from_slice(result);
        }
        self.close();
        match before {
            None => write_done(&mut self.bytes, id, result),
            Some(_) => write_found(&mut self.bytes, id, result),
        }
    }

    /// Makes room for a result of so many bytes in the frame of several answers, or in a new one.
    #[inline]
    fn join(&mut self, id: u64, len: usize) {
        let end = self.bytes.len() + 1 + len;
        match &mut self.together {
            Some(together)
                if together.next == id
                    && together.count < LONGEST_RUN
                    && end - together.start <= self.takes.min(LONGEST) =>
            {
                together.next += 1;
                together.count += 1;
            }
            _ => self.begin_frame(id),
        }
    }

    fn begin_frame(&mut self, id: u64) {
        self.close();
        self.together = Some(Together { start: self.bytes.len(), next: id.wrapping_add(1), count: 1 });
        self.bytes.extend_from_slice(&[0; frame::PREFIX]);
        self.bytes.extend_from_slice(&[0xdc, 0, 0]);
        pack::nil(&mut self.bytes);
        pack::uint(&mut self.bytes, id);
    }

    /// Keeps no more memory than that, if nothing is here.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.bytes.is_empty() && self.bytes.capacity() > most {
            self.bytes = Vec::new();
        }
    }

    /// Lets `send` send what there is; whether nothing is left.
    pub(super) fn send(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        self.close();
        while self.sent < self.bytes.len() {
            match send(&self.bytes[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What has been sent is forgotten once it is half of the buffer.
                    if self.sent * 2 > self.bytes.len() {
                        self.bytes.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = Vec::new();
        }
        Ok(true)
    }
}
