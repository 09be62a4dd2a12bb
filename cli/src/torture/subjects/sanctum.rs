//! What mutual exclusion looks like from inside: who is there, and two counters that are equal whenever nobody is.

use procshare::AtomicArray;

use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stop, Turn, broken};

/// In so many visits after a death one mends nothing.
const UNMENDED: u64 = 3;

/// Three numbers of a ledger that only the owner of something touches.
pub(super) struct Sanctum<'a> {
    ledger: &'a AtomicArray<u64>,
    owner: usize,
}

impl<'a> Sanctum<'a> {
    /// How many numbers it takes.
    pub(super) const LEN: usize = 3;

    pub(super) fn new(ledger: &'a AtomicArray<u64>, first: usize) -> Self {
        Sanctum { ledger, owner: first }
    }

    /// Enters, works, leaves. `told` says whether the last owner is said to have died; then `mended` is called when all is
    /// whole again. Now and then it is left as it was found, for the next one to be told as well.
    pub(super) fn visit(&self, actor: &mut Actor, told: bool, mended: impl FnOnce() -> Turn) -> Turn {
        actor.granted()?;
        self.enter(actor, told)?;
        let (first, second) = self.counters()?;
        if told {
            if !actor.is_probe() && actor.below(UNMENDED) == 0 {
                // Half-done for certain: who is not told of it will complain.
                self.ledger.set(self.owner + 1, second + 1)?;
                self.leave(actor)?;
                return Err(Stop::Again);
            }
            self.ledger.set(self.owner + 2, first)?;
            mended()?;
            actor.told()?;
        } else if first != second {
            broken!("an owner left its work half-done ({first}, {second}), and nobody was told");
        }
        self.ledger.set(self.owner + 1, first + 1)?;
        actor.inside()?;
        self.ledger.set(self.owner + 2, first + 1)?;
        self.leave(actor)
    }

    /// Counts twice, with the work in between; mends first if the last owner is said to have died.
    pub(super) fn work(&self, actor: &mut Actor, told: bool) -> Turn {
        let (first, second) = self.counters()?;
        if !told && first != second {
            broken!("an owner left its work half-done ({first}, {second}), and nobody was told");
        }
        self.ledger.set(self.owner + 1, first + 1)?;
        actor.inside()?;
        Ok(self.ledger.set(self.owner + 2, first + 1)?)
    }

    /// Signs, and looks who is there already.
    pub(super) fn enter(&self, actor: &Actor, told: bool) -> Turn {
        let before = self.ledger.swap(self.owner, actor.token.to_word())?;
        if before != 0 && !actor.board.is_condemned(before)? {
            broken!("two at once: {before:#x} was inside, alive, when {:#x} entered", actor.token.to_word());
        }
        if before != 0 && !told {
            broken!("{before:#x} died inside, and nobody was told");
        }
        Ok(())
    }

    /// Looks from outside, where nobody may be inside.
    pub(super) fn spectate(&self, actor: &Actor, told: bool) -> Turn {
        let owner = self.ledger.get(self.owner)?;
        if owner != 0 && !actor.board.is_condemned(owner)? {
            broken!("{owner:#x} is inside, alive, while {:#x} looks", actor.token.to_word());
        }
        let (first, second) = self.counters()?;
        if !told && (owner != 0 || first != second) {
            broken!("an owner left its work half-done ({first}, {second}), and who looks was not told");
        }
        Ok(())
    }

    pub(super) fn leave(&self, actor: &Actor) -> Turn {
        let word = actor.token.to_word();
        match self.ledger.compare_exchange(self.owner, word, 0)? {
            Ok(_) => Ok(()),
            Err(other) => broken!("two at once: {other:#x} was inside when {word:#x} left"),
        }
    }

    /// What a survivor finds when nobody is there.
    pub(super) fn check(&self, calm: &Calm<'_>, told: bool) -> Turn {
        let owner = self.ledger.get(self.owner)?;
        let (first, second) = self.counters()?;
        if owner != 0 && !calm.board.is_condemned(owner)? {
            broken!("{owner:#x} has given it back, and is still inside");
        }
        if !told && (owner != 0 || first != second) {
            broken!("an owner left its work half-done ({first}, {second}), and the survivor was not told");
        }
        // The survivor mends, as everybody does.
        self.ledger.set(self.owner, 0)?;
        Ok(self.ledger.set(self.owner + 2, first)?)
    }

    fn counters(&self) -> procshare::Result<(u64, u64)> {
        Ok((self.ledger.get(self.owner + 1)?, self.ledger.get(self.owner + 2)?))
    }
}

/// Nobody may be told of more deaths than there were.
pub(super) fn check_told(calm: &Calm<'_>) -> Turn {
    let told = calm.board.sum(crate::torture::board::Cell::Told)?;
    if told > calm.deaths {
        broken!("{told} dead owners were told of, but only {} have died", calm.deaths);
    }
    Ok(())
}
