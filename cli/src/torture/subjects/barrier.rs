//! `Barrier`: nobody passes without the others, a death breaks it, a reset heals it.

use std::cell::OnceCell;

use procshare::{
    AtomicArray, Barrier, BarrierError, BarrierSeat, BarrierWaitResult, Breakage, Error, Handle, Lifetime,
    Space,
};

use super::ledger;
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// How many rounds were completed.
const TRIPS: usize = 0;
/// Who passed in a round: a bit for each seat, and the leader. Two rounds are remembered.
const PASSED: [usize; 2] = [1, 2];
const LEADERS: [usize; 2] = [3, 4];

pub(in crate::torture) struct BarrierSubject {
    barrier: Barrier,
    ledger: AtomicArray<u64>,
}

thread_local! {
    /// This thread's seat, kept to the end.
    static SEAT: OnceCell<BarrierSeat> = const { OnceCell::new() };
}

impl Stage for BarrierSubject {
    fn set(space: &Space, contenders: usize) -> procshare::Result<Self> {
        let barrier =
            Barrier::builder().space(space).lifetime(Lifetime::Scoped).anonymous(contenders as u32)?;
        Ok(BarrierSubject { barrier, ledger: ledger(space, 5)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (barrier, ledger): (Handle<Barrier>, Handle<AtomicArray<u64>>) = serde_json::from_str(plan)?;
        Ok(BarrierSubject { barrier: barrier.attach()?, ledger: ledger.attach()? })
    }
}

impl BarrierSubject {
    /// Heals it, if it still needs that.
    fn heal(&self) -> Turn {
        if self.barrier.is_broken() {
            self.barrier.reset()?;
        }
        Ok(())
    }

    fn with_seat<R>(&self, then: impl FnOnce(&BarrierSeat) -> Turn<R>) -> Turn<R> {
        SEAT.with(|seat| match seat.get() {
            Some(seat) => then(seat),
            None => match self.barrier.join() {
                Ok(taken) => then(seat.get_or_init(|| taken)),
                // A dead one has it.
                Err(Error::BarrierBroken { .. }) => self.heal().and(Err(Stop::Again)),
                Err(error) => Err(error.into()),
            },
        })
    }

    /// Waits for the others. The leader counts, before anybody leaves.
    fn wait(&self, seat: &BarrierSeat) -> Result<BarrierWaitResult, BarrierError<Error>> {
        seat.wait_with(|| {
            let trip = self.ledger.add(TRIPS, 1)? + 1;
            let next = ((trip + 1) % 2) as usize;
            self.ledger.set(PASSED[next], 0)?;
            self.ledger.set(LEADERS[next], 0)
        })
    }

    /// What must be so after a wait that succeeded, when `before` rounds were complete at its beginning.
    fn look(&self, before: u64, result: BarrierWaitResult) -> Turn {
        let trips = self.ledger.get(TRIPS)?;
        if trips != before + 1 {
            broken!("{} rounds were completed while one waited for one", trips - before);
        }
        let place = (trips % 2) as usize;
        if result.index() < 64 {
            let bit = 1u64 << result.index();
            let passed = self.ledger.at(PASSED[place])?.fetch_or(bit)?;
            if passed & bit != 0 {
                broken!("two passed with the number {}", result.index());
            }
        }
        if result.is_leader() && self.ledger.add(LEADERS[place], 1)? != 0 {
            broken!("two leaders");
        }
        Ok(())
    }

    fn pass(&self, actor: &mut Actor, seat: &BarrierSeat) -> Turn {
        let before = self.ledger.get(TRIPS)?;
        match self.wait(seat) {
            Ok(result) => self.look(before, result),
            Err(BarrierError::Broken(breakage)) => {
                actor.granted()?;
                if breakage == Breakage::Died && actor.board.deaths()? + self.condemned(actor)? == 0 {
                    broken!("broken by a death, and nobody has died");
                }
                self.heal()?;
                // In a probe, that was what it waited for.
                if actor.is_probe() { Ok(()) } else { Err(Stop::Again) }
            }
            Err(BarrierError::Action(error) | BarrierError::Failed(error)) => Err(error.into()),
            Err(error) => broken!("a wait without a timeout ended otherwise: {error}"),
        }
    }

    fn condemned(&self, actor: &Actor) -> procshare::Result<u64> {
        actor.board.sum(crate::torture::board::Cell::Condemned)
    }
}

impl Subject for BarrierSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.barrier, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        self.with_seat(|seat| {
            if actor.is_holder() {
                return actor.inside();
            }
            self.pass(actor, seat)
        })
    }

    fn check(&self, _calm: &Calm<'_>) -> Turn {
        self.barrier.reset()?;
        if self.barrier.is_broken() {
            broken!("broken right after a reset");
        }
        if self.barrier.n_waiting() != 0 {
            broken!("{} wait who are not there", self.barrier.n_waiting());
        }
        self.barrier.abort()?;
        if !self.barrier.is_broken() {
            broken!("not broken after abort");
        }
        Ok(self.barrier.reset()?)
    }

    fn prepare(&self, _board: &Board) -> Turn {
        Ok(self.barrier.reset()?)
    }

    fn part(&self) -> Turn {
        Ok(self.barrier.abort()?)
    }

    fn forks(&self) -> bool {
        // There are as many seats as contenders.
        false
    }
}
