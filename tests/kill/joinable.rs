//! Deaths inside `JoinableQueue`: a task is done or it is not, and whoever joins comes back when all are.

use procshare::{JoinableInit, JoinableQueue, Space, Unfinished};
use procshare_harness::Scenario;

use crate::support::{World, await_word, die_after};

kill_tests! {
    done: Alone;
    dropped_counts: Alone;
    dead_are_counted: Chain;
    take_from_a_full_queue: Chain;
    join: Alone;
}

sleeper_tests! {
    wait_to_join;
}

type JobsWorld = World<JoinableQueue<u64>>;

/// Notes.
const JOINING: usize = 0;
const JOINED: usize = 1;
const TAKEN: usize = 2;
const GO: usize = 3;
const DONE: usize = 4;

fn jobs_in(init: JoinableInit) -> impl Fn(&Space) -> JoinableQueue<u64> {
    move |space| {
        let jobs = JoinableQueue::builder().space(space).create("it", init).unwrap();
        jobs.put_many(&[1, 2]).unwrap();
        jobs
    }
}

fn used(world: &JobsWorld) -> &JoinableQueue<u64> {
    world.space.join().unwrap();
    &world.object
}

/// Finishes what is left; tells how much that was.
fn finish(jobs: &JoinableQueue<u64>) -> usize {
    let mut count = 0;
    while let Ok(task) = jobs.try_get() {
        task.done();
        count += 1;
    }
    count
}

fn assert_works(world: &JobsWorld) {
    let jobs = &world.object;
    jobs.join().unwrap();
    assert_eq!(jobs.unfinished(), 0);
    for task in 0..jobs.capacity() as u64 {
        jobs.try_put(task).unwrap();
    }
    assert!(jobs.try_put(9).is_err() && jobs.try_join().is_err());
    assert_eq!(finish(jobs), jobs.capacity());
    jobs.try_join().unwrap();
    world.assert_slots();
    world.assert_only(&["it"]);
}

/// A living process waits until all is done, while the victim does the last task.
fn done() -> Scenario<'static, JobsWorld> {
    let setup = || {
        let world = World::new("done", jobs_in(JoinableInit::new(3))).with_helper(|world| {
            let jobs = used(world);
            world.note(JOINING);
            jobs.join().unwrap();
            world.note(JOINED);
        });
        await_word(world.word(JOINING), 1);
        world.object.get().unwrap().done();
        world
    };
    Scenario::new("done", setup)
        .prepared("done", |world, stage| {
            let jobs = used(world);
            stage.run(|| jobs.get().unwrap().done())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let left = finish(&world.object);
            assert!(left == 0 || (left == 1 && !fates[0].finished));
            await_word(world.word(JOINED), 1);
            assert_works(world);
        })
}

fn dropped_counts() -> Scenario<'static, JobsWorld> {
    let init = JoinableInit::new(3).when_dropped(Unfinished::CountedDone);
    Scenario::new("dropped", move || World::new("dropped", jobs_in(init)))
        .prepared("drop", |world, stage| {
            let jobs = used(world);
            stage.run(|| drop(jobs.get().unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let left = finish(&world.object);
            assert!(left == 1 || (left == 2 && !fates[0].finished), "{left}");
            assert_works(world);
        })
}

/// Tasks of the dead count as done, by whoever comes next, who dies, too.
fn dead_are_counted() -> Scenario<'static, JobsWorld> {
    let setup = || {
        let init = JoinableInit::new(3).when_dead(Unfinished::CountedDone);
        let world = World::new("dead-counted", jobs_in(init));
        die_after(|| {
            let jobs = &world.object;
            std::mem::forget((jobs.get().unwrap(), jobs.get().unwrap()));
        });
        world
    };
    Scenario::new("dead-counted", setup)
        .prepared("join", |world, stage| {
            let jobs = used(world);
            stage.run(|| jobs.join().unwrap())
        })
        .prepared("put", |world, stage| {
            let jobs = used(world);
            stage.run(|| jobs.put_many(&[3, 4]).unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let left = finish(&world.object);
            let finished = fates.get(1).is_some_and(|fate| fate.finished);
            assert!(left == 2 || (left < 2 && !finished), "{left}");
            assert_works(world);
        })
}

/// Whoever dies while it takes the first task of a full queue is done with it, and the next producer finds room, or dies, too.
fn take_from_a_full_queue() -> Scenario<'static, JobsWorld> {
    let setup = || {
        let init = JoinableInit::new(2).when_dead(Unfinished::CountedDone);
        World::new("take-full", jobs_in(init))
    };
    Scenario::new("take-full", setup)
        .prepared("take", |world, stage| {
            let jobs = used(world);
            stage.run(|| std::mem::forget(jobs.get().unwrap()))
        })
        .prepared("put", |world, stage| {
            let jobs = used(world);
            stage.run(|| drop(jobs.try_put(3)))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let jobs = &world.object;
            let took = fates[0].finished && jobs.try_put(4).is_ok();
            let left = finish(jobs);
            if left == 0 || left > 2 || took && left != 2 {
                return Err(format!("{left} left"));
            }
            assert_works(world);
            Ok::<(), String>(())
        })
}

fn join() -> Scenario<'static, JobsWorld> {
    let setup = || {
        let world = World::new("join-jobs", jobs_in(JoinableInit::new(3)));
        finish(&world.object);
        world
    };
    Scenario::new("join-jobs", setup)
        .prepared("join", |world, stage| {
            let jobs = used(world);
            stage.run(|| jobs.join().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, _| assert_works(world))
}

fn wait_to_join() -> Scenario<'static, JobsWorld> {
    let setup = || {
        let world = World::new("wait-join", jobs_in(JoinableInit::new(3))).with_helper(|world| {
            let jobs = used(world);
            let tasks = [jobs.get().unwrap(), jobs.get().unwrap()];
            world.note(TAKEN);
            await_word(world.word(GO), 1);
            // Without a lock: a sleeper that looks now and then may be stopped with one.
            tasks.into_iter().for_each(|task| task.done());
            world.note(DONE);
        });
        await_word(world.word(TAKEN), 1);
        world
    };
    fn go(world: &JobsWorld) {
        world.note(GO);
        await_word(world.word(DONE), 1);
    }
    Scenario::new("wait-join", setup)
        .prepared("sleeper", |world, stage| {
            let jobs = used(world);
            stage.run(|| jobs.join().unwrap())
        })
        .when_asleep(go)
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.noted(DONE) || !fates[0].finished);
            go(world);
            assert_works(world);
        })
}
