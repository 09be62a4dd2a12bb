//! Every synchronisation object between two pid namespaces: a death in one is noticed in the other.

use procshare::{
    Barrier, BarrierError, BoundedSemaphore, Breakage, Cause, Condition, Event, Latch, Lock, LockArray,
    LockError, Once, RLock, Reset, RwLock, Semaphore, Space, Taken, try_wait_any, wait_any,
};

use crate::namespaces::{FIRST, end, first_of, in_pid_namespace};
use crate::support::{Flags, Home, SOON, guarded, park};

/// Waits until process 1 of a namespace is in one of these states, or has ended.
fn await_state(flags: &Flags, states: &str) {
    flags.wait(FIRST);
    let stat = format!("/proc/{}/stat", first_of(flags));
    while let Ok(stat) = std::fs::read_to_string(&stat) {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state.is_some_and(|state| states.contains(state)) {
            return;
        }
        std::thread::yield_now();
    }
}

/// In one namespace `hold` takes something and its process dies; in another, where it was seen alive by `before`, `notice` waits
/// for that.
fn across<O>(
    make: impl FnOnce(&Space) -> O,
    hold: impl FnOnce(&O),
    before: impl Fn(&O),
    notice: impl Fn(&O),
) {
    guarded(|| {
        let home = Home::new();
        let object = make(&home.space);
        let (there, here) = (Flags::new(), Flags::new());
        let holder = in_pid_namespace(&there, || {
            hold(&object);
            there.raise(0);
            park();
        });
        let Some(holder) = holder else { return };
        there.wait(0);
        let waiter = in_pid_namespace(&here, || {
            before(&object);
            here.raise(0);
            notice(&object);
        });
        let waiter = waiter.expect("what was permitted once is permitted again");
        here.wait(0);
        await_state(&here, "S");
        end(holder, &there);
        waiter.wait(SOON).unwrap();
    });
}

/// Two wait in two namespaces, the one that came first is served and dies before it knows: `serve` serves one.
fn passed_on<O>(make: impl FnOnce(&Space) -> O, wait: impl Fn(&O), serve: impl Fn(&O)) {
    guarded(|| {
        let home = Home::new();
        let object = make(&home.space);
        let (there, here) = (Flags::new(), Flags::new());
        let first = in_pid_namespace(&there, || {
            there.raise(0);
            wait(&object);
        });
        let Some(first) = first else { return };
        there.wait(0);
        await_state(&there, "S");
        let second = in_pid_namespace(&here, || {
            here.raise(0);
            wait(&object);
        });
        let second = second.expect("what was permitted once is permitted again");
        here.wait(0);
        await_state(&here, "S");
        // SAFETY: a process that this test started.
        assert_eq!(unsafe { libc::kill(first_of(&there), libc::SIGSTOP) }, 0);
        await_state(&there, "T");
        serve(&object);
        end(first, &there);
        second.wait(SOON).unwrap();
    });
}

/// What an acquirer gets after a death; healed.
fn died<G>(outcome: Result<G, LockError<G>>) -> G {
    match outcome {
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => outcome.into_guard(),
        Ok(_) => panic!("not told of the death"),
        Err(other) => panic!("the holder is dead, and we got {other}"),
    }
}

#[test]
fn rlock() {
    across(
        |space| RLock::builder().space(space).create("it").unwrap(),
        |lock| std::mem::forget((lock.lock().unwrap(), lock.lock().unwrap())),
        |lock| assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock))),
        |lock| {
            let _guard = died(lock.lock_timeout(SOON));
            assert_eq!(lock.depth(), 1);
        },
    );
}

#[test]
fn a_lock_of_an_array() {
    across(
        |space| LockArray::builder().space(space).create("it", 3).unwrap(),
        |locks| std::mem::forget(locks.at(1).unwrap().lock().unwrap()),
        |locks| assert!(matches!(locks.at(1).unwrap().try_lock(), Err(LockError::WouldBlock))),
        |locks| drop(died(locks.at(1).unwrap().lock_timeout(SOON))),
    );
}

#[test]
fn rwlock_written() {
    across(
        |space| RwLock::builder().space(space).create("it").unwrap(),
        |lock| std::mem::forget(lock.write().unwrap()),
        |lock| assert!(matches!(lock.try_read(), Err(LockError::WouldBlock))),
        |lock| {
            drop(died(lock.read_timeout(SOON)));
            died(lock.write_timeout(SOON)).make_consistent();
            drop(lock.try_read().unwrap());
        },
    );
}

#[test]
fn rwlock_read() {
    across(
        |space| RwLock::builder().space(space).create("it").unwrap(),
        |lock| std::mem::forget(lock.read().unwrap()),
        |lock| assert!(matches!(lock.try_write(), Err(LockError::WouldBlock))),
        |lock| drop(lock.write_timeout(SOON).unwrap()),
    );
}

#[test]
fn semaphores() {
    across(
        |space| {
            let builder = || Semaphore::builder().space(space);
            // The second one's permits are in the bank, but for those in the slots that are taken here.
            (builder().create("slots", 1).unwrap(), builder().create("bank", 300).unwrap())
        },
        |(slots, bank)| {
            std::mem::forget(slots.acquire().unwrap());
            (0..300).for_each(|_| std::mem::forget(bank.acquire().unwrap()));
        },
        |(slots, bank)| assert!(slots.try_acquire().is_err() && bank.try_acquire().is_err()),
        |(slots, bank)| {
            drop(slots.acquire_timeout(SOON).unwrap());
            let all: Vec<_> = (0..300).map(|_| bank.acquire_timeout(SOON).unwrap()).collect();
            assert!(bank.try_acquire().is_err(), "there are {} permits, and one more", all.len());
        },
    );
}

#[test]
fn bounded_semaphore() {
    across(
        |space| BoundedSemaphore::builder().space(space).create("it", 2).unwrap(),
        |semaphore| std::mem::forget((semaphore.acquire().unwrap(), semaphore.acquire().unwrap())),
        |semaphore| assert!(semaphore.try_acquire().is_err()),
        |semaphore| {
            let _both = (semaphore.acquire_timeout(SOON).unwrap(), semaphore.acquire_timeout(SOON).unwrap());
            assert!(semaphore.try_acquire().is_err());
        },
    );
}

#[test]
fn event() {
    passed_on(
        |space| Event::builder().space(space).create_with("it", Reset::Auto).unwrap(),
        |event| event.wait().unwrap(),
        |event| event.set().unwrap(),
    );
}

#[test]
fn condition() {
    passed_on(
        |space| Condition::builder().space(space).create("it").unwrap(),
        |condition| drop(condition.wait(condition.lock().unwrap()).unwrap()),
        |condition| {
            let _guard = condition.lock().unwrap();
            assert!(condition.notify_one().unwrap());
        },
    );
}

#[test]
fn barrier() {
    across(
        |space| Barrier::builder().space(space).create("it", 2).unwrap(),
        |barrier| std::mem::forget(barrier.join().unwrap()),
        |barrier| assert!(!barrier.is_broken()),
        |barrier| {
            let outcome = barrier.wait_timeout(SOON);
            assert!(matches!(outcome, Err(BarrierError::Broken(Breakage::Died))), "{outcome:?}");
            barrier.reset().unwrap();
        },
    );
}

#[test]
fn latch() {
    across(
        |space| Latch::builder().space(space).create("it", 2).unwrap(),
        |latch| assert_eq!(latch.count_down(1).unwrap(), 1),
        |latch| assert!(!latch.try_wait()),
        |latch| assert!(latch.arrive_and_wait_timeout(SOON).unwrap(), "the dead one had counted down"),
    );
}

#[test]
fn once() {
    let begun = Flags::new();
    guarded(|| {
        let home = Home::new();
        let once = Once::builder().space(&home.space).create("it").unwrap();
        let (there, here) = (Flags::new(), Flags::new());
        let doer = in_pid_namespace(&there, || {
            let _ = once.call_once(|_| {
                begun.raise(0);
                park();
            });
        });
        let Some(doer) = doer else { return };
        begun.wait(0);
        let next = in_pid_namespace(&here, || {
            assert!(!once.is_completed());
            here.raise(0);
            let done = once.call_once_timeout(SOON, |state| {
                assert_eq!(state.predecessor(), Some(Cause::Died));
            });
            assert!(done.unwrap());
        });
        let next = next.expect("what was permitted once is permitted again");
        here.wait(0);
        await_state(&here, "S");
        end(doer, &there);
        next.wait(SOON).unwrap();
        assert!(once.is_completed());
    });
}

#[test]
fn a_participant_and_what_it_holds_among_other_things() {
    across(
        |space| {
            let lock = Lock::builder().space(space).create("lock").unwrap();
            (space.clone(), lock, Semaphore::builder().space(space).create("permit", 1).unwrap())
        },
        |(_, lock, semaphore)| std::mem::forget((lock.lock().unwrap(), semaphore.acquire().unwrap())),
        |(space, lock, semaphore)| {
            let watch = space.watch(lock.holder().unwrap());
            assert!(try_wait_any(&[lock, semaphore, &watch]).is_err());
        },
        |(space, lock, semaphore)| {
            let watch = space.watch(lock.holder().unwrap());
            assert!(matches!(wait_any(&[&watch]).unwrap(), (0, Taken::Ready)));
            assert!(matches!(wait_any(&[lock]).unwrap(), (0, Taken::LockOwnerDied(_))));
            assert!(matches!(wait_any(&[semaphore]).unwrap(), (0, Taken::Permit(_))));
        },
    );
}
