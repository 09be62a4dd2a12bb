//! How a worker is heard.

use serde::Serialize;

use super::message::{self, News, SHORT};
use crate::error::{Error, Result};
use crate::process::codec::encode_in;
use crate::queue::Producer;
use crate::sync::Event;

/// Whether something was said. The error is behind a pointer: there is none a million times over.
pub(in crate::process) type Said = std::result::Result<(), Box<Error>>;

/// What a worker says, and the bell it rings.
pub(super) struct Voice {
    says: Producer<u8>,
    bell: Event,
    /// What it is about to say.
    words: Vec<u8>,
}

impl Voice {
    pub(super) fn new(says: Producer<u8>, bell: Event) -> Self {
        Voice { says, bell, words: Vec::new() }
    }

    pub(super) fn ring(&self) -> Result<()> {
        self.bell.set()
    }

    /// Says a message whose payload `write` appends; what it returns is returned.
    pub(super) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>) -> News) -> Result<News> {
        self.words.clear();
        let news = message::add(&mut self.words, |words| {
            let news = write(words);
            (news, news)
        });
        self.say_words().map(|()| news)
    }

    /// Says a message that is a number.
    pub(super) fn say_number(&mut self, news: News, number: u64) -> Result<()> {
        self.words.clear();
        message::add_number(&mut self.words, news, number);
        self.say_words()
    }

    /// Says that a task returned `output`, or why that has no bytes; it is dropped before.
    #[inline]
    pub(super) fn say_returned<V: Serialize>(&mut self, output: V) -> Said {
        self.words.clear();
        let (words, mut error) = (&mut self.words, None);
        let write = |place: &mut [u8]| {
            message::write_short(place, |place| {
                let written = encode_in(&output, place, words);
                drop(output);
                written.unwrap_or_else(|unfit| {
                    error = Some(unfit);
                    None
                })
            })
        };
        match self.says.try_put_in_place(SHORT, write) {
            Ok(0) => {}
            Ok(_) => return Ok(()),
            Err(write) => drop(write(&mut [])),
        }
        self.say_long(error).map_err(Box::new)
    }

    /// Says that a task returned what the words are, unless there was an error.
    #[cold]
    fn say_long(&mut self, error: Option<postcard::Error>) -> Result<()> {
        let news = match error {
            None => News::Returned,
            Some(error) => {
                self.words.clear();
                self.words.extend_from_slice(error.to_string().as_bytes());
                News::UnfitOutput
            }
        };
        // Of a worker that dies in between, the head alone counts for nothing.
        put(&mut self.says, &self.bell, &message::head(news, self.words.len()))?;
        self.say_words()
    }

    /// Says all of the words.
    fn say_words(&mut self) -> Result<()> {
        put(&mut self.says, &self.bell, &self.words)
    }
}

/// Puts all of `words`: at once if there is room.
fn put(says: &mut Producer<u8>, bell: &Event, mut words: &[u8]) -> Result<()> {
    loop {
        words = &words[says.try_put_many(words)?..];
        if words.is_empty() {
            return Ok(());
        }
        // Nobody makes room who does not know that there is something.
        bell.set()?;
        drop(says.reserve_many(1)?);
    }
}
