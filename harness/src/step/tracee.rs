//! A forked process under ptrace: Linux, x86-64.

use crate::proc;
use crate::symbol::Trail;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the next instruction is, as far as stepping must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insn {
    Plain,
    Syscall,
    /// A repeated string instruction of this length: the step flag traps after each repetition.
    Repeat(u64),
    /// `int3`: the markers round the operation.
    Marker,
}

/// Instructions by address. Good for one run: all victims are forks of one process.
pub(super) type Text = HashMap<u64, Insn>;

/// How a traced process stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Stopped where it was to stop.
    Stopped,
    /// Stopped at a marker.
    Marker,
    /// Not stopped: it sleeps, or naps so much that patience is over.
    Asleep,
    /// Not stopped: it neither reached its place nor slept in the time it had.
    Overdue,
    /// Gone, with this wait status.
    Gone(i32),
}

/// How much sleep a victim is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Time seen sleeping in the kernel so far.
    pub(super) slept: Duration,
    /// More than this is asleep.
    pub(super) limit: Duration,
    /// Time for a single run or step.
    pub(super) overdue: Duration,
}

impl Patience {
    pub(super) fn over(&self) -> bool {
        self.slept >= self.limit
    }
}

/// A traced child; killed and reaped on drop.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: libc::pid_t,
    rip: u64,
    /// Told to go on and not seen to stop since: registers cannot be read.
    running: bool,
    /// The instruction after a repeated one whose first repetition has been taken.
    past_repeat: Option<u64>,
    /// A breakpoint in the code, with the word it replaced.
    planted: Option<(u64, u64)>,
    /// A signal to hand over with the next step.
    signal: i32,
    gone: bool,
}

/// Byte offsets in the kernel's `struct user`.
const RIP: usize = 16 * 8;
const RSP: usize = 19 * 8;
const RAX: usize = 10 * 8;
const DEBUG_0: usize = std::mem::offset_of!(libc::user, u_debugreg);
const DEBUG_7: usize = DEBUG_0 + 7 * 8;
/// `int3`.
const BREAK: u8 = 0xcc;
/// A process that sleeps no longer than this is not even looked at.
const NAP: Duration = Duration::from_micros(500);

/// Stops the calling, traced process; the tracer knows the place by its instruction.
#[inline(never)]
pub(super) fn marker() {
    // SAFETY: a breakpoint trap changes no register or memory; the caller is traced, so nobody dies of it.
    unsafe { std::arch::asm!("int3") };
}

/// Declares the calling process traced by its parent.
pub(super) fn accept_tracing() -> std::io::Result<()> {
    // SAFETY: PTRACE_TRACEME takes no further arguments.
    let got = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    if got == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

impl Tracee {
    /// Takes charge of a forked child that will call [`accept_tracing`] and [`marker`].
    pub(super) fn new(pid: libc::pid_t) -> Self {
        Tracee { pid, rip: 0, running: true, past_repeat: None, planted: None, signal: 0, gone: false }
    }

    pub(super) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// The address of the next instruction, as of the last stop.
    pub(super) fn rip(&self) -> u64 {
        self.rip
    }

    /// Whether it is asleep or overdue, not stopped.
    pub(super) fn running(&self) -> bool {
        self.running
    }

    /// To be called once, at the first stop: the child dies with its tracer.
    pub(super) fn adopt(&self) {
        self.request(libc::PTRACE_SETOPTIONS, 0, libc::PTRACE_O_EXITKILL as usize);
    }

    /// What the next instruction is.
    pub(super) fn next(&self, text: &mut Text) -> Insn {
        *text.entry(self.rip).or_insert_with(|| decode(self.word(self.rip).to_le_bytes()))
    }

    /// The number of the system call that the next instruction makes.
    pub(super) fn call_number(&self) -> u64 {
        self.user(RAX)
    }

    /// Executes one instruction, which `insn` says is next; or goes on waiting for the one that sleeps.
    pub(super) fn step(&mut self, insn: Insn, patience: &mut Patience) -> Stand {
        if let Some(target) = self.past_repeat.take() {
            return self.finish_repeat(target);
        }
        let before = self.rip;
        if !self.running {
            let signal = std::mem::take(&mut self.signal);
            self.request(libc::PTRACE_SINGLESTEP, 0, signal as usize);
        }
        // Only a system call can last.
        let status = if insn == Insn::Syscall || self.running {
            match self.wait(patience) {
                Ok(status) => status,
                Err(stand) => return stand,
            }
        } else {
            proc::wait_for(self.pid, 0).unwrap_or(0)
        };
        let stand = self.settle(status);
        if let (Insn::Repeat(length), Stand::Stopped) = (insn, stand) {
            // Still at the same instruction: repetitions are left.
            self.past_repeat = (self.rip == before).then_some(before + length);
        }
        stand
    }

    /// Runs freely until it is about to execute `place`, or meets a marker; `None` runs to the marker.
    ///
    /// Goes on waiting if it is running already. The instruction at its present position is not looked at.
    pub(super) fn run(&mut self, place: Option<u64>, patience: &mut Patience) -> Stand {
        self.past_repeat = None;
        if !self.running {
            if let Some(place) = place {
                self.plant(place);
            }
            let signal = std::mem::take(&mut self.signal);
            self.request(libc::PTRACE_CONT, 0, signal as usize);
        }
        loop {
            let status = match self.wait(patience) {
                Ok(status) => status,
                Err(stand) => return stand,
            };
            let stand = self.settle(status);
            if stand != Stand::Stopped {
                return stand;
            }
            if self.signal == 0 && self.stopped_behind_break() {
                match self.unplant() {
                    Some(place) if place + 1 == self.rip => {
                        self.poke_user(RIP, place);
                        self.rip = place;
                        return Stand::Stopped;
                    }
                    _ => return Stand::Marker,
                }
            }
            // Another signal, or the trap of a step that had fallen asleep.
            let signal = std::mem::take(&mut self.signal);
            self.request(libc::PTRACE_CONT, 0, signal as usize);
        }
    }

    /// Runs freely to the end of the operation, also over a breakpoint that was left behind.
    pub(super) fn run_to_marker(&mut self, patience: &mut Patience) -> Stand {
        loop {
            let stand = self.run(None, patience);
            // Stopped can only mean that breakpoint, which is removed now.
            if stand != Stand::Stopped {
                return stand;
            }
        }
    }

    fn stopped_behind_break(&self) -> bool {
        self.word(self.rip.wrapping_sub(1)).to_le_bytes()[0] == BREAK
    }

    fn plant(&mut self, place: u64) {
        let word = self.word(place);
        let mut bytes = word.to_le_bytes();
        bytes[0] = BREAK;
        if self.request(libc::PTRACE_POKETEXT, place as usize, u64::from_le_bytes(bytes) as usize) {
            self.planted = Some((place, word));
        }
    }

    fn unplant(&mut self) -> Option<u64> {
        let (place, word) = self.planted.take()?;
        self.request(libc::PTRACE_POKETEXT, place as usize, word as usize);
        Some(place)
    }

    /// Sorts a wait status: a signal other than a trap is handed over when it goes on.
    fn settle(&mut self, status: i32) -> Stand {
        self.running = false;
        if !libc::WIFSTOPPED(status) {
            self.gone = true;
            return Stand::Gone(status);
        }
        let signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP {
            self.signal = signal;
        }
        self.rip = self.user(RIP);
        Stand::Stopped
    }

    /// Runs freely to the instruction after a repeated one, by a hardware breakpoint; steps if there is none to be had.
    fn finish_repeat(&mut self, target: u64) -> Stand {
        // Bit 0 of DR7 enables an execution breakpoint at DR0.
        let armed = self.poke_user(DEBUG_0, target) && self.poke_user(DEBUG_7, 1);
        let before = self.rip;
        loop {
            let request = if armed { libc::PTRACE_CONT } else { libc::PTRACE_SINGLESTEP };
            self.request(request, 0, 0);
            let stand = self.settle(proc::wait_for(self.pid, 0).unwrap_or(0));
            if stand != Stand::Stopped {
                return stand;
            }
            if armed || self.rip != before {
                break;
            }
        }
        if armed {
            self.poke_user(DEBUG_7, 0);
        }
        Stand::Stopped
    }

    /// Waits for the next stop or the end, while patience lasts.
    fn wait(&mut self, patience: &mut Patience) -> Result<i32, Stand> {
        self.running = true;
        let start = Instant::now();
        let mut looked = start;
        for round in 0_u64.. {
            if let Some(status) = proc::wait_for(self.pid, libc::WNOHANG) {
                return Ok(status);
            }
            let now = Instant::now();
            if now - start >= NAP {
                if proc::state(self.pid) == Some('S') {
                    patience.slept += now - looked;
                }
                looked = now;
                if patience.over() {
                    return Err(Stand::Asleep);
                }
                if now - start >= patience.overdue {
                    return Err(Stand::Overdue);
                }
            }
            if round < 20 {
                std::thread::yield_now();
            } else {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Err(Stand::Overdue)
    }

    /// Lets the process, wherever it stands, use all processors of `mask`.
    pub(super) fn unpin(&self, mask: &libc::cpu_set_t) {
        // SAFETY: a valid mask of the stated size.
        unsafe { libc::sched_setaffinity(self.pid, size_of::<libc::cpu_set_t>(), mask) };
    }

    /// Code address and stack, for a report.
    pub(super) fn trail(&self) -> Trail {
        if self.gone {
            return Trail::default();
        }
        if self.running {
            return proc::whereabouts(self.pid).1;
        }
        Trail::collect(self.pid, self.rip, self.user(RSP))
    }

    /// Kills the process and reaps it; returns once its memory, descriptors and locks are gone.
    pub(super) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.gone {
            return;
        }
        self.gone = true;
        proc::kill(self.pid, libc::SIGKILL);
        while let Some(status) = proc::wait_for(self.pid, 0) {
            if !libc::WIFSTOPPED(status) {
                return;
            }
        }
    }

    fn user(&self, offset: usize) -> u64 {
        // SAFETY: PEEKUSER reads a register of a child that is stopped by us; nothing of ours is touched.
        unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid, offset, 0) as u64 }
    }

    fn poke_user(&self, offset: usize, value: u64) -> bool {
        self.request(libc::PTRACE_POKEUSER, offset, value as usize)
    }

    fn word(&self, address: u64) -> u64 {
        // SAFETY: PEEKTEXT reads the child's memory through the kernel, which checks the address.
        unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, address, 0) as u64 }
    }

    fn request(&self, request: libc::c_uint, address: usize, data: usize) -> bool {
        // SAFETY: the requests used here take integers only and act on our own stopped child.
        unsafe { libc::ptrace(request, self.pid, address, data) == 0 }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        self.end();
    }
}

/// Recognises `syscall`, `int3` and repeated string instructions.
fn decode(bytes: [u8; 8]) -> Insn {
    match bytes {
        [0x0f, 0x05, ..] => return Insn::Syscall,
        [0xcc, ..] => return Insn::Marker,
        _ => {}
    }
    let mut at = 0;
    let mut repeated = false;
    while let Some(prefix @ (0xf2 | 0xf3 | 0x66 | 0x67)) = bytes.get(at) {
        repeated |= matches!(prefix, 0xf2 | 0xf3);
        at += 1;
    }
    if matches!(bytes.get(at), Some(0x40..=0x4f)) {
        at += 1;
    }
    match bytes.get(at) {
        Some(0xa4..=0xa7 | 0xaa..=0xaf) if repeated => Insn::Repeat(at as u64 + 1),
        _ => Insn::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{Insn, decode};

    #[test]
    fn decodes_what_stepping_must_know() {
        let pad = |code: &[u8]| {
            let mut bytes = [0x90; 8];
            bytes[..code.len()].copy_from_slice(code);
            decode(bytes)
        };
        assert_eq!(pad(&[0x0f, 0x05]), Insn::Syscall);
        assert_eq!(pad(&[0xcc]), Insn::Marker);
        assert_eq!(pad(&[0xf3, 0xa4]), Insn::Repeat(2));
        assert_eq!(pad(&[0xf3, 0x48, 0xab]), Insn::Repeat(3));
        assert_eq!(pad(&[0xf3, 0x90]), Insn::Plain, "pause");
        assert_eq!(pad(&[0xf3, 0x0f, 0x6f]), Insn::Plain, "movdqu");
        assert_eq!(pad(&[0xa4]), Insn::Plain, "a single movsb");
        assert_eq!(pad(&[0x48, 0x89, 0xe5]), Insn::Plain);
    }
}
