//! One thing to wait for, apart from how the waiting is done.
//!
//! Who waits *attempts*; if that fails it *announces*, attempts once more, and sleeps on the word that the announcement named,
//! together with others. Whatever was announced is *withdrawn* in the end: a wake-up or a grant that was spent on the waiter and
//! is not used goes to the next one.

use crate::error::{Error, Result};
use crate::park::Expected;
use crate::sync::wait::UNKNOWN_NS;
use crate::sys;

/// How hard to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// At the words.
    Quick,
    /// Also for the dead: a slice is over.
    Dead,
    /// Also for the dead, all of them: it is the last look.
    Last,
}

/// What an attempt brought.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// It is the caller's.
    Taken(T),
    /// Not now.
    NotYet,
    /// Never as long as the calling thread waits: it holds it itself.
    Own,
}

/// What there is to sleep on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Announced<'a> {
    /// This word.
    Sleep(Expected<'a>),
    /// Nothing: it was just let go of.
    Again,
    /// Nothing: only looking again tells.
    Poll,
}

/// Something to wait for, for the length of one call. Dropping it withdraws what is announced.
pub(crate) trait Source<'a> {
    /// What is got.
    type Output;

    /// Takes it, if that is possible without waiting.
    fn attempt(&mut self, look: Look) -> Result<Attempt<Self::Output>>;

    /// Announces a sleeper.
    fn announce(&mut self) -> Result<Announced<'a>>;
}

/// A source whose output is made into another.
pub(crate) struct Mapped<S, F> {
    pub(crate) source: S,
    pub(crate) map: F,
}

impl<'a, S: Source<'a>, T, F: FnMut(S::Output) -> T> Source<'a> for Mapped<S, F> {
    type Output = T;

    fn attempt(&mut self, look: Look) -> Result<Attempt<T>> {
        Ok(match self.source.attempt(look)? {
            Attempt::Taken(output) => Attempt::Taken((self.map)(output)),
            Attempt::NotYet => Attempt::NotYet,
            Attempt::Own => Attempt::Own,
        })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        self.source.announce()
    }
}

/// How long nobody could tell whether a holder lives.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    since_ns: Option<u64>,
}

impl Doubt {
    /// Notes what a look brought; an error once the doubt has lasted for some seconds.
    pub(crate) fn note(&mut self, unknown: Option<u32>, space: impl FnOnce() -> String) -> Result<()> {
        let Some(participant) = unknown else {
            self.since_ns = None;
            return Ok(());
        };
        let now = sys::monotonic_ns();
        if now - *self.since_ns.get_or_insert(now) < UNKNOWN_NS {
            return Ok(());
        }
        Err(Error::LivenessUnknown { space: space(), participant })
    }
}
