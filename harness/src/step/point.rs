//! Where and how a victim ended.

use std::fmt;

/// What had just happened, or was about to, when a victim was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the operation had run.
    Start,
    /// An instruction without visible effect.
    Step,
    /// An instruction that changed watched memory.
    Change,
    /// The next instruction enters the kernel with this system call number.
    BeforeCall(u64),
    /// This system call has returned.
    AfterCall(u64),
    /// Inside this system call, sleeping.
    Asleep(u64),
    /// The operation had returned; the process was alive.
    Finished,
    /// The step limit was reached.
    Exhausted,
}

/// The point of an operation where its process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KillPoint {
    /// Steps executed since the operation began. A step is an instruction; a repeated string instruction takes two,
    /// the first of which ends after one repetition.
    pub step: usize,
    /// Events seen up to here, [`Moment::Start`] included.
    pub event: usize,
    /// What kind of point it is.
    pub moment: Moment,
    /// The address of the next instruction.
    pub rip: u64,
}

/// What became of one victim, as the check is told.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The victim's name.
    pub victim: String,
    /// Where it was killed; in a pair, for the first victim, where it was frozen.
    pub point: KillPoint,
    /// Whether its operation ran to the end before the process died.
    ///
    /// True if it was killed at [`Moment::Finished`], and for the first victim of a pair once it was resumed.
    pub finished: bool,
    /// Its process id. By the time the check runs the process is gone, so another may get the number.
    pub pid: i32,
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, event) = (self.step, self.event);
        match self.moment {
            Moment::Start => f.write_str("before its first instruction"),
            Moment::Step => write!(f, "after instruction {step}"),
            Moment::Change => {
                write!(f, "after instruction {step}, which changed shared memory (event {event})")
            }
            Moment::BeforeCall(n) => {
                write!(f, "after instruction {step}, before system call {n} (event {event})")
            }
            Moment::AfterCall(n) => write!(f, "after instruction {step}, system call {n} (event {event})"),
            Moment::Asleep(n) => write!(f, "after instruction {step}, asleep in system call {n}"),
            Moment::Finished => write!(f, "after the operation had returned ({step} instructions)"),
            Moment::Exhausted => write!(f, "at the step limit ({step} instructions)"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.victim, self.point)?;
        if self.finished && self.point.moment != Moment::Finished {
            f.write_str(", later resumed to its end")?;
        }
        Ok(())
    }
}
