//! One contender's place in a storm.

use crate::{Page, Rng};
use std::sync::atomic::Ordering::Relaxed;

/// A contender's place in a storm: says whether to go on, counts rounds, gives randomness.
///
/// A killed contender's successor takes the same seat with the next incarnation.
#[derive(Debug)]
pub struct Seat<'p> {
    page: SeatPage<'p>,
    index: usize,
    incarnation: u64,
    rng: Rng,
}

/// Word 0 says that the storm is over; each seat's rounds have a cache line of their own.
#[derive(Debug)]
enum SeatPage<'p> {
    Forked(&'p Page),
    Mapped(Page),
}

const OVER: usize = 0;
const LINE: usize = 8;
const SEAT: &str = "PROCSHARE_SEAT";

/// Bytes for so many seats.
pub(crate) fn size_for(seats: usize) -> usize {
    (seats + 1) * LINE * 8
}

/// Rounds that the incarnations of a seat have begun.
pub(crate) fn rounds(page: &Page, index: usize) -> u64 {
    // Relaxed here and below: counters that are only compared, and a flag that carries nothing.
    page.u64s()[(index + 1) * LINE].load(Relaxed)
}

/// Tells all seats that the storm is over.
pub(crate) fn declare_over(page: &Page) {
    page.u64s()[OVER].store(1, Relaxed);
}

impl<'p> Seat<'p> {
    pub(crate) fn new(page: &'p Page, index: usize, incarnation: u64, seed: u64) -> Self {
        Seat { page: SeatPage::Forked(page), index, incarnation, rng: Rng::new(seed) }
    }

    /// The environment variable by which a seat reaches a new program; the page's descriptor must be inheritable.
    #[cfg(target_os = "linux")]
    pub(crate) fn pass_on(
        fd: i32,
        size: usize,
        index: usize,
        incarnation: u64,
        seed: u64,
    ) -> (&'static str, String) {
        (SEAT, format!("{fd} {size} {index} {incarnation} {seed}"))
    }

    /// The seat of a process that a storm started as a new program; None in any other process.
    pub fn inherited() -> Option<Seat<'static>> {
        let text = std::env::var(SEAT).ok()?;
        let mut words = text.split(' ').map(|w| w.parse::<u64>().ok());
        let mut next = || words.next().flatten();
        let (fd, size, index, incarnation, seed) = (next()?, next()?, next()?, next()?, next()?);
        let page = Page::from_fd(fd as i32, size as usize).ok()?;
        Some(Seat { page: SeatPage::Mapped(page), index: index as usize, incarnation, rng: Rng::new(seed) })
    }

    fn page(&self) -> &Page {
        match &self.page {
            SeatPage::Forked(page) => page,
            SeatPage::Mapped(page) => page,
        }
    }

    /// Begins the next round: counts it as progress and says whether to play it. False: the storm is over, return.
    pub fn again(&mut self) -> bool {
        self.beat();
        self.page().u64s()[OVER].load(Relaxed) == 0
    }

    /// Counts progress within a round, for rounds that may last longer than a hang.
    pub fn beat(&self) {
        self.page().u64s()[(self.index + 1) * LINE].fetch_add(1, Relaxed);
    }

    /// The number of the seat, counted over all roles from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many predecessors died on this seat.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Randomness that follows from the storm's seed, the seat and the incarnation.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }
}
