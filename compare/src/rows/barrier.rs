//! A barrier's rounds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ours::refused;
use crate::contender::Contender;
use crate::crew::{Seat, Share, Workers, crew};
use crate::failure::{Failure, same};
use crate::pthread;
use crate::python::python;
use crate::row::{OURS, Placement, Row};
use crate::shared::{OwnLine, Shared};

/// A barrier as the row sees it.
trait Rounds: Sized + Send + Sync + 'static {
    fn new(parties: usize) -> Result<Self, Failure>;

    /// Waits for all; true for exactly one of them.
    fn wait(&self) -> Result<bool, Failure>;
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let row = |id, title, parties| {
        Row::new(id, title, Placement::Apart(parties))
            .with(rounds::<procshare::Barrier>(OURS, Workers::Processes))
            .with(rounds::<std::sync::Barrier>("std threads", Workers::Threads))
            .with(rounds::<pthread::Barrier>("pthread shared", Workers::Processes))
            .with(python("barrier"))
    };
    vec![
        row("barrier-apart", "Barrier round, 2 pinned apart", 2).goal(0.02, "std threads"),
        row("barrier-crowd", "Barrier round, 4 on 2 cores", 4).goal(0.1, "std threads"),
    ]
}

const MOST_PARTIES: usize = 8;

/// How often a worker looks where the others are: rarely, for reading their lines costs as much as a round.
const ROUNDS_BETWEEN_LOOKS: u64 = 256;

struct Track<B> {
    barrier: B,
    /// The round each worker last arrived for.
    arrived: Shared<[OwnLine<AtomicU64>; MOST_PARTIES]>,
    /// How often each worker was the leader.
    led: Shared<[OwnLine<AtomicU64>; MOST_PARTIES]>,
}

fn rounds<B: Rounds>(name: &'static str, workers: Workers) -> Box<dyn Contender> {
    crew(name, workers, Share::Every, Track::<B>::new, Track::run, |track, total| {
        let led = track.led.iter().map(|times| times.load(Ordering::Relaxed)).sum();
        same("rounds that had one leader", total, led)
    })
}

impl<B: Rounds> Track<B> {
    fn new(parties: usize) -> Result<Self, Failure> {
        Ok(Self {
            barrier: B::new(parties)?,
            arrived: Shared::new(Default::default())?,
            led: Shared::new(Default::default())?,
        })
    }

    fn run(&self, seat: Seat, rounds: u64) -> Result<(), Failure> {
        // Relaxed throughout: the barrier under test is what must order these words.
        let own = &self.arrived[seat.number];
        let before = own.load(Ordering::Relaxed);
        let mut led = 0;
        for round in before + 1..=before + rounds {
            own.store(round, Ordering::Relaxed);
            led += u64::from(self.barrier.wait()?);
            if round % ROUNDS_BETWEEN_LOOKS == 0 {
                self.look_round(seat, round)?;
            }
        }
        let times = &self.led[seat.number];
        times.store(times.load(Ordering::Relaxed) + led, Ordering::Relaxed);
        Ok(())
    }

    /// After round r everybody has arrived for r, and nobody got further than to wait for r + 1.
    fn look_round(&self, seat: Seat, round: u64) -> Result<(), Failure> {
        for other in &self.arrived[..seat.of] {
            let at = other.load(Ordering::Relaxed);
            if at != round + 1 {
                same("round of another party", round, at)?;
            }
        }
        Ok(())
    }
}

impl Rounds for procshare::Barrier {
    fn new(parties: usize) -> Result<Self, Failure> {
        Self::anonymous(parties as u32).map_err(refused)
    }

    fn wait(&self) -> Result<bool, Failure> {
        Ok(self.wait().map_err(refused)?.is_leader())
    }
}

impl Rounds for std::sync::Barrier {
    fn new(parties: usize) -> Result<Self, Failure> {
        Ok(Self::new(parties))
    }

    fn wait(&self) -> Result<bool, Failure> {
        Ok(self.wait().is_leader())
    }
}

impl Rounds for pthread::Barrier {
    fn new(parties: usize) -> Result<Self, Failure> {
        Self::new(parties)
    }

    fn wait(&self) -> Result<bool, Failure> {
        self.wait()
    }
}
