//! What conductor and contenders tell each other: a table of numbers in shared memory.

use nix::time::{ClockId, clock_gettime};
use procshare::{AtomicArray, Handle, Lifetime, Result, Space};

/// Numbers before the first row.
const HEAD: usize = 4;
const PHASE: usize = 0;
const KILLED_AT: usize = 1;
const EXCUSED: usize = 2;
const DEATHS: usize = 3;

/// Numbers in a row.
const ROW: usize = 16;

/// What a row holds.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Cell {
    /// The incarnation that has attached to everything.
    Ready,
    /// The phase that the contender has seen, with nothing in its hands.
    Parked,
    /// Turns done, of all incarnations.
    Turns,
    /// How often it was told of a dead owner, and mended what the owner left.
    Told,
    /// The phase in which it is about to wait; for many threads, how many are.
    Waiting,
    /// The phase in which it holds what the others wait for.
    Inside,
    /// When it got that.
    Granted,
    /// The newest incarnation that was sent a SIGKILL.
    Condemned,
    /// The newest incarnation of a forked child.
    Serial,
    /// The forked child's process.
    Process,
    /// How much a death at this moment may take with it without breaking a promise.
    Excuse,
    /// Steps that must show up in the object's state.
    Done,
    /// Promises broken.
    Violations,
    /// Children forked.
    Forks,
}

/// What everybody does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nothing: all hands empty.
    Pause,
    /// Turns, while contenders are killed, stopped and forked.
    Storm,
    /// Turns; nobody is hurt.
    Calm,
    /// One contender takes the object, the others wait for it.
    Probe,
    /// Leaving.
    End,
}

/// A kind of phase, numbered; in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Phase {
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// In a probe: who takes the object, and in which way.
    pub(super) holder: usize,
    pub(super) variant: u64,
}

impl Phase {
    fn to_word(self) -> u64 {
        self.number << 32
            | (self.variant & 0xff) << 24
            | (self.holder as u64 & 0xffff) << 8
            | self.kind as u64
    }

    fn of_word(word: u64) -> Self {
        let kind = match word & 0xff {
            1 => Kind::Storm,
            2 => Kind::Calm,
            3 => Kind::Probe,
            4 => Kind::End,
            _ => Kind::Pause,
        };
        Phase { number: word >> 32, kind, holder: (word >> 8 & 0xffff) as usize, variant: word >> 24 & 0xff }
    }
}

/// One incarnation of a contender: what it signs with. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) row: usize,
    pub(super) incarnation: u64,
}

impl Token {
    pub(super) fn to_word(self) -> u64 {
        self.incarnation << 16 | self.row as u64
    }

    pub(super) fn of_word(word: u64) -> Self {
        Token { row: (word & 0xffff) as usize, incarnation: word >> 16 }
    }
}

/// The table. The first half of its rows is the contenders', the other half that of the children they fork.
#[derive(Clone)]
pub(super) struct Board {
    cells: AtomicArray<u64>,
}

impl Board {
    pub(super) fn new(space: &Space, contenders: usize) -> Result<Self> {
        let len = HEAD + 2 * contenders * ROW;
        let cells =
            AtomicArray::builder().space(space).lifetime(Lifetime::Scoped).anonymous(vec![0u64; len])?;
        Ok(Board { cells })
    }

    pub(super) fn handle(&self) -> Handle<AtomicArray<u64>> {
        self.cells.handle()
    }

    pub(super) fn attach(handle: &Handle<AtomicArray<u64>>) -> Result<Self> {
        Ok(Board { cells: handle.attach()? })
    }

    pub(super) fn rows(&self) -> usize {
        (self.cells.len() - HEAD) / ROW
    }

    pub(super) fn contenders(&self) -> usize {
        self.rows() / 2
    }

    pub(super) fn phase(&self) -> Result<Phase> {
        self.cells.get(PHASE).map(Phase::of_word)
    }

    /// Begins a phase.
    pub(super) fn begin(&self, kind: Kind, holder: usize, variant: u64) -> Result<Phase> {
        let number = self.phase()?.number + 1;
        let phase = Phase { number, kind, holder, variant };
        self.cells.set(PHASE, phase.to_word())?;
        Ok(phase)
    }

    pub(super) fn get(&self, row: usize, cell: Cell) -> Result<u64> {
        self.cells.get(HEAD + row * ROW + cell as usize)
    }

    pub(super) fn set(&self, row: usize, cell: Cell, value: u64) -> Result<()> {
        self.cells.set(HEAD + row * ROW + cell as usize, value)
    }

    pub(super) fn add(&self, row: usize, cell: Cell, by: u64) -> Result<u64> {
        self.cells.add(HEAD + row * ROW + cell as usize, by)
    }

    /// Of all rows.
    pub(super) fn sum(&self, cell: Cell) -> Result<u64> {
        (0..self.rows()).map(|row| self.get(row, cell)).sum()
    }

    /// Announces that a contender will be killed. Its forked child goes with it.
    pub(super) fn condemn(&self, row: usize, incarnation: u64) -> Result<()> {
        self.set(row, Cell::Condemned, incarnation)
    }

    /// Whether whoever signed `word` may be dead.
    pub(super) fn is_condemned(&self, word: u64) -> Result<bool> {
        let token = Token::of_word(word);
        Ok(token.row < self.rows() && self.get(token.row, Cell::Condemned)? >= token.incarnation)
    }

    /// After the death of a contender: adds what it may have taken with it to what is missing.
    pub(super) fn bury(&self, row: usize) -> Result<()> {
        let excuse = self.get(row, Cell::Excuse)?;
        self.set(row, Cell::Excuse, 0)?;
        self.cells.add(EXCUSED, excuse)?;
        self.cells.add(DEATHS, 1)?;
        Ok(())
    }

    /// How much the dead may have taken with them since the last time this was asked.
    pub(super) fn take_excuses(&self) -> Result<u64> {
        self.cells.swap(EXCUSED, 0)
    }

    pub(super) fn deaths(&self) -> Result<u64> {
        self.cells.get(DEATHS)
    }

    /// Notes that the holder is killed now.
    pub(super) fn kill_now(&self) -> Result<()> {
        self.cells.set(KILLED_AT, now())
    }

    /// For everybody who was granted something in this probe, how long that took, in nanoseconds.
    pub(super) fn first_grant(&self) -> Result<Option<u64>> {
        let killed_at = self.cells.get(KILLED_AT)?;
        let grants = (0..self.contenders()).map(|row| self.get(row, Cell::Granted));
        let grants = grants.collect::<Result<Vec<_>>>()?;
        Ok(grants.into_iter().filter(|&at| at != 0).min().map(|at| at.saturating_sub(killed_at)))
    }
}

/// Nanoseconds of the monotonic clock, which all processes share.
pub(super) fn now() -> u64 {
    // The monotonic clock is always there.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_tokens_survive_their_words() {
        for kind in [Kind::Pause, Kind::Storm, Kind::Calm, Kind::Probe, Kind::End] {
            let phase = Phase { number: 77, kind, holder: 300, variant: 9 };
            assert_eq!(Phase::of_word(phase.to_word()), phase);
        }
        let token = Token { row: 127, incarnation: 1 << 40 };
        assert_eq!(Token::of_word(token.to_word()), token);
    }

    #[test]
    fn only_incarnations_that_were_sent_a_kill_may_be_dead() {
        let directory = std::env::temp_dir().join(format!("procshare-torture-board-{}", std::process::id()));
        let space = Space::at(&directory).open_or_create().unwrap();
        let board = Board::new(&space, 2).unwrap();
        let word = |incarnation| Token { row: 1, incarnation }.to_word();
        board.condemn(1, 5).unwrap();
        assert!(board.is_condemned(word(5)).unwrap() && board.is_condemned(word(4)).unwrap());
        assert!(!board.is_condemned(word(6)).unwrap());
        board.set(1, Cell::Excuse, 3).unwrap();
        board.bury(1).unwrap();
        board.bury(1).unwrap();
        assert_eq!((board.take_excuses().unwrap(), board.deaths().unwrap()), (3, 2));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
