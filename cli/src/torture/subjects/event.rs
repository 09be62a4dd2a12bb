//! `Event`: while it is set nobody waits, and no signal goes down with the one it was meant for.

use procshare::{AtomicArray, Event, Handle, Lifetime, Reset, Space};

use super::ledger;
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// How many clears of the gate have begun, and how many have ended.
const BEGUN: usize = 0;
const ENDED: usize = 1;
/// How often the baton was passed.
const PASSED: usize = 2;
/// How often it was taken.
const TAKEN: usize = 3;

/// A gate that stays open until it is cleared, and a baton that one waiter gets.
pub(in crate::torture) struct EventSubject {
    gate: Event,
    baton: Event,
    ledger: AtomicArray<u64>,
}

type Plan = (Handle<Event>, Handle<Event>, Handle<AtomicArray<u64>>);

impl Stage for EventSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let event = |reset| Event::builder().space(space).lifetime(Lifetime::Scoped).anonymous_with(reset);
        Ok(EventSubject {
            gate: event(Reset::Manual)?,
            baton: event(Reset::Auto)?,
            ledger: ledger(space, 4)?,
        })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (gate, baton, ledger): Plan = serde_json::from_str(plan)?;
        Ok(EventSubject { gate: gate.attach()?, baton: baton.attach()?, ledger: ledger.attach()? })
    }
}

impl EventSubject {
    fn pass_baton(&self) -> Turn {
        // Before: whoever takes it has been passed it by the time it counts.
        self.ledger.add(PASSED, 1)?;
        Ok(self.baton.set()?)
    }

    fn sleep(&self, actor: &mut Actor) -> Turn {
        // The holder is the first in the row: the signal meets its remains.
        actor.announce()?;
        if actor.choose(2) == 0 {
            self.gate.wait()?;
            return actor.granted();
        }
        self.baton.wait()?;
        actor.granted()?;
        self.pass_baton()
    }

    fn wait_at_gate(&self, actor: &mut Actor) -> Turn {
        // In this order: if the two are equal, nobody is clearing it.
        let ended = self.ledger.get(ENDED)?;
        let nobody_clears = || Ok::<_, Stop>(self.ledger.get(BEGUN)? == ended);
        let set = nobody_clears()? && self.gate.is_set();
        let patience = actor.patience();
        let passed = self.gate.wait_timeout(patience)?;
        if set && !passed && nobody_clears()? {
            broken!("a wait at a set event timed out after {patience:?}");
        }
        if passed { Ok(()) } else { Err(Stop::Again) }
    }
}

impl Subject for EventSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.gate, &self.baton, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.sleep(actor);
        }
        match actor.choose(6) {
            0 => {
                actor.inside()?;
                self.gate.set()?;
            }
            1 => {
                self.ledger.add(BEGUN, 1)?;
                self.gate.clear()?;
                self.ledger.add(ENDED, 1)?;
            }
            2 | 3 => self.wait_at_gate(actor)?,
            4 => self.pass_baton()?,
            _ => {
                if !self.baton.wait_timeout(actor.patience())? {
                    return Err(Stop::Again);
                }
                self.ledger.add(TAKEN, 1)?;
            }
        }
        Ok(())
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (passed, taken) = (self.ledger.get(PASSED)?, self.ledger.get(TAKEN)?);
        if taken > passed {
            broken!("the baton was taken {taken} times, and passed {passed} times");
        }
        // Whoever died in the middle does not clear any more.
        self.ledger.set(ENDED, self.ledger.get(BEGUN)?)?;
        self.gate.set()?;
        if !self.gate.is_set() || !self.gate.try_wait()? {
            broken!("a set event is not set");
        }
        self.gate.clear()?;
        if self.gate.is_set() || self.gate.try_wait()? {
            broken!("a cleared event is set");
        }
        // What the dead were granted and did not take comes to the next, one by one.
        let mut inherited = 0;
        while self.baton.try_wait()? {
            inherited += 1;
            if inherited > 1 + calm.fresh_deaths {
                broken!("{inherited} signals are left, of one and {} dead", calm.fresh_deaths);
            }
        }
        self.baton.set()?;
        if !self.baton.try_wait()? || self.baton.try_wait()? {
            broken!("a signal was not there exactly once");
        }
        Ok(())
    }

    fn prepare(&self, _board: &Board) -> Turn {
        self.gate.clear()?;
        Ok(self.baton.clear()?)
    }

    fn aftermath(&self, variant: u64) -> Turn {
        if variant.is_multiple_of(2) { Ok(self.gate.set()?) } else { self.pass_baton() }
    }
}
