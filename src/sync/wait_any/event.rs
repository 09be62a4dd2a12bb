//! Events among the things to wait for.

use super::source::{Announced, Attempt, Look, Source};
use crate::error::Result;
use crate::park::{AnyFutex, Expected};
use crate::sync::event::Event;
use crate::sync::event_word::Seen;
use crate::sync::waiters::{Full, Place};

/// A manual-reset event that somebody waits for.
pub(crate) struct ManualEvent<'a> {
    event: &'a Event,
    before: Seen,
}

impl<'a> ManualEvent<'a> {
    pub(crate) fn new(event: &'a Event) -> Self {
        ManualEvent { event, before: event.manual().look() }
    }
}

impl<'a> Source<'a> for ManualEvent<'a> {
    type Output = ();

    fn attempt(&mut self, _: Look) -> Result<Attempt<()>> {
        let happened = self.event.manual().happened_since(self.before);
        Ok(if happened { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        self.event.join("wait for it")?;
        let sleepers = self.event.manual().sleepers();
        // A set wakes all: no wake-up is spent on one instead of another.
        Ok(Announced::Sleep(sleepers.expect(sleepers.prepare())))
    }
}

/// An auto-reset event that somebody waits for.
pub(crate) struct AutoEvent<'a> {
    event: &'a Event,
    /// The waiter's place and the participant it belongs to.
    place: Option<(Place, u32)>,
}

impl<'a> AutoEvent<'a> {
    pub(crate) fn new(event: &'a Event) -> Self {
        AutoEvent { event, place: None }
    }
}

impl<'a> Source<'a> for AutoEvent<'a> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        let me = self.event.join("wait for it")?;
        let waiters = self.event.waiters(me);
        if look != Look::Quick && !waiters.roll.is_empty() {
            // One that was granted to somebody who is dead now is left to nobody else.
            waiters.sweep(self.place.is_some());
        }
        let taken = match self.place {
            None => waiters.take_signal(),
            Some((place, _)) => {
                !waiters.is_waiting(place) && {
                    self.place = None;
                    waiters.leave(place)
                }
            }
        };
        Ok(if taken { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let me = self.event.join("wait for it")?;
        let waiters = self.event.waiters(me);
        let place = match self.place {
            Some((place, _)) => place,
            None => {
                let place = waiters.register().map_err(|Full| self.event.too_many_waiters())?;
                self.place = Some((place, me));
                // A set that saw no waiter left its signal before; one that comes now sees this waiter.
                waiters.sweep(false);
                place
            }
        };
        Ok(match waiters.park(place) {
            Some((word, bits)) => Announced::Sleep(Expected { word: AnyFutex::Low(word), bits }),
            None => Announced::Again,
        })
    }
}

impl Drop for AutoEvent<'_> {
    fn drop(&mut self) {
        // In a forked child the place is the parent's.
        if let Some((place, owner)) = self.place.take()
            && self.event.me() == owner
        {
            self.event.waiters(owner).abandon(place);
        }
    }
}
