//! A ball between two processes: one says n, the other answers n.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use raw_sync::Timeout;
use raw_sync::events::EventState;

use super::ours::refused;
use super::raw::RawEvent;
use crate::contender::Contender;
use crate::crew::{Seat, Share, Workers, crew};
use crate::failure::{Failure, same};
use crate::futex;
use crate::processes::pipe;
use crate::row::{OURS, Placement, Row};
use crate::shared::{OwnLine, Shared};

/// One way to pass the ball in both directions.
trait Ball: Sized + Send + Sync + 'static {
    fn new() -> Result<Self, Failure>;

    /// Wakes the other side with number `n`.
    fn hit(&self, side: usize, n: u32) -> Result<(), Failure>;

    /// Waits until the other side has hit number `n`.
    fn await_hit(&self, side: usize, n: u32) -> Result<(), Failure>;
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row::new("wakeup-apart", "Wake-up round trip, pinned apart", Placement::Apart(2))
            .with(rally::<Ours>(OURS))
            .with(rally::<Spin>("pure spin"))
            .with(rally::<Busy>("raw_sync busy"))
            .with(rally::<Futex>("futex"))
            .with(rally::<Pipes>("pipe"))
            .goal(1.3, "pure spin"),
        Row::new("wakeup-same", "Wake-up round trip, same core", Placement::SameCore(2))
            .with(rally::<Ours>(OURS))
            .with(rally::<Futex>("futex"))
            .with(rally::<Pipes>("pipe"))
            .goal(1.3, "futex"),
    ]
}

struct Court<B> {
    ball: B,
    /// Hits each side has waited for and got.
    got: Shared<[OwnLine<AtomicU64>; 2]>,
}

fn rally<B: Ball>(name: &'static str) -> Box<dyn Contender> {
    let build = |_| Ok(Court::<B> { ball: B::new()?, got: Shared::new(Default::default())? });
    crew(name, Workers::Processes, Share::Every, build, play, |court, total| {
        same("hits got by the server", total, court.got[0].load(Ordering::Relaxed))?;
        same("hits got by the receiver", total, court.got[1].load(Ordering::Relaxed))
    })
}

fn play<B: Ball>(court: &Court<B>, seat: Seat, rounds: u64) -> Result<(), Failure> {
    let (ball, side) = (&court.ball, seat.number);
    let before = court.got[side].load(Ordering::Relaxed);
    for n in before + 1..=before + rounds {
        let n = n as u32;
        if side == 0 {
            ball.hit(side, n)?;
            ball.await_hit(side, n)?;
        } else {
            ball.await_hit(side, n)?;
            ball.hit(side, n)?;
        }
    }
    court.got[side].store(before + rounds, Ordering::Relaxed);
    Ok(())
}

/// An event for each direction, cleared by whoever it woke; they carry no number, so the counts at the end are the only check.
struct Ours([procshare::Event; 2]);

impl Ball for Ours {
    fn new() -> Result<Self, Failure> {
        let event = || procshare::Event::anonymous().map_err(refused);
        Ok(Self([event()?, event()?]))
    }

    fn hit(&self, side: usize, _: u32) -> Result<(), Failure> {
        self.0[side].set().map_err(refused)
    }

    fn await_hit(&self, side: usize, _: u32) -> Result<(), Failure> {
        let event = &self.0[1 - side];
        event.wait().map_err(refused)?;
        event.clear().map_err(refused)
    }
}

/// The number each side hit last.
type Words = Shared<[OwnLine<AtomicU32>; 2]>;

struct Spin(Words);

impl Ball for Spin {
    fn new() -> Result<Self, Failure> {
        Shared::new(Default::default()).map(Self)
    }

    fn hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        // Release, Acquire: a wake-up must carry what was written before it.
        self.0[side].store(n, Ordering::Release);
        Ok(())
    }

    fn await_hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        while self.0[1 - side].load(Ordering::Acquire) != n {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

struct Futex(Words);

impl Ball for Futex {
    fn new() -> Result<Self, Failure> {
        Shared::new(Default::default()).map(Self)
    }

    fn hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        // Release, Acquire: a wake-up must carry what was written before it.
        self.0[side].store(n, Ordering::Release);
        futex::wake_one(&self.0[side]);
        Ok(())
    }

    fn await_hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        let word = &self.0[1 - side];
        loop {
            let seen = word.load(Ordering::Acquire);
            if seen == n {
                return Ok(());
            }
            futex::wait(word, seen)?;
        }
    }
}

/// Two events that busy waiting resets; they carry no number, so the counts at the end are the only check.
struct Busy([RawEvent; 2]);

impl Ball for Busy {
    fn new() -> Result<Self, Failure> {
        Ok(Self([RawEvent::busy()?, RawEvent::busy()?]))
    }

    fn hit(&self, side: usize, _: u32) -> Result<(), Failure> {
        self.0[side].set(EventState::Signaled).map_err(|error| Failure::contender("raw_sync set", error))
    }

    fn await_hit(&self, side: usize, _: u32) -> Result<(), Failure> {
        self.0[1 - side].wait(Timeout::Infinite).map_err(|error| Failure::contender("raw_sync wait", error))
    }
}

/// A pipe for each direction: what side i writes, side 1 - i reads.
struct Pipes([(File, File); 2]);

impl Ball for Pipes {
    fn new() -> Result<Self, Failure> {
        let files = |(reader, writer): (OwnedFd, OwnedFd)| (File::from(reader), File::from(writer));
        Ok(Self([files(pipe()?), files(pipe()?)]))
    }

    fn hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        let mut writer = &self.0[side].1;
        writer.write_all(&n.to_ne_bytes()).map_err(|error| Failure::contender("write to pipe", error))
    }

    fn await_hit(&self, side: usize, n: u32) -> Result<(), Failure> {
        let (mut reader, mut bytes) = (&self.0[1 - side].0, [0; 4]);
        reader.read_exact(&mut bytes).map_err(|error| Failure::contender("read from pipe", error))?;
        same("number on the ball", n.into(), u32::from_ne_bytes(bytes).into())
    }
}
