//! Where processes cannot be started yet.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::{Arrival, Ended, Greeting, Input, Request, Started};
use crate::time::Deadline;

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "processes can be started on Linux only")
}

/// A process that cannot be mistaken for another; there is none on this system.
#[derive(Debug)]
pub struct Sentinel(std::convert::Infallible);

impl Sentinel {
    pub(crate) fn of(_: u32) -> io::Result<Self> {
        Err(unsupported())
    }

    pub(crate) fn has_ended(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn wait(&self, _: Deadline) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn ask(&self, _: Request) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn reap(&self) -> Option<Ended> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Paper(std::convert::Infallible);

impl Paper {
    pub(crate) fn new() -> io::Result<Self> {
        Err(unsupported())
    }

    pub(crate) fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: u64, _: usize) -> io::Result<Vec<u8>> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Line(std::convert::Infallible);

impl Line {
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        Err(unsupported())
    }

    pub(crate) fn take_the_place_of_input(&self) {
        match self.0 {}
    }

    pub(crate) fn hang_up(&self) {
        match self.0 {}
    }

    pub(crate) fn hand_over(&self, _: &Paper, _: Input) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn let_go(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn may_go(&mut self) -> bool {
        match self.0 {}
    }

    pub(crate) fn say(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub(crate) fn listen(&self, _: &Sentinel, _: Deadline) -> io::Result<Greeting> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Bell(std::convert::Infallible);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Err(unsupported())
    }

    pub(crate) fn ring(&self) {
        match self.0 {}
    }
}

pub(crate) fn watch(bell: &Bell, _: &[&Sentinel]) -> Vec<bool> {
    match bell.0 {}
}

pub(crate) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

pub(crate) fn called_as_this(_: &mut Command) {}

pub(crate) fn start(_: &mut Command, _: &Paper, _: Input) -> io::Result<Started> {
    Err(unsupported())
}

pub(crate) fn arrive() -> Option<Arrival> {
    None
}

pub(crate) fn die_with(_: u32) -> bool {
    false
}

pub(crate) fn leave_session() {}

pub(crate) fn call_me(_: &str) {}

pub(crate) fn build_id() -> Option<Vec<u8>> {
    None
}

pub(crate) fn code_digest() -> Option<u64> {
    None
}
