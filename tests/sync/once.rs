//! `Once`: done by one, whoever dies on the way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Cause, Error, Handle, Once};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

fn once() -> Once {
    Once::anonymous().unwrap()
}

#[test]
fn one_of_many_does_it_and_all_see_it_done() {
    guarded(|| {
        for _ in 0..30 {
            let once = once();
            let page = Page::new(4096);
            let callers = [(); 4].map(|()| {
                Child::fork(|| {
                    once.call_once(|state| {
                        assert_eq!(state.predecessor(), None);
                        page.u64s()[0].fetch_add(1, SeqCst);
                    })
                    .unwrap();
                    assert!(once.is_completed());
                    assert_eq!(page.u64s()[0].load(SeqCst), 1);
                })
            });
            finish(callers);
            assert!(!once.call_once(|_| unreachable!("it is done")).unwrap());
        }
    });
}

#[test]
fn who_dies_in_it_is_replaced_by_one_that_waits() {
    guarded(|| {
        let once = once();
        let page = Page::new(4096);
        let victim = Child::fork(|| {
            once.call_once(|_| {
                page.u64s()[0].store(1, SeqCst);
                await_that(|| false);
            })
            .unwrap();
        });
        await_that(|| page.u64s()[0].load(SeqCst) == 1);
        assert!(matches!(once.call_once_timeout(SHORT, |_| unreachable!()), Err(Error::TimedOut)));
        assert!(matches!(once.call_once_timeout(Duration::ZERO, |_| unreachable!()), Err(Error::WouldBlock)));
        let next = Child::fork(|| {
            let did_it = once.call_once(|state| assert_eq!(state.predecessor(), Some(Cause::Died)));
            assert!(did_it.unwrap());
        });
        await_asleep(&next);
        assert!(!once.is_completed());
        kill([victim]);
        finish([next]);
        assert!(once.is_completed());
    });
}

#[test]
fn a_panic_is_told_to_the_next() {
    let once = once();
    let panic = catch_unwind(AssertUnwindSafe(|| once.call_once(|_| std::panic::panic_any("no"))));
    assert!(panic.is_err() && !once.is_completed());
    assert!(once.call_once(|state| assert_eq!(state.predecessor(), Some(Cause::Panicked))).unwrap());
    assert!(!once.call_once(|_| unreachable!()).unwrap());
}

#[test]
fn it_cannot_wait_for_itself() {
    let once = once();
    let did_it = once.call_once(|_| {
        assert!(matches!(once.call_once(|_| unreachable!()), Err(Error::Deadlock)));
    });
    assert!(did_it.unwrap());
}

#[test]
fn a_child_forked_in_it_does_not_finish_it() {
    guarded(|| {
        let once = once();
        let page = Page::new(4096);
        Child::fork(|| {
            let page = &page;
            // The grandchild returns from the action, too.
            let mut grandchild = 0;
            let outcome = once.call_once(|_| {
                // SAFETY: the process has one thread, and both sides go on as any code.
                grandchild = unsafe { libc::fork() };
                if grandchild != 0 {
                    await_that(|| page.u64s()[0].load(SeqCst) != 0);
                    assert!(!once.is_completed(), "the grandchild finished it");
                }
            });
            if grandchild == 0 {
                let inherited = matches!(outcome, Err(Error::Inherited { .. }));
                page.u64s()[0].store(if inherited { 1 } else { 2 }, SeqCst);
            } else {
                assert!(outcome.unwrap());
                assert_eq!(page.u64s()[0].load(SeqCst), 1, "the grandchild was not told");
            }
        })
        .wait(LIMIT)
        .unwrap();
        assert!(once.is_completed());
    });
}

#[test]
fn read_only_handles_and_handles_as_data() {
    let test = TestSpace::new();
    let once = Once::builder().space(&test.space).create("o").unwrap();
    let reader = Once::builder().space(&test.space).read_only(true).open("o").unwrap();
    assert!(matches!(reader.call_once(|_| unreachable!()), Err(Error::ReadOnly { .. })));
    let text = serde_json::to_string(&once).unwrap();
    let same = serde_json::from_str::<Handle<Once>>(&text).unwrap().attach().unwrap();
    assert!(same.call_once(|_| ()).unwrap());
    assert!(reader.is_completed() && once.is_completed());
    assert!(!reader.call_once(|_| unreachable!()).unwrap());
    assert!(format!("{once:?}").contains("is_completed: true"), "{once:?}");
}
