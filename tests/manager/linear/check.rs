//! Whether a history is one that a single thread could have made: the search of Wing and Gong, with a memory of where it has been.
//!
//! An operation happens at one moment between its beginning and its answer. The search builds an order, one operation at a time: next can be
//! whatever began before the first answer among those that are left. A state that was met before with the same operations done is
//! not entered again. What was never answered may be left out.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use procshare_harness::Rng;

use super::history::Op;

/// How an object behaves when one after the other uses it.
pub(crate) trait Model: Clone + Eq + Hash + Debug {
    /// Does an operation; whether it can have come out so here. An outcome that is not known is any.
    fn step(&mut self, op: &Op) -> bool;
}

/// How many states are entered before the search gives up.
const PATIENCE: usize = 300_000;

/// Why a history is none.
#[derive(Debug)]
pub(crate) struct Verdict(pub(crate) String);

/// Undone operations in the order of their beginnings, as a list from which one can be taken and put back.
struct Left {
    next: Vec<usize>,
    before: Vec<usize>,
}

impl Left {
    /// `len` stands for both ends.
    fn new(len: usize) -> Self {
        Left { next: (1..=len).chain([0]).collect(), before: [len].into_iter().chain(0..len).collect() }
    }

    fn end(&self) -> usize {
        self.next.len() - 1
    }

    fn take(&mut self, at: usize) {
        let (before, next) = (self.before[at], self.next[at]);
        self.next[before] = next;
        self.before[next] = before;
    }

    /// In the opposite order of taking.
    fn put_back(&mut self, at: usize) {
        let (before, next) = (self.before[at], self.next[at]);
        self.next[before] = at;
        self.before[next] = at;
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.next[self.end()]), |&at| Some(self.next[at]))
            .take_while(|&at| at != self.end())
    }
}

/// One step of the order that is being built.
struct Step<M> {
    state: M,
    /// What is tried next, the last one first.
    candidates: Vec<usize>,
    /// What led here.
    by: Option<usize>,
    /// The latest beginning of what is done.
    latest: u64,
}

struct Search<'a, M> {
    ops: &'a [Op],
    left: Left,
    /// Whether others come after it.
    is_needed: Vec<bool>,
    is_done: Vec<bool>,
    /// Answered operations that are not done.
    missing: usize,
    /// A number for each operation: what is done is their sum, of 128 bits.
    names: Vec<u128>,
    done: u128,
    seen: HashSet<(u128, M)>,
}

/// Looks for an order of `ops` (by their beginnings) that explains every answer.
pub(crate) fn check<M: Model>(initial: M, ops: &[Op]) -> Result<(), Verdict> {
    debug_assert!(ops.is_sorted_by_key(|op| op.began));
    let mut random = Rng::new(1);
    let mut name = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let mut is_needed = vec![false; ops.len()];
    ops.iter().flat_map(|op| &op.after).for_each(|&before| is_needed[before] = true);
    let mut search = Search {
        ops,
        is_needed,
        left: Left::new(ops.len()),
        is_done: vec![false; ops.len()],
        missing: ops.iter().filter(|op| op.came.is_some()).count(),
        names: ops.iter().map(|_| name()).collect(),
        done: 0,
        seen: HashSet::new(),
    };
    search.run(initial)
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self, initial: M) -> Result<(), Verdict> {
        let mut steps = vec![Step { candidates: self.candidates(0), state: initial, by: None, latest: 0 }];
        let mut best = (usize::MAX, String::new());
        while self.missing > 0 {
            let Some(step) = steps.last_mut() else { return Err(Verdict(best.1)) };
            let Some(at) = step.candidates.pop() else {
                if self.missing < best.0 {
                    best = (self.missing, self.stuck(&step.state));
                }
                let by = step.by;
                steps.pop();
                by.into_iter().for_each(|at| self.undo(at));
                continue;
            };
            let mut state = step.state.clone();
            let latest = step.latest.max(self.ops[at].began);
            if !state.step(&self.ops[at]) {
                continue;
            }
            // What nobody was told and what changes nothing may as well not have happened.
            if self.ops[at].came.is_none() && !self.is_needed[at] && state == step.state {
                continue;
            }
            self.enter(at);
            if !self.seen.insert((self.done, state.clone())) {
                self.undo(at);
                continue;
            }
            if self.seen.len() > PATIENCE {
                return Err(Verdict(format!("undecided after {PATIENCE} states; {}", best.1)));
            }
            steps.push(Step { candidates: self.candidates(latest), state, by: Some(at), latest });
        }
        Ok(())
    }

    fn enter(&mut self, at: usize) {
        self.left.take(at);
        self.is_done[at] = true;
        self.done = self.done.wrapping_add(self.names[at]);
        self.missing -= usize::from(self.ops[at].came.is_some());
    }

    fn undo(&mut self, at: usize) {
        self.left.put_back(at);
        self.is_done[at] = false;
        self.done = self.done.wrapping_sub(self.names[at]);
        self.missing += usize::from(self.ops[at].came.is_some());
    }

    /// What can be next: the most urgent last.
    fn candidates(&self, latest: u64) -> Vec<usize> {
        let (mut first_answer, mut found) = (u64::MAX, Vec::new());
        for at in self.left.iter() {
            let op = &self.ops[at];
            if op.began > first_answer {
                break;
            }
            first_answer = first_answer.min(op.came.unwrap_or(u64::MAX));
            let is_late = latest > op.until || op.before.is_some_and(|end| self.is_done[end]);
            if !is_late && op.after.iter().all(|&before| self.is_done[before]) {
                found.push(at);
            }
        }
        found.sort_by_key(|&at| std::cmp::Reverse(self.ops[at].came.unwrap_or(u64::MAX)));
        found
    }

    /// Where the search got no further.
    fn stuck(&self, state: &M) -> String {
        let mut text = format!(
            "{} of {} operations fit; then the object would be {state:?}, and of these none can be next:\n",
            self.ops.len() - self.left.iter().count(),
            self.ops.len()
        );
        for at in self.candidates(0) {
            text += &format!("  {at}: {:?}\n", self.ops[at]);
        }
        text
    }
}
