//! Arguments of many tasks, written one behind the other.

use super::message::{self, News, SHORT};
use crate::process::codec::Page;

/// Messages, and perhaps room behind them: what is written a byte at a time is written where it stays.
#[derive(Default)]
pub(super) struct Sheet {
    bytes: Vec<u8>,
    /// Where the next message begins.
    end: usize,
}

impl Sheet {
    /// The messages, one behind the other.
    #[inline]
    pub(super) fn messages(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Adds a usual message whose payload `write` writes; after an error nothing was added.
    #[inline]
    pub(super) fn add(
        &mut self,
        write: impl FnOnce(&mut Page<'_>) -> postcard::Result<()>,
    ) -> postcard::Result<()> {
        let start = self.end + 1;
        if self.bytes.len() < start {
            self.bytes.resize(start, 0);
        }
        let mut page = Page::new(&mut self.bytes, start);
        write(&mut page)?;
        let (end, len) = (page.at(), page.at() - start);
        if len >= SHORT {
            self.lengthen_head(len);
            return Ok(());
        }
        self.bytes[self.end] = len as u8;
        self.end = end;
        Ok(())
    }

    /// Makes the byte in front of a payload of `len` bytes a head that can say so.
    #[cold]
    fn lengthen_head(&mut self, len: usize) {
        self.bytes.truncate(self.end + 1 + len);
        self.bytes.splice(self.end..=self.end, message::head(News::Returned, len));
        self.end = self.bytes.len();
    }
}

/// Messages that were written elsewhere.
impl From<Vec<u8>> for Sheet {
    fn from(bytes: Vec<u8>) -> Self {
        Sheet { end: bytes.len(), bytes }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::message::at;
    use super::*;

    #[test]
    fn payloads_of_any_length_are_messages_one_behind_the_other() {
        let lens = [0, 1, SHORT - 3, SHORT - 2, SHORT - 1, SHORT, 70_000, 2, 0];
        let payload = |len: usize| "x".repeat(len);
        let mut sheet = Sheet::default();
        for round in 0..3 {
            for len in lens {
                sheet.add(|page| page.write(&payload(len))).unwrap();
            }
            let refused =
                sheet.add(|page| page.write(&payload(300)).and(Err(postcard::Error::WontImplement)));
            assert!(refused.is_err(), "round {round}");
        }
        sheet = Sheet::from(sheet.messages().to_vec());
        sheet.add(|page| page.write(&(payload(5), 6u8))).unwrap();
        let mut next = 0;
        let mut message = || {
            let message = at(sheet.messages(), next).unwrap().unwrap();
            next = message.end;
            message
        };
        for len in lens.into_iter().cycle().take(3 * lens.len()) {
            assert_eq!(postcard::from_bytes::<String>(message().payload).unwrap(), payload(len));
        }
        assert_eq!(postcard::from_bytes::<(String, u8)>(message().payload).unwrap(), (payload(5), 6));
        assert_eq!(next, sheet.messages().len());
    }
}
