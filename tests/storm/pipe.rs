//! `Pipe` in a storm: each end hears all that the other said, in order and whole, and that it is alone only if it is.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Error, Pipe, PipeEnd, PipeError};
use procshare_harness::Seat;

use crate::support::{BRIEF, Scene, Size, rage, runs, storm, storm_tests};

/// Bytes of the longest message.
const CAPACITY: usize = 5_000;
/// What each says in a conversation.
const WORDS: u64 = 10;
const WAIT: Duration = Duration::from_millis(2);
/// A host whose guest says nothing goes after so many waits.
const WAITS: u32 = 10;

/// Notes: the last pipe's number, the pipe that waits for a guest, and what was heard in all.
const LAST: usize = 0;
const MEETING: usize = 1;
const HEARD: usize = 2;
/// Ends that were alone though the other one had not finished.
const BEREFT: usize = 3;

/// Who says it, which word of the conversation it is, and bytes that tell whether they are whole.
fn word(speaker: u32, number: u64) -> Vec<u8> {
    let len = if number == 4 { 4_400 } else { number * 97 };
    let mut bytes = [u64::from(speaker).to_ne_bytes(), number.to_ne_bytes()].concat();
    bytes.extend((0..len).map(|at| (u64::from(speaker) + number * 3 + at) as u8));
    bytes
}

#[derive(Default)]
struct Talk {
    said: u64,
    heard: u64,
    partner: Option<u32>,
}

impl Talk {
    fn hear(&mut self, scene: &Scene, bytes: &[u8]) -> Result<(), String> {
        let speaker = bytes.get(..8).map_or(0, |id| u64::from_ne_bytes(id.try_into().unwrap()) as u32);
        if bytes != word(speaker, self.heard) || *self.partner.get_or_insert(speaker) != speaker {
            return Err(format!("{} bytes of {speaker} where word {} was due", bytes.len(), self.heard));
        }
        self.heard += 1;
        scene.word(HEARD).fetch_add(1, SeqCst);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.said == WORDS && self.heard == WORDS
    }

    /// Whoever is told that it is alone is.
    fn alone(&self, scene: &Scene) -> Result<(), String> {
        let Some(partner) = self.partner.filter(|_| self.heard < WORDS) else { return Ok(()) };
        scene.word(BEREFT).fetch_add(1, SeqCst);
        if runs(partner) {
            return Err(format!("closed, and {partner} lives, which has said {} words", self.heard));
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("pipe-{number}")
}

fn converse(scene: &Scene, end: &PipeEnd, mut talk: Talk) -> Result<(), String> {
    while !talk.is_over() {
        if talk.said < WORDS {
            match end.send_bytes_timeout(&word(std::process::id(), talk.said), WAIT) {
                Ok(()) => talk.said += 1,
                Err(PipeError::TimedOut) => {}
                Err(PipeError::Closed) => return talk.alone(scene),
                Err(other) => return Err(other.to_string()),
            }
        }
        while !talk.is_over() {
            // Whoever has said everything waits as long as it takes.
            let heard = if talk.said == WORDS { end.recv_bytes() } else { end.try_recv_bytes() };
            match heard {
                Ok(bytes) => talk.hear(scene, &bytes)?,
                Err(PipeError::WouldBlock) => break,
                Err(PipeError::Closed) => return talk.alone(scene),
                Err(other) => return Err(other.to_string()),
            }
        }
    }
    Ok(())
}

/// Makes a pipe and waits for somebody who speaks first.
fn host(scene: &Scene) -> Result<(), String> {
    let say = |error: Error| error.to_string();
    let number = scene.word(LAST).fetch_add(1, SeqCst) + 1;
    let pipe = Pipe::builder().space(&scene.space).create(&name(number), CAPACITY).map_err(say)?;
    let end = pipe.left().map_err(say)?;
    if scene.word(MEETING).compare_exchange(0, number, SeqCst, SeqCst).is_ok() {
        for _ in 0..WAITS {
            match end.recv_bytes_timeout(WAIT) {
                Ok(first) => {
                    let mut talk = Talk::default();
                    talk.hear(scene, &first)?;
                    converse(scene, &end, talk)?;
                    break;
                }
                Err(PipeError::TimedOut) => {}
                Err(PipeError::Closed) => break,
                Err(other) => return Err(other.to_string()),
            }
        }
        let _ = scene.word(MEETING).compare_exchange(number, 0, SeqCst, SeqCst);
    }
    Pipe::builder().space(&scene.space).unlink(&name(number)).map_err(say)
}

fn visit(scene: &Scene) -> Result<(), String> {
    let number = scene.word(MEETING).swap(0, SeqCst);
    if number == 0 {
        std::thread::yield_now();
        return Ok(());
    }
    match Pipe::builder().space(&scene.space).open(&name(number)).and_then(|pipe| pipe.right()) {
        Ok(end) => converse(scene, &end, Talk::default()),
        // The host has gone or died.
        Err(Error::NotFound { .. } | Error::Closed) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

fn rages(size: Size) {
    let scene = Scene::new("pipe");
    let play = |seat: &mut Seat<'_>| {
        while seat.again() {
            if seat.rng().one_in(2) { host(&scene) } else { visit(&scene) }?;
        }
        Ok::<(), String>(())
    };
    let report = rage(&storm("pipe", size).role("talker", 4, play), size);
    assert!(scene.get(HEARD) > 5 * report.kills, "hardly anything was said");
    assert!(scene.get(BEREFT) > 0 || report.kills < 20, "nobody died in a conversation");
}

storm_tests!(rages, BRIEF);
