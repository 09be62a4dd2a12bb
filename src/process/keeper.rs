//! The thread that starts all children of this process and notices their ends.
//!
//! The kernel ends a child with the *thread* that started it, if the child asks for that. So one thread, which lives as long as
//! the process, starts them all; it also takes their statuses, so that none stays a zombie, whoever asks for it or not.

use std::io;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::error::Exit;
use crate::atomic::{AtomicU32, Ordering};
use crate::park;
use crate::sys::ProcessLock;
use crate::sys::children::{self, Bell, Input, Line, Paper, Request, Sentinel, Started};
use crate::time::Deadline;

/// How long a waiter sleeps before it looks by itself: wake-ups come from the keeper.
const SLICE_NS: u64 = 100_000_000;

/// A child of this process, or of the one it was forked from.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    pid: u32,
    parent: u32,
    sentinel: Sentinel,
    exit: OnceLock<Exit>,
    /// 0 until `exit` is set.
    ended: AtomicU32,
}

impl Child {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn sentinel(&self) -> &Sentinel {
        &self.sentinel
    }

    /// How it ended, once the keeper knows.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    /// The word that changes from 0 when it has ended.
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.ended
    }

    pub(super) fn is_alive(&self) -> bool {
        self.exit().is_none() && !self.sentinel.has_ended()
    }

    /// Whether the calling process started it.
    pub(super) fn is_mine(&self) -> bool {
        self.parent == std::process::id()
    }

    pub(super) fn ask(&self, request: Request) -> io::Result<()> {
        self.sentinel.ask(request)
    }

    /// Waits for its end.
    pub(super) fn wait(&self, deadline: Deadline) -> Option<Exit> {
        loop {
            if let Some(exit) = self.exit() {
                return Some(exit);
            }
            if deadline.is_over() {
                // Ended but not yet noted: that takes a moment, and no longer.
                if !self.sentinel.has_ended() {
                    return None;
                }
                park::wait(&self.ended, 0, Deadline::Never, SLICE_NS);
                continue;
            }
            park::wait(&self.ended, 0, deadline, SLICE_NS);
        }
    }

    fn note(&self, exit: Exit) {
        let _ = self.exit.set(exit);
        // Release: who sees the word changed finds the exit.
        self.ended.store(1, Ordering::Release);
        park::wake(&self.ended, park::ALL);
    }
}

/// What the keeper is asked for.
struct Wanted {
    command: Command,
    paper: Arc<Paper>,
    input: Input,
    name: String,
    on_end: Option<OnEnd>,
    reply: Sender<io::Result<(Arc<Child>, Line)>>,
}

/// Called by the keeper when a child has ended; must not block.
pub(super) type OnEnd = Box<dyn FnOnce() + Send>;

struct Keeper {
    owner: u32,
    bell: Bell,
    wanted: Mutex<Sender<Wanted>>,
    children: Mutex<Vec<Arc<Child>>>,
}

/// The keeper of this process, or of the one it was forked from. Used only under the process lock, so that a forked child never
/// finds it locked.
static KEEPER: Mutex<Option<Arc<Keeper>>> = Mutex::new(None);

/// The keeper of this process, if it has one.
fn existing() -> Option<Arc<Keeper>> {
    let _lock = ProcessLock::take();
    let keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    keeper.as_ref().filter(|keeper| keeper.owner == std::process::id()).cloned()
}

fn keeper() -> io::Result<Arc<Keeper>> {
    if let Some(keeper) = existing() {
        return Ok(keeper);
    }
    let (sender, receiver) = mpsc::channel();
    let made = Arc::new(Keeper {
        owner: std::process::id(),
        bell: Bell::new()?,
        wanted: Mutex::new(sender),
        children: Mutex::default(),
    });
    let found = {
        let _lock = ProcessLock::take();
        let mut keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
        match &*keeper {
            // Another thread was faster; its keeper may not run yet, but will.
            Some(found) if found.owner == made.owner => return Ok(Arc::clone(found)),
            _ => keeper.replace(Arc::clone(&made)),
        }
    };
    // A forked child forgets its parent's keeper without touching what that one's threads may have locked.
    std::mem::forget(found);
    let running = Arc::clone(&made);
    let started =
        std::thread::Builder::new().name("procshare children".into()).spawn(move || running.run(&receiver));
    if let Err(error) = started {
        let _lock = ProcessLock::take();
        *KEEPER.lock().unwrap_or_else(PoisonError::into_inner) = None;
        return Err(error);
    }
    Ok(made)
}

/// Starts a child; the keeper does.
pub(super) fn start(
    command: Command,
    paper: Arc<Paper>,
    input: Input,
    name: String,
    on_end: Option<OnEnd>,
) -> io::Result<(Arc<Child>, Line)> {
    let keeper = keeper()?;
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    keeper
        .wanted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Wanted { command, paper, input, name, on_end, reply })
        .map_err(|_| gone())?;
    keeper.bell.ring();
    answer.recv().map_err(|_| gone())?
}

/// The children of this process that have not ended.
pub(super) fn children() -> Vec<Arc<Child>> {
    let Some(keeper) = existing() else { return Vec::new() };
    let children = keeper.children.lock().unwrap_or_else(PoisonError::into_inner);
    children.iter().filter(|child| child.is_alive()).cloned().collect()
}

impl Keeper {
    fn run(&self, wanted: &Receiver<Wanted>) {
        let mut children: Vec<(Arc<Child>, Option<OnEnd>)> = Vec::new();
        loop {
            let sentinels: Vec<&Sentinel> = children.iter().map(|(child, _)| &child.sentinel).collect();
            let ended = children::watch(&self.bell, &sentinels);
            let mut ended = ended.into_iter();
            children.retain_mut(|(child, on_end)| {
                if !ended.next().unwrap_or(false) {
                    return true;
                }
                let Some(status) = child.sentinel.reap() else { return true };
                self.list(|list| list.retain(|listed| !Arc::ptr_eq(listed, child)));
                child.note(status.into());
                if let Some(on_end) = on_end.take() {
                    on_end();
                }
                false
            });
            while let Ok(wanted) = wanted.try_recv() {
                children.extend(self.start(wanted));
            }
        }
    }

    fn start(&self, wanted: Wanted) -> Option<(Arc<Child>, Option<OnEnd>)> {
        let Wanted { mut command, paper, input, name, on_end, reply } = wanted;
        match children::start(&mut command, &paper, input) {
            Ok(Started { pid, sentinel, line }) => {
                let child = Arc::new(Child {
                    name,
                    pid,
                    parent: self.owner,
                    sentinel,
                    exit: OnceLock::new(),
                    ended: AtomicU32::new(0),
                });
                self.list(|list| list.push(Arc::clone(&child)));
                let _ = reply.send(Ok((Arc::clone(&child), line)));
                Some((child, on_end))
            }
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    fn list(&self, change: impl FnOnce(&mut Vec<Arc<Child>>)) {
        change(&mut self.children.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
