//! A line of waiters whose first was served and died: whom its grant goes to.

use procshare::Space;
use procshare_harness::Child;

use crate::support::{World, await_word};

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
pub(crate) fn assert_passed_on_once<O>(world: &World<O>, look_round: impl FnOnce()) {
    go_on(world);
    await_word(world.word(SERVED[0]), 1);
    // Whoever looks for grants of the dead finds none.
    look_round();
    assert!(!world.noted(SERVED[1]), "one grant was passed on twice");
}

fn living<O>(world: &World<O>) -> i32 {
    world.word(PROCESS).load(std::sync::atomic::Ordering::SeqCst) as i32
}

fn await_count<O>(world: &World<O>, waiting: impl Fn(&World<O>) -> usize, count: usize) {
    while waiting(world) != count {
        std::thread::yield_now();
    }
}

/// Stops a process and waits until it has stopped.
fn stop(pid: i32) {
    // SAFETY: the process is a child of the test process.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    let stat = format!("/proc/{pid}/stat");
    let is_stopped = || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    };
    while !is_stopped() {
        std::thread::yield_now();
    }
}
