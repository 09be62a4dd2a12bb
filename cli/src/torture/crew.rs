//! The processes: started, stopped, killed, buried.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::board::{Board, Cell};

/// How often the conductor looks at the board.
const LOOK: Duration = Duration::from_micros(300);

/// The contenders' processes; a row of the board each.
pub(super) struct Crew {
    executable: PathBuf,
    plan: String,
    board: Board,
    members: Vec<Member>,
    incarnation: u64,
}

struct Member {
    child: Option<Child>,
    incarnation: u64,
    stopped: bool,
}

/// Whatever was waited for did not come in time.
#[derive(Debug)]
pub(super) struct Hang(pub(super) String);

impl Crew {
    /// No processes yet.
    pub(super) fn new(board: &Board, plan: String) -> Result<Self> {
        let none = || Member { child: None, incarnation: 0, stopped: false };
        Ok(Crew {
            executable: std::env::current_exe().context("cannot find this program to start contenders")?,
            plan,
            board: board.clone(),
            members: (0..board.contenders()).map(|_| none()).collect(),
            incarnation: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Starts the contender of a row.
    pub(super) fn start(&mut self, row: usize) -> Result<()> {
        self.incarnation += 1;
        let child = Command::new(&self.executable)
            .arg("torture-worker")
            .arg(row.to_string())
            .arg(self.incarnation.to_string())
            .arg(&self.plan)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start a contender ({})", self.executable.display()))?;
        self.members[row] = Member { child: Some(child), incarnation: self.incarnation, stopped: false };
        Ok(())
    }

    /// Starts all that do not run.
    pub(super) fn fill(&mut self) -> Result<()> {
        (0..self.len())
            .filter(|&row| self.members[row].child.is_none())
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|row| self.start(row))
    }

    /// Whether the contender has attached to everything.
    pub(super) fn is_ready(&self, row: usize) -> Result<bool> {
        Ok(self.board.get(row, Cell::Ready)? == self.members[row].incarnation)
    }

    fn pid(&self, row: usize) -> Option<Pid> {
        self.members[row].child.as_ref().map(|child| Pid::from_raw(child.id() as i32))
    }

    /// Stops the contender, wherever it is.
    pub(super) fn stop(&mut self, row: usize) {
        if let Some(pid) = self.pid(row) {
            // A child that was not waited for: the id is its own.
            let _ = kill(pid, Signal::SIGSTOP);
            self.members[row].stopped = true;
        }
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self, row: usize) {
        if let Some(pid) = self.pid(row) {
            let _ = kill(pid, Signal::SIGCONT);
            self.members[row].stopped = false;
        }
    }

    pub(super) fn is_stopped(&self, row: usize) -> bool {
        self.members[row].stopped
    }

    /// Announces a kill, and kills.
    pub(super) fn kill(&mut self, row: usize) -> Result<()> {
        self.board.condemn(row, self.members[row].incarnation)?;
        // Its forked child goes with it.
        self.board.condemn(row + self.len(), u64::MAX >> 16)?;
        self.board.kill_now()?;
        if let Some(child) = &mut self.members[row].child {
            child.kill()?;
        }
        Ok(())
    }

    /// Waits until the killed one is gone, and its forked child with it.
    pub(super) fn bury(&mut self, row: usize) -> Result<()> {
        if let Some(mut child) = self.members[row].child.take() {
            child.wait()?;
        }
        self.board.bury(row)?;
        let child_row = row + self.len();
        let serial = self.board.get(child_row, Cell::Serial)?;
        match self.board.get(child_row, Cell::Process)? {
            0 => {}
            pid => {
                // Adopted by this process, as its subreaper, unless its parent has waited for it.
                let pid = Pid::from_raw(pid as i32);
                let _ = kill(pid, Signal::SIGKILL);
                while waitpid(pid, None) == Err(Errno::EINTR) {}
                self.board.bury(child_row)?;
                self.board.set(child_row, Cell::Process, 0)?;
            }
        }
        self.reap_strays()?;
        self.board.condemn(child_row, serial).map_err(Into::into)
    }

    /// Forked children that had not even written down who they are.
    fn reap_strays(&self) -> Result<()> {
        // One by one, and never the contenders, for which `Child` waits.
        let children = std::fs::read_to_string(format!("/proc/self/task/{}/children", Pid::this()));
        let own: Vec<_> = (0..self.len()).filter_map(|row| self.pid(row)).collect();
        for pid in children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let pid = Pid::from_raw(pid);
            if !own.contains(&pid) && self.is_mine(pid) {
                let _ = kill(pid, Signal::SIGKILL);
                while waitpid(pid, None) == Err(Errno::EINTR) {}
            }
        }
        Ok(())
    }

    /// Whether an adopted child runs this program for this board; another thread of this process may have children, too.
    fn is_mine(&self, pid: Pid) -> bool {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(self.plan.len()).any(|part| part == self.plan.as_bytes())
    }

    /// Looks again and again until `is_so` says yes; a hang after `limit`, and when a contender has died by itself.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<Result<(), Hang>> {
        let deadline = Instant::now() + limit;
        while !is_so(self)? {
            if let Some(text) = self.accident()? {
                return Ok(Err(Hang(text)));
            }
            if Instant::now() >= deadline {
                return Ok(Err(Hang(format!("{what}: not within {limit:?}; {}", self.whereabouts()))));
            }
            std::thread::sleep(LOOK);
        }
        Ok(Ok(()))
    }

    /// A contender that has ended although nobody killed it.
    fn accident(&mut self) -> Result<Option<String>> {
        for (row, member) in self.members.iter_mut().enumerate() {
            if self.board.get(row, Cell::Condemned)? < member.incarnation
                && let Some(child) = &mut member.child
                && let Some(status) = child.try_wait()?
            {
                return Ok(Some(format!("a contender ended by itself ({status})")));
            }
        }
        Ok(None)
    }

    /// What each process does, as far as the system tells.
    fn whereabouts(&self) -> String {
        let mut text = String::new();
        for row in 0..self.len() {
            let Some(pid) = self.pid(row) else { continue };
            let read =
                |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or(" ?").trim();
            let parked = self.board.get(row, Cell::Parked).unwrap_or_default();
            text += &format!("[{row}: {state}, wchan {}, parked in {parked}] ", read("wchan"));
        }
        text
    }

    /// Processor time of all contenders so far.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let mut total = 0;
        for pid in (0..self.len()).filter_map(|row| self.pid(row)) {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                // Nanoseconds on a processor, nanoseconds waiting for one, slices.
                let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
                total += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(Duration::from_nanos(total))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for row in 0..self.len() {
            if let Some(child) = &mut self.members[row].child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let _ = self.reap_strays();
    }
}
