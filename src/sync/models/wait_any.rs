use std::rc::Rc;

use crate::atomic::{AtomicU32, Ordering::SeqCst};
use crate::model::{Guarded, explore};
use crate::park::ALL;
use crate::participant::Host;
use crate::sync::event_count::EventCount;
use crate::sync::lock_word::LockWord;
use crate::sync::wait::Patience;
use crate::time::Deadline;

#[test]
fn a_sleeper_at_a_lock_that_takes_something_else_passes_its_wake_up_on() {
    explore(3, |world| {
        let locked = Rc::new((LockWord::default(), Guarded::new(0)));
        let owner = world.participant(3);
        assert!(locked.0.acquire_fast(owner.owner()));
        // Each step is one of `LockSource`.
        let several = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| {
                if let Some(bits) = locked.0.announce() {
                    me.wait(&locked.0.futex(), bits, Deadline::Never, 0);
                    locked.0.pass_on(me);
                }
            }
        });
        let patient = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| {
                if !locked.0.acquire_fast(me.owner()) {
                    locked
                        .0
                        .acquire_slow(me, me.owner(), Deadline::Never)
                        .expect("waits as long as it takes");
                }
                assert_eq!(locked.1.get(), 1);
                assert!(locked.0.release(me, me.owner()));
            }
        });
        locked.1.set(1);
        assert!(locked.0.release(&owner, owner.owner()));
        patient.join();
        // What else it waits for comes.
        owner.wake(&locked.0.futex(), ALL);
        several.join();
    });
}

#[test]
fn a_sleeper_for_a_permit_that_takes_something_else_passes_its_wake_up_on() {
    explore(3, |world| {
        let permits = Rc::new((AtomicU32::new(0), EventCount::default()));
        let other = Rc::new(AtomicU32::new(0));
        let take =
            |permits: &(AtomicU32, EventCount)| permits.0.compare_exchange(1, 0, SeqCst, SeqCst).is_ok();
        // Each step is one of `PermitSource`; it finds something else there once it is awake.
        let several = world.spawn(1, {
            let (permits, other) = (Rc::clone(&permits), Rc::clone(&other));
            move |me| {
                let mut patience = Patience::without_watch(me, Deadline::Never);
                let ticket = permits.1.prepare();
                if other.load(SeqCst) == 0 {
                    permits.1.wait(&mut patience, ticket);
                }
                permits.1.pass_on(me, ticket);
            }
        });
        let patient = world.spawn(2, {
            let permits = Rc::clone(&permits);
            move |me| {
                let mut patience = Patience::without_watch(me, Deadline::Never);
                while !take(&permits) {
                    let ticket = permits.1.prepare();
                    if take(&permits) {
                        return;
                    }
                    permits.1.wait(&mut patience, ticket);
                }
            }
        });
        let me = world.participant(3);
        permits.0.store(1, SeqCst);
        permits.1.notify(&me, 1);
        patient.join();
        // What else it waits for comes.
        other.store(1, SeqCst);
        permits.1.notify_all(&me);
        several.join();
    });
}
