//! Both sides of a start, each without the other's process: for proofs, which kill either wherever it is.

use std::io;
use std::process::Command;

use super::builder::ProcessBuilder;
use super::child;
use super::codec;
use super::current::current_process;
use super::error::{Exit, TaskError};
use super::handle;
use super::order::Order;
use super::task::{Arguments, Task};
use crate::sys::children::{self, Greeting, Input, Line, Paper, Sentinel};
use crate::time::Deadline;

/// What a starter has ready for a process that runs the task, and hears of it.
#[derive(Debug)]
pub struct StartRehearsal {
    task: &'static str,
    paper: Paper,
    mine: Line,
    theirs: Line,
}

impl StartRehearsal {
    /// Does what a starter does but for the start: it has said that the other may begin.
    pub fn new<T: Task>(args: impl Arguments<T::Args>) -> io::Result<Self> {
        let paper = written::<T>(&args)?;
        let (mine, theirs) = Line::pair()?;
        mine.hand_over(&paper, Input::Null)?;
        mine.let_go()?;
        Ok(StartRehearsal { task: T::entry().name(), paper, mine, theirs })
    }

    /// Prepares a forked process for [`run`](Self::run).
    pub fn take_the_place(&self) {
        self.theirs.take_the_place_of_input();
    }

    /// Does what the started process does; returns its exit code.
    pub fn run(&self) -> Option<i32> {
        children::arrive().map(child::run)
    }

    /// What the starter finds once the started process is dead: whether it was greeted, and what came of the task.
    pub fn settle<T: Task>(&self) -> io::Result<(bool, Result<T::Output, TaskError>)> {
        self.theirs.hang_up();
        let greeting = self.mine.listen(&Sentinel::of(std::process::id())?, Deadline::Now)?;
        let is_greeted = matches!(greeting, Greeting::Said(text) if text == [child::YES]);
        Ok((is_greeted, handle::outcome(self.task, &self.paper, 0, Exit::Unknown)))
    }
}

/// A start without the keeper: by the calling thread.
#[derive(Debug)]
pub struct BareStart {
    paper: Paper,
    command: Command,
}

impl BareStart {
    /// Prepares it.
    pub fn new<T: Task>(args: impl Arguments<T::Args>) -> io::Result<Self> {
        let program = children::own_program()?;
        let mut command = ProcessBuilder::new().command(&program, T::entry());
        // What is copied and freed for the environment takes a way of its own each time.
        command.env_clear();
        Ok(BareStart { paper: written::<T>(&args)?, command })
    }

    /// Starts the process, and waits until it has taken over; tells whether it has. Nobody takes its status.
    pub fn start(&mut self) -> io::Result<bool> {
        let started = children::start(&mut self.command, &self.paper, Input::Null)?;
        let greeting = started.line.listen(&started.sentinel, Deadline::Never)?;
        Ok(matches!(greeting, Greeting::Said(text) if text == [child::YES]))
    }
}

fn written<T: Task>(args: &impl Arguments<T::Args>) -> io::Result<Paper> {
    let paper = Paper::new()?;
    let bytes = codec::written(|to| args.encode_all(to)).map_err(io::Error::other)?;
    let order = Order::new(T::entry(), "rehearsal".to_owned(), current_process().name().to_owned(), false);
    order.write(&bytes, &paper)?;
    Ok(paper)
}
