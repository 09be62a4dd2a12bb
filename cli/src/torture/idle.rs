//! What sleeping costs.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::arena::Arena;
use super::board::{Board, Cell, Kind};
use super::crew::Crew;
use super::subject::Entry;
use super::worker::Plan;

/// Processes with so many threads each.
const PROCESSES: usize = 8;
const THREADS: usize = 8;
/// Until all are fast asleep.
const SETTLE: Duration = Duration::from_secs(2);
/// How long is measured.
const MEASURE: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(20);

/// How many sleep.
pub(super) const SLEEPERS: usize = PROCESSES * THREADS;

/// The share of one processor that all sleepers together use, in percent; `None` if nobody can wait for the object.
pub(super) fn measure(entry: &Entry, arena: &Arena) -> Result<Option<f64>> {
    let space = arena.space(&format!("{}-idle", entry.name))?;
    let subject = (entry.set)(&space, SLEEPERS + 1)?;
    if !subject.sleeps() {
        return Ok(None);
    }
    let board = Board::new(&space, PROCESSES + 1)?;
    let mut plan = Plan {
        parent: std::process::id() as i32,
        object: entry.name.into(),
        handles: subject.plan()?,
        board: board.handle(),
        log: arena.log(),
        seed: 0,
        threads: 1,
    };
    // The holder is the last one, in a crew of its own, so that its time does not count.
    let mut holder = Crew::new(&board, serde_json::to_string(&plan)?)?;
    plan.threads = THREADS;
    let mut sleepers = Crew::new(&board, serde_json::to_string(&plan)?)?;
    holder.start(PROCESSES)?;
    (0..PROCESSES).try_for_each(|row| sleepers.start(row))?;
    // The way in which waiters sleep in the object itself, where there is more than one.
    let phase = board.begin(Kind::Probe, PROCESSES, 1)?;
    let waiting = |row| board.get(row, Cell::Waiting);
    let asleep = sleepers.wait_until("64 threads wait", LIMIT, |_| {
        let inside = board.get(phase.holder, Cell::Inside)? == phase.number;
        let all = (0..PROCESSES).map(waiting).sum::<procshare::Result<u64>>()? == SLEEPERS as u64;
        Ok(inside && all)
    })?;
    if let Err(hang) = asleep {
        bail!("{}: {}", entry.name, hang.0);
    }
    std::thread::sleep(SETTLE);
    let (before, started) = (sleepers.processor_time()?, Instant::now());
    std::thread::sleep(MEASURE);
    let (used, elapsed) = (sleepers.processor_time()? - before, started.elapsed());
    Ok(Some(100.0 * used.as_secs_f64() / elapsed.as_secs_f64()))
}
