//! Who kills, replaces and watches the contenders of a storm.

use crate::child::{Child, Exit, child};
use crate::seat::{self, Seat};
use crate::storm::{Storm, StormReport, Way};
use crate::{Page, Rng, proc};
use std::ops::Range;
use std::time::{Duration, Instant};

/// A seat as the conductor sees it.
struct Place {
    role: usize,
    child: Child,
    incarnation: u64,
    rounds: u64,
    /// When the rounds last changed, or the process started or went on.
    moved: Instant,
    /// The blow at which a stopped process goes on.
    stopped_until: Option<u64>,
}

/// A storm at work.
pub(crate) struct Conductor<'s, 'a> {
    storm: &'s Storm<'a>,
    page: Board,
    rng: Rng,
    places: Vec<Place>,
    targets: Vec<usize>,
}

/// The storm's page; where new programs take part, with the descriptor that they inherit.
struct Board {
    page: Page,
    #[cfg(target_os = "linux")]
    fd: std::os::fd::OwnedFd,
}

impl Board {
    #[cfg(target_os = "linux")]
    fn new(size: usize) -> Board {
        use std::os::fd::{AsRawFd as _, FromRawFd as _};
        // SAFETY: a valid name; without the close-on-exec flag new programs inherit the descriptor.
        let fd = unsafe { libc::memfd_create(c"storm".as_ptr(), 0) };
        assert!(fd >= 0, "cannot make a memory file: {}", std::io::Error::last_os_error());
        // SAFETY: a fresh descriptor that nobody else owns.
        let fd = unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) };
        // SAFETY: ftruncate on our own file.
        let sized = unsafe { libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) };
        assert!(sized == 0, "cannot size a memory file: {}", std::io::Error::last_os_error());
        let page = Page::from_fd(fd.as_raw_fd(), size);
        Board { page: page.unwrap_or_else(|e| panic!("cannot map a memory file: {e}")), fd }
    }

    #[cfg(not(target_os = "linux"))]
    fn new(size: usize) -> Board {
        Board { page: Page::new(size) }
    }
}

impl<'s, 'a> Conductor<'s, 'a> {
    pub(crate) fn new(storm: &'s Storm<'a>) -> Self {
        let seats: usize = storm.roles.iter().map(|r| r.count).sum();
        let page = Board::new(seat::size_for(seats));
        let mut conductor =
            Conductor { storm, page, rng: Rng::new(storm.seed), places: Vec::new(), targets: Vec::new() };
        for (role, r) in storm.roles.iter().enumerate() {
            for _ in 0..r.count {
                let index = conductor.places.len();
                let child = conductor.start(role, index, 0);
                conductor.places.push(Place {
                    role,
                    child,
                    incarnation: 0,
                    rounds: 0,
                    moved: Instant::now(),
                    stopped_until: None,
                });
                if !r.spared {
                    conductor.targets.push(index);
                }
            }
        }
        assert!(!conductor.targets.is_empty(), "{} has nobody to kill: add a role", storm.name);
        conductor
    }

    fn start(&mut self, role: usize, index: usize, incarnation: u64) -> Child {
        let seed = self.rng.next_u64();
        match &self.storm.roles[role].way {
            Way::Fork(contend) => {
                let page = &self.page.page;
                Child::fork(|| contend(&mut Seat::new(page, index, incarnation, seed)).map_or(Ok(()), Err))
            }
            #[cfg(target_os = "linux")]
            Way::Exec(entry) => {
                use std::os::fd::AsRawFd as _;
                let (fd, size) = (self.page.fd.as_raw_fd(), self.page.page.size());
                let (key, value) = Seat::pass_on(fd, size, index, incarnation, seed);
                let started = entry.clone().env(key, value).spawn();
                started.unwrap_or_else(|e| panic!("cannot start a program of {}: {e}", self.storm.name))
            }
        }
    }

    /// Leads the storm from the first blow to the check; an error is a violation.
    pub(crate) fn conduct(mut self, report: &mut StormReport) -> Result<(), String> {
        let outcome = self.rage(report).and_then(|()| self.calm()).and_then(|()| self.end());
        report.rounds = (0..self.places.len()).map(|i| seat::rounds(&self.page.page, i)).sum();
        outcome?;
        if let Some(check) = &self.storm.check {
            let exit = child(self.storm.hang_after, || check().map_or(Ok(()), Err));
            if !exit.is_clean() {
                return Err(format!("check {exit}"));
            }
        }
        Ok(())
    }

    /// Blow after blow.
    fn rage(&mut self, report: &mut StormReport) -> Result<(), String> {
        let deadline = Instant::now() + self.storm.at_most;
        let mut blow = 0;
        while report.kills < self.storm.kills && Instant::now() < deadline {
            self.pause();
            self.look()?;
            blow += 1;
            self.release(blow);
            let target = self.targets[self.rng.below(self.targets.len() as u64) as usize];
            if self.rng.one_in(self.storm.stop_one_in) {
                let until = blow + 1 + self.rng.below(8);
                self.places[target].child.signal(libc::SIGSTOP);
                self.places[target].stopped_until = Some(until);
                report.stops += 1;
            } else {
                self.replace(target)?;
                report.kills += 1;
            }
        }
        self.release(u64::MAX);
        Ok(())
    }

    /// Kills the process of a seat and starts its successor.
    fn replace(&mut self, index: usize) -> Result<(), String> {
        let (role, incarnation) = (self.places[index].role, self.places[index].incarnation + 1);
        self.places[index].child.signal(libc::SIGKILL);
        // Reaped before the successor starts: the dead one must be gone for those who ask the kernel.
        let exit = self.places[index].child.reap();
        if !matches!(exit, Exit::Signalled(libc::SIGKILL)) {
            return Err(format!("{} {exit}", self.title(index)));
        }
        let child = self.start(role, index, incarnation);
        let rounds = seat::rounds(&self.page.page, index);
        self.places[index] =
            Place { role, child, incarnation, rounds, moved: Instant::now(), stopped_until: None };
        Ok(())
    }

    /// A random time: the storm's randomness, nobody relies on it.
    fn pause(&mut self) {
        let Range { start, end } = self.storm.pause;
        let span = end.saturating_sub(start).as_nanos() as u64;
        let until = Instant::now() + start + Duration::from_nanos(self.rng.below(span.max(1)));
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            if left > Duration::from_micros(100) {
                std::thread::sleep(left - Duration::from_micros(60));
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Lets stopped processes go on whose time has come.
    fn release(&mut self, blow: u64) {
        for place in &mut self.places {
            if place.stopped_until.is_some_and(|until| until <= blow) {
                place.child.signal(libc::SIGCONT);
                place.stopped_until = None;
                place.moved = Instant::now();
            }
        }
    }

    /// Looks for processes that ended by themselves and for seats that stand still.
    fn look(&mut self) -> Result<(), String> {
        for index in 0..self.places.len() {
            let rounds = seat::rounds(&self.page.page, index);
            let place = &mut self.places[index];
            if let Some(exit) = place.child.try_wait() {
                return Err(format!("{} {exit} before the storm was over", self.title(index)));
            }
            if rounds != place.rounds || place.stopped_until.is_some() {
                place.rounds = rounds;
                place.moved = Instant::now();
            } else if place.moved.elapsed() >= self.storm.hang_after {
                return Err(self.standstill(index));
            }
        }
        Ok(())
    }

    /// Everybody must come through a whole round more.
    fn calm(&mut self) -> Result<(), String> {
        let goals: Vec<u64> = (0..self.places.len()).map(|i| seat::rounds(&self.page.page, i) + 2).collect();
        loop {
            self.look()?;
            if goals.iter().enumerate().all(|(i, &goal)| seat::rounds(&self.page.page, i) >= goal) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Asks all to end and waits for them.
    fn end(&mut self) -> Result<(), String> {
        seat::declare_over(&self.page.page);
        let deadline = Instant::now() + self.storm.hang_after;
        for index in 0..self.places.len() {
            let ended = proc::poll_until(deadline, || self.places[index].child.try_wait());
            match ended {
                Some(exit) if exit.is_clean() => {}
                Some(exit) => return Err(format!("{} {exit}", self.title(index))),
                None => return Err(self.standstill(index)),
            }
        }
        Ok(())
    }

    fn title(&self, index: usize) -> String {
        let place = &self.places[index];
        format!("`{}` on seat {index}, incarnation {},", self.storm.roles[place.role].name, place.incarnation)
    }

    /// Tells where everybody is.
    fn standstill(&self, hung: usize) -> String {
        let mut text =
            format!("{} stands still for {:?}; all seats:", self.title(hung), self.storm.hang_after);
        for (index, place) in self.places.iter().enumerate() {
            let (state, trail) = proc::whereabouts(place.child.pid());
            text.push_str(&format!("\n    {} {state}{trail}", self.title(index)));
        }
        text
    }
}
