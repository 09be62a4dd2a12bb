//! `Condition` in a storm: the dead eat no notification, so nobody waits for an item that is there.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Condition, LockGuard};
use procshare_harness::Seat;

use crate::sanctum::outcome;
use crate::support::{Scene, Size, dawdle, exact, rage, storm, storm_tests};

storm_tests!(rages);

const CONSUMERS: usize = 3;

/// Whether the item is there, changed under the condition's lock.
const FULL: usize = 0;
/// Since when, in nanoseconds after the storm's begin.
const SINCE: usize = 8;
/// Items that were put, and taken.
const PUT: usize = 16;
const TAKEN: usize = 24;

/// A waiter's patience, and how long an item may lie there while somebody waits for it: nobody but a notified one can have seen it.
const PATIENCE: Duration = Duration::from_secs(3);
const TOO_LONG: Duration = Duration::from_secs(2);

/// One storm.
struct Mailbox {
    scene: Scene,
    condition: Condition,
    begin: Instant,
}

impl Mailbox {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn heal(&self, guard: &LockGuard<'_>) -> Result<(), String> {
        guard.make_consistent();
        // The dead one may have put it and told nobody, or was told and could not take it.
        self.condition.notify_all().map(|_| ()).map_err(|error| error.to_string())
    }

    fn lock(&self) -> Result<LockGuard<'_>, String> {
        let (guard, told) = outcome(self.condition.lock())?.ok_or("did not wait")?;
        if told {
            self.heal(&guard)?;
        }
        Ok(guard)
    }

    fn put(&self, seat: &mut Seat<'_>) -> Result<(), String> {
        let guard = self.lock()?;
        if self.scene.get(FULL) == 0 {
            self.scene.set(SINCE, self.now());
            self.scene.word(PUT).fetch_add(1, SeqCst);
            self.scene.set(FULL, 1);
            let outcome = match seat.rng().below(8) {
                0 => self.condition.notify_all(),
                1 => self.condition.notify(2),
                _ => self.condition.notify(1),
            };
            outcome.map_err(|error| error.to_string())?;
        }
        drop(guard);
        dawdle(seat, 5_000);
        Ok(())
    }

    fn take(&self, seat: &mut Seat<'_>) -> Result<(), String> {
        let mut guard = self.lock()?;
        while self.scene.get(FULL) == 0 {
            let (again, timed_out) = match self.condition.wait_timeout(guard, PATIENCE) {
                Ok((guard, result)) => (guard, result.timed_out()),
                Err(error) => {
                    let (guard, _) = outcome(Err(error))?.ok_or("did not wait")?;
                    self.heal(&guard)?;
                    (guard, false)
                }
            };
            guard = again;
            let lain = Duration::from_nanos(self.now().saturating_sub(self.scene.get(SINCE)));
            if timed_out && self.scene.get(FULL) == 1 && lain >= TOO_LONG {
                return Err(format!("a notification was lost: the item is there since {lain:?}"));
            }
            if !seat.again() {
                return Ok(());
            }
        }
        self.scene.set(FULL, 0);
        self.scene.word(TAKEN).fetch_add(1, SeqCst);
        drop(guard);
        Ok(())
    }
}

fn rages(size: Size) {
    let scene = Scene::new("condition");
    let condition = Condition::builder().space(&scene.space).create("it").unwrap();
    let mailbox = Mailbox { scene, condition, begin: Instant::now() };
    let storm = storm("condition", size)
        .role("consumer", CONSUMERS, |seat| {
            while seat.again() {
                mailbox.take(seat)?;
            }
            Ok::<(), String>(())
        })
        .role("producer", 1, |seat| {
            while seat.again() {
                mailbox.put(seat)?;
            }
            // They wait for nobody now.
            mailbox.condition.notify_all().map(|_| ()).map_err(|error| error.to_string())
        })
        .check(|| {
            drop(mailbox.lock().unwrap());
            assert_eq!(mailbox.condition.notify_all().unwrap(), 0, "somebody waits who is not there");
            assert_eq!(mailbox.condition.n_waiting(), 0);
        });
    let report = rage(&storm, size);
    let [full, put, taken] = [FULL, PUT, TAKEN].map(|word| mailbox.scene.get(word));
    println!("condition: {put} put, {taken} taken");
    exact("items", put.max(taken), put.min(taken), report.kills + full);
}
