//! Waiters that die asleep, or as they are woken; and a line of waiters whose first was served and died.

use std::time::Duration;

use procshare::Space;
use procshare_harness::{Child, Limits, Scenario, watchdog};

use crate::support::{World, await_word, stop};

/// A victim that sleeps in slices, stepped, sleeps little in each: so much in all is enough to be taken for asleep.
const ASLEEP: Duration = Duration::from_millis(1);

/// Kills a sleeper at every event of falling asleep and waking up, or at a sample of them.
pub(crate) fn sleeper_at_every_event<C>(scenario: &Scenario<'_, C>) {
    // Where stepping takes longer than a slice, nobody is ever asleep: then it is followed for a while only.
    let limits = Limits::new().asleep_after(ASLEEP).max_points(100).max_steps(100_000);
    watchdog(Duration::from_secs(120), || drop(scenario.event(&limits).assert_clean()));
}

/// Kills a sleeper after a sample of its instructions.
pub(crate) fn sleeper_at_every_instruction<C>(scenario: &Scenario<'_, C>) {
    let limits = Limits::new().asleep_after(ASLEEP).max_points(4_000);
    watchdog(Duration::from_secs(3 * 3600), || drop(scenario.full(&limits).assert_clean()));
}

/// Makes the tests of scenarios whose victim sleeps.
macro_rules! sleeper_tests {
    ($($name:ident;)*) => {
        /// Falling asleep and waking up, every event.
        mod asleep_at_every_event {
            $(#[test]
            fn $name() {
                crate::line::sleeper_at_every_event(&super::$name());
            })*
        }

        /// Falling asleep and waking up, every instruction.
        mod asleep_at_every_instruction {
            $(#[test]
            #[ignore = "takes minutes"]
            fn $name() {
                crate::line::sleeper_at_every_instruction(&super::$name());
            })*
        }
    };
}

/// Notes: who of the living in the line was served, and the process in which they wait.
pub(crate) const SERVED: [usize; 2] = [8, 9];
const PROCESS: usize = 10;

/// A world in which the first of three waiters was granted what it waited for and died before it could take it, and the two others,
/// who live, are stopped: whoever passes the grant on is a victim.
///
/// `wait` waits once, `waiting` counts the waiters, `grant` serves one.
pub(crate) fn line<O>(
    name: &str,
    make: impl FnOnce(&Space) -> O,
    wait: fn(&O),
    waiting: fn(&World<O>) -> usize,
    grant: impl FnOnce(&O),
) -> World<O>
where
    World<O>: Sync,
{
    let world = World::new(name, make);
    let dead = Child::fork(|| wait(&world.object));
    await_count(&world, waiting, 1);
    stop(dead.pid());
    let world = world.with_helper(|world| {
        world.space.join().unwrap();
        world.word(PROCESS).store(u64::from(std::process::id()), std::sync::atomic::Ordering::SeqCst);
        std::thread::scope(|scope| {
            for (before, note) in SERVED.into_iter().enumerate() {
                await_count(world, waiting, before + 1);
                scope.spawn(move || {
                    wait(&world.object);
                    world.note(note);
                });
            }
        });
    });
    await_count(&world, waiting, 3);
    grant(&world.object);
    stop(living(&world));
    let _ = dead.kill();
    world
}

/// Lets those who live go on.
pub(crate) fn go_on<O>(world: &World<O>) {
    // SAFETY: the process is a child of the test process that lives until the world ends.
    unsafe { libc::kill(living(world), libc::SIGCONT) };
}

/// The first of the living is served, and nobody else: the grant went on once.
///
/// `look_round` looks for grants of the dead: when the living have gone on, and with `early` also before, so that once the one
/// who is served cleans up what the dead left half done, and once whoever looks.
pub(crate) fn assert_passed_on_once<O>(
    world: &World<O>,
    second_waits: fn(&World<O>) -> bool,
    early: bool,
    look_round: impl Fn(),
) {
    if early {
        look_round();
        assert!(second_waits(world), "one grant was passed on to both");
    }
    go_on(world);
    await_word(world.word(SERVED[0]), 1);
    look_round();
    assert!(second_waits(world), "one grant was passed on twice");
    assert!(!world.noted(SERVED[1]));
}

fn living<O>(world: &World<O>) -> i32 {
    world.word(PROCESS).load(std::sync::atomic::Ordering::SeqCst) as i32
}

fn await_count<O>(world: &World<O>, waiting: impl Fn(&World<O>) -> usize, count: usize) {
    while waiting(world) != count {
        std::thread::yield_now();
    }
}
