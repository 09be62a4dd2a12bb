//! Barrier.

use std::time::Duration;

use super::object::Object;
use super::timeout::Wait;
use crate::cause::Breakage;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::sync::BarrierError;

/// A place where so many clients of a manager wait for each other.
///
/// Whoever has waited here, or [joined](Self::join), has a seat: its death breaks the barrier for all, until somebody resets it.
pub struct Barrier {
    pub(super) object: Object,
}

/// What a [`Barrier`]'s `wait` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u64,
    leader: bool,
}

impl BarrierWaitResult {
    /// By the order of arrival, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// True for exactly one of the round: the last to arrive.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

/// What the server says to one that brings an action: its index, whether it leads, and the number of its turn if it has to act.
#[derive(serde::Deserialize)]
struct Arrived(u64, bool, #[serde(default)] Option<u64>);

/// Breaks the barrier unless it is forgotten: the action has failed, or panicked.
struct Failing<'a> {
    object: &'a Object,
    turn: u64,
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        // Waited for: whoever looks at the barrier afterwards sees it broken. If the connection is gone, it is broken by that.
        let _ = self.object.target().call("fail").arg(&self.turn).done();
    }
}

fn failure<E>(error: ManagerError) -> BarrierError<E> {
    let ManagerError::Broken { reason } = &error else { return BarrierError::Failed(error.into()) };
    BarrierError::Broken(match reason.as_str() {
        "left" => Breakage::Left,
        "timed-out" => Breakage::TimedOut,
        "aborted" => Breakage::Aborted,
        "failed" => Breakage::ActionFailed,
        "reset" => Breakage::Reset,
        _ => Breakage::Died,
    })
}

impl Barrier {
    pub(super) fn from_target(object: Object) -> Self {
        Barrier { object }
    }

    /// Waits until all are there.
    ///
    /// # Errors
    ///
    /// [`Broken`](crate::manager::ManagerError::Broken).
    pub fn wait(&self) -> ManagerResult<BarrierWaitResult> {
        self.wait_for(Wait::Never)
    }

    /// Waits for so long until all are there; if they are not, the barrier is broken for all.
    ///
    /// # Errors
    ///
    /// [`Broken`](crate::manager::ManagerError::Broken).
    pub fn wait_timeout(&self, timeout: Duration) -> ManagerResult<BarrierWaitResult> {
        self.wait_for(Wait::For(timeout))
    }

    fn wait_for(&self, wait: Wait) -> ManagerResult<BarrierWaitResult> {
        let (index, leader) = self.object.target().call("wait").arg(&wait.milliseconds()).run()?;
        Ok(BarrierWaitResult { index, leader })
    }

    /// Waits until all are there, and has the last of them, the leader, run its `action` before anybody leaves.
    ///
    /// All parties bring the same action. It may use the manager; who waits at this barrier inside of it waits for itself.
    ///
    /// ```
    /// use procshare::BarrierError;
    /// use procshare::manager::{Barrier, Manager};
    ///
    /// let manager = Manager::start()?;
    /// let barrier = Barrier::anonymous(&manager, 1)?;
    /// barrier.wait_with(|| Ok::<(), &str>(())).unwrap();
    /// let outcome = barrier.wait_with(|| Err("the disk is full"));
    /// assert!(matches!(outcome, Err(BarrierError::Action("the disk is full"))));
    /// assert!(barrier.is_broken()?);
    /// # Ok::<(), procshare::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BarrierError::Action`] with the action's error to the one that ran it, and [`BarrierError::Broken`] to all others;
    /// [`BarrierError::Failed`] if the server is gone.
    ///
    /// # Panics
    ///
    /// If the action does, in the thread that runs it; the barrier is broken then.
    pub fn wait_with<E>(
        &self,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.wait_and_act(Wait::Never, action)
    }

    /// [`wait_with`](Self::wait_with) and [`wait_timeout`](Self::wait_timeout) at once; the timeout does not interrupt an action.
    ///
    /// # Errors
    ///
    /// As [`wait_with`](Self::wait_with): a timeout that passes breaks the barrier for all, who are told [`Breakage::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`wait_with`](Self::wait_with).
    pub fn wait_with_timeout<E>(
        &self,
        timeout: Duration,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.wait_and_act(Wait::For(timeout), action)
    }

    fn wait_and_act<E>(
        &self,
        wait: Wait,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        let target = self.object.target();
        let arrived = target.call("arrive").arg(&wait.milliseconds()).run::<Arrived>().map_err(failure)?;
        let Arrived(index, leader, turn) = arrived;
        let Some(turn) = turn else { return Ok(BarrierWaitResult { index, leader }) };
        let failing = Failing { object: &self.object, turn };
        action().map_err(BarrierError::Action)?;
        std::mem::forget(failing);
        target.call("proceed").arg(&turn).done().map_err(failure)?;
        Ok(BarrierWaitResult { index, leader })
    }

    /// Takes a seat without waiting: from now on this client's death breaks the barrier.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn join(&self) -> ManagerResult<()> {
        self.object.target().call("join").done()
    }

    /// Gives the seat back.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn leave(&self) -> ManagerResult<()> {
        self.object.target().call("leave").done()
    }

    /// Breaks the barrier: all that wait, and all that come, get an error until it is reset.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn abort(&self) -> ManagerResult<()> {
        self.object.target().call("abort").done()
    }

    /// Makes it as new; whoever waits gets an error.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn reset(&self) -> ManagerResult<()> {
        self.object.target().call("reset").done()
    }

    /// How many it takes.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn parties(&self) -> ManagerResult<u64> {
        Ok(self.status()?.0)
    }

    /// How many wait; outdated as soon as it is told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn n_waiting(&self) -> ManagerResult<u64> {
        Ok(self.status()?.1)
    }

    /// Whether it is broken.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn is_broken(&self) -> ManagerResult<bool> {
        Ok(self.status()?.2.is_some())
    }

    fn status(&self) -> ManagerResult<(u64, u64, Option<String>)> {
        self.object.target().call("status").run()
    }
}

proxy!(Barrier, "barrier", (parties: u64));
