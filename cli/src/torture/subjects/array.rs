//! `Array`: disjoint ranges never meet, and a dead owner's range is named.

use std::ops::Range;

use procshare::{Array, ArrayGuard, ArrayInit, AtomicArray, Error, Handle, Lifetime, LockError, Space};

use super::ledger;
use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// Elements that are locked, two by two: a pair is equal whenever nobody has it.
const PAIRS: usize = 16;
/// Elements that are counted up one by one, behind those.
const COUNTERS: Range<usize> = 2 * PAIRS..2 * PAIRS + 8;

/// The array, and for each pair its owner's token.
pub(in crate::torture) struct ArraySubject {
    array: Array<u64>,
    ledger: AtomicArray<u64>,
}

impl Stage for ArraySubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let init = ArrayInit::filled(COUNTERS.end, 0);
        let array = Array::builder().space(space).lifetime(Lifetime::Scoped).anonymous(init)?;
        Ok(ArraySubject { array, ledger: ledger(space, PAIRS)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (array, ledger): (Handle<Array<u64>>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(ArraySubject { array: array.attach()?, ledger: ledger.attach()? })
    }
}

/// The pairs that lie in a range of elements.
fn pairs(range: &Range<usize>) -> Range<usize> {
    range.start / 2..range.end.div_ceil(2).min(PAIRS)
}

impl ArraySubject {
    /// Locks a range, or the wider one that a dead owner left torn.
    fn lock(&self, range: Range<usize>) -> Turn<(ArrayGuard<'_, u64>, bool)> {
        let mut range = range;
        loop {
            let guard = match self.array.lock(range.clone()) {
                Ok(guard) => return Ok((guard, false)),
                Err(LockError::OwnerDied(died)) => died.into_guard(),
                Err(error) => return Err(error.into()),
            };
            let Some(torn) = guard.torn() else {
                broken!("told of a dead owner, but no range is torn");
            };
            if torn.start >= range.start && torn.end <= range.end {
                return Ok((guard, true));
            }
            range = torn.start.min(range.start)..torn.end.max(range.end);
        }
    }

    /// Makes what a dead owner left whole again; `false` if it reaches further.
    fn mend(guard: &mut ArrayGuard<'_, u64>) -> Turn<bool> {
        let range = guard.range();
        for pair in pairs(&range) {
            let at = 2 * pair - range.start;
            guard[at + 1] = guard[at];
        }
        match guard.make_consistent() {
            Ok(()) => Ok(true),
            Err(Error::RangeOwnerDied { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn hold(&self, actor: &mut Actor, range: Range<usize>) -> Turn {
        let (mut guard, told) = self.lock(range)?;
        actor.granted()?;
        let range = guard.range();
        let word = actor.token.to_word();
        for pair in pairs(&range) {
            let before = self.ledger.swap(pair, word)?;
            if before != 0 && !actor.board.is_condemned(before)? {
                broken!("two at once: {before:#x} had pair {pair}, alive, when {word:#x} got it");
            }
            if before != 0 && !told {
                broken!("{before:#x} died with pair {pair}, and nobody was told");
            }
            let at = 2 * pair - range.start;
            if !told && guard[at] != guard[at + 1] {
                broken!("pair {pair} was left half-done, and nobody was told");
            }
        }
        if told && Self::mend(&mut guard)? {
            actor.told()?;
        }
        for pair in pairs(&range) {
            guard[2 * pair - range.start] += 1;
        }
        actor.inside()?;
        for pair in pairs(&range) {
            guard[2 * pair - range.start + 1] += 1;
            if self.ledger.swap(pair, 0)? != word {
                broken!("two at once: somebody else had pair {pair}");
            }
        }
        Ok(())
    }

    /// Counts one element up, alone.
    fn count(&self, actor: &mut Actor, index: usize) -> Turn {
        match self.array.update(index, |count| *count += 1) {
            Ok(()) => actor.done(),
            Err(Error::RangeOwnerDied { start, end, .. }) if start >= COUNTERS.start => {
                let (mut guard, told) = self.lock(start..end)?;
                if told && Self::mend(&mut guard)? {
                    actor.told()?;
                }
                Err(Stop::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Copies a pair out: as it was at one instant.
    fn read(&self, pair: usize) -> Turn {
        let mut copy = [0; 2];
        match self.array.read(2 * pair, &mut copy) {
            Ok(()) if copy[0] != copy[1] => broken!("pair {pair} was read as {copy:?}"),
            Ok(()) | Err(Error::RangeOwnerDied { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Subject for ArraySubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.array, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            let pair = actor.choose(PAIRS as u64 - 2) as usize;
            return self.hold(actor, 2 * pair..2 * pair + 4);
        }
        match actor.choose(6) {
            0..3 => {
                let first = actor.choose(PAIRS as u64) as usize;
                let count = 1 + actor.choose(4) as usize;
                self.hold(actor, 2 * first..2 * (first + count).min(PAIRS))
            }
            3 | 4 => {
                let index = COUNTERS.start + actor.choose(COUNTERS.len() as u64) as usize;
                self.count(actor, index)
            }
            _ => {
                let pair = actor.choose(PAIRS as u64) as usize;
                self.read(pair)
            }
        }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (mut guard, told) = self.lock(0..COUNTERS.end)?;
        if told && !Self::mend(&mut guard)? {
            broken!("the whole array cannot be mended");
        }
        for pair in 0..PAIRS {
            let owner = self.ledger.swap(pair, 0)?;
            if owner != 0 && (!told || !calm.board.is_condemned(owner)?) {
                broken!("{owner:#x} still has pair {pair}");
            }
            if guard[2 * pair] != guard[2 * pair + 1] {
                broken!("pair {pair} is half-done, and the survivor was not told");
            }
        }
        calm.count("steps of single elements", guard[COUNTERS].iter().sum())?;
        drop(guard);
        let told = calm.board.sum(crate::torture::board::Cell::Told)?;
        if told > calm.deaths {
            broken!("{told} torn ranges were mended, but only {} have died", calm.deaths);
        }
        Ok(())
    }
}
