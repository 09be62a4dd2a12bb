//! The process of one contender.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::Pid;
use procshare::{AtomicArray, Handle};
use serde::{Deserialize, Serialize};

use super::actor::{Actor, NAP, end_with_parent};
use super::board::{Board, Cell, Kind, Phase, Token};
use super::subject::{self, Subject};
use crate::args::TortureWorker;

/// What a contender must know.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) parent: i32,
    pub(super) object: String,
    pub(super) handles: String,
    pub(super) board: Handle<AtomicArray<u64>>,
    pub(super) log: PathBuf,
    pub(super) seed: u64,
    /// More than one only to sleep.
    pub(super) threads: usize,
}

/// Contends until the conductor says that it is over.
pub(super) fn run(args: &TortureWorker) -> Result<()> {
    let plan: Plan = serde_json::from_str(&args.plan).context("this is started by procshare torture")?;
    end_with_parent(Pid::from_raw(plan.parent));
    let entry = subject::find(&plan.object).context("no such object")?;
    let board = Board::attach(&plan.board)?;
    let subject = (entry.attach)(&plan.handles)?;
    let token = Token { row: args.row, incarnation: args.incarnation };
    if plan.threads > 1 {
        return sleep_with_threads(&plan, &board, &*subject, token);
    }
    let mut actor = Actor::new(board.clone(), token, plan.seed, &plan.log);
    board.set(token.row, Cell::Ready, token.incarnation)?;
    let mut probed = None;
    loop {
        let phase = board.phase()?;
        match phase.kind {
            Kind::Storm | Kind::Calm => {
                actor.fight(&*subject)?;
                continue;
            }
            Kind::Probe if probed != Some(phase) => {
                probed = Some(phase);
                if wait_for_holder(&board, token, phase)? {
                    board.set(token.row, Cell::Waiting, phase.number)?;
                    actor.probe(&*subject, phase)?;
                }
            }
            Kind::End => {
                actor.await_child()?;
                return Ok(());
            }
            Kind::Probe | Kind::Pause => {}
        }
        actor.await_child()?;
        board.set(token.row, Cell::Parked, phase.number)?;
        std::thread::sleep(NAP);
    }
}

/// Waits until the holder of the probe has the object; at once for the holder. `false` if the probe is over.
fn wait_for_holder(board: &Board, token: Token, phase: Phase) -> procshare::Result<bool> {
    while phase.holder != token.row && board.get(phase.holder, Cell::Inside)? != phase.number {
        if board.phase()? != phase {
            return Ok(false);
        }
        std::thread::sleep(NAP);
    }
    Ok(true)
}

/// Waits for the object with many threads, in one probe.
fn sleep_with_threads(plan: &Plan, board: &Board, subject: &dyn Subject, token: Token) -> Result<()> {
    board.set(token.row, Cell::Ready, token.incarnation)?;
    let phase = loop {
        match board.phase()? {
            phase if phase.kind == Kind::Probe => break phase,
            _ => std::thread::sleep(NAP),
        }
    };
    if !wait_for_holder(board, token, phase)? {
        return Ok(());
    }
    let sleep = || {
        let mut actor = Actor::new(board.clone(), token, plan.seed, &plan.log);
        board.add(token.row, Cell::Waiting, 1)?;
        actor.probe(subject, phase)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads).map(|_| scope.spawn(sleep)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => anyhow::bail!("a thread panicked"),
        })
    })
}
