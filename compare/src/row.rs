//! One piece of work, who does it, and what procshare is to reach.

use serde::Serialize;

use crate::contender::Contender;
use crate::failure::Failure;
use crate::machine::Machine;

/// The name procshare's own contender has in every row.
pub const OURS: &str = "procshare";

/// A line of the comparison.
pub struct Row {
    /// What `--rows` calls it, such as `lock-apart`.
    pub id: String,
    /// What is done.
    pub title: String,
    /// Workers and their cores.
    pub placement: Placement,
    /// Bytes an operation moves, where throughput tells more than time.
    pub bytes: Option<u64>,
    /// What its figures count.
    pub unit: Unit,
    /// Who does it.
    pub contenders: Vec<Box<dyn Contender>>,
    /// What is to be reached.
    pub goals: Vec<Goal>,
}

/// What figures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nanoseconds of an operation, measured in many batches.
    Nanoseconds,
    /// Bytes, which are counted once.
    Bytes,
}

/// How many workers, on which cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// One worker, pinned.
    Alone,
    /// So many workers, pinned in turn to two cores.
    Apart(usize),
    /// So many workers, all pinned to one core.
    SameCore(usize),
}

/// A ratio to a named peer in the same run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Goal {
    /// Whose figure is judged.
    pub ours: &'static str,
    /// Against whose.
    pub peer: &'static str,
    /// The highest ratio of the medians that passes.
    pub at_most: f64,
}

impl Row {
    /// A row nobody runs in yet.
    pub fn new(id: impl Into<String>, title: impl Into<String>, placement: Placement) -> Self {
        let (id, title) = (id.into(), title.into());
        let unit = Unit::Nanoseconds;
        Self { id, title, placement, bytes: None, unit, contenders: Vec::new(), goals: Vec::new() }
    }

    /// Adds a contender.
    #[must_use]
    pub fn with(mut self, contender: Box<dyn Contender>) -> Self {
        self.contenders.push(contender);
        self
    }

    /// Asks procshare to take at most `at_most` times as much as `peer`.
    #[must_use]
    pub fn goal(self, at_most: f64, peer: &'static str) -> Self {
        self.goal_of(OURS, at_most, peer)
    }

    /// Asks the contender `ours` to take at most `at_most` times as much as `peer`.
    #[must_use]
    pub fn goal_of(mut self, ours: &'static str, at_most: f64, peer: &'static str) -> Self {
        self.goals.push(Goal { ours, peer, at_most });
        self
    }

    /// Says how many bytes an operation moves.
    #[must_use]
    pub fn moving(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Says that figures are bytes and not times.
    #[must_use]
    pub fn counting_bytes(mut self) -> Self {
        self.unit = Unit::Bytes;
        self
    }

    /// Whether `--rows` asks for this row: by its whole id, or by the words it begins with.
    pub fn is_asked_by(&self, word: &str) -> bool {
        self.id.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl Placement {
    /// The core of each worker.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when two cores are needed and one is allowed.
    pub fn seats(self, machine: &Machine) -> Result<Vec<usize>, Failure> {
        match self {
            Self::Alone => Ok(vec![machine.first]),
            Self::SameCore(workers) => Ok(vec![machine.first; workers]),
            Self::Apart(workers) => {
                let second = machine.second.ok_or(Failure::Unavailable("needs two cores".into()))?;
                Ok((0..workers).map(|seat| if seat % 2 == 0 { machine.first } else { second }).collect())
            }
        }
    }

    /// Whether no two workers share a core, so that any waiting for a core is somebody else's doing.
    pub fn has_cores_to_itself(self) -> bool {
        matches!(self, Self::Alone | Self::Apart(..=2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(second: Option<usize>) -> Machine {
        Machine { processor: String::new(), kernel: String::new(), cores: vec![3], first: 3, second }
    }

    #[test]
    fn a_group_name_asks_for_its_rows_only() {
        let row = Row::new("lock-apart", "", Placement::Apart(2));
        assert!(row.is_asked_by("lock") && row.is_asked_by("lock-apart"));
        assert!(!row.is_asked_by("lock-ap") && !row.is_asked_by("rlock") && !row.is_asked_by("lock-apart-x"));
    }

    #[test]
    fn workers_sit_in_turn_on_both_cores() {
        assert_eq!(Placement::Apart(4).seats(&machine(Some(5))).unwrap(), [3, 5, 3, 5]);
        assert_eq!(Placement::SameCore(2).seats(&machine(None)).unwrap(), [3, 3]);
        assert!(Placement::Apart(2).seats(&machine(None)).unwrap_err().is_absence());
    }

    #[test]
    fn a_crowd_waits_for_itself() {
        assert!(Placement::Apart(2).has_cores_to_itself() && Placement::Alone.has_cores_to_itself());
        assert!(!Placement::Apart(8).has_cores_to_itself() && !Placement::SameCore(2).has_cores_to_itself());
    }
}
