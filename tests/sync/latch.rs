//! `Latch`: an exact count, and nobody who came too late.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Error, Handle, Latch};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn counts_down_to_open_and_no_further() {
    let latch = Latch::anonymous(5).unwrap();
    assert!(!latch.try_wait());
    assert_eq!(latch.count_down(0).unwrap(), 5);
    assert_eq!(latch.count_down(3).unwrap(), 2);
    let too_far = latch.count_down(3);
    assert!(matches!(too_far, Err(Error::CountedTooFar { by: 3, left: 2, .. })), "{too_far:?}");
    assert_eq!(latch.count(), 2);
    let started = Instant::now();
    assert!(!latch.wait_timeout(SHORT).unwrap() && started.elapsed() >= SHORT);
    assert!(!latch.wait_timeout(Duration::ZERO).unwrap());
    assert!(!latch.arrive_and_wait_timeout(SHORT).unwrap());
    latch.arrive_and_wait().unwrap();
    assert!(latch.try_wait() && latch.wait_timeout(Duration::ZERO).unwrap());
    latch.wait().unwrap();
    assert!(matches!(latch.count_down(1), Err(Error::CountedTooFar { left: 0, .. })));
    assert!(Latch::anonymous(0).unwrap().try_wait());
    assert!(format!("{latch:?}").contains("count: 0"), "{latch:?}");
}

#[test]
fn all_go_on_when_the_last_arrives() {
    const PARTIES: u32 = 6;
    guarded(|| {
        for _ in 0..50 {
            let latch = Latch::anonymous(PARTIES).unwrap();
            let page = Page::new(4096);
            let parties: Vec<Child> = (0..PARTIES)
                .map(|_| {
                    Child::fork(|| {
                        page.u64s()[0].fetch_add(1, SeqCst);
                        latch.arrive_and_wait().unwrap();
                        assert_eq!(page.u64s()[0].load(SeqCst), u64::from(PARTIES));
                    })
                })
                .collect();
            latch.wait().unwrap();
            assert_eq!(page.u64s()[0].load(SeqCst), u64::from(PARTIES));
            finish(parties);
        }
    });
}

#[test]
fn sleepers_are_woken_and_dead_ones_hinder_nobody() {
    guarded(|| {
        let latch = Latch::anonymous(1).unwrap();
        let sleepers = [(); 4].map(|()| {
            let child = Child::fork(|| latch.wait().unwrap());
            await_asleep(&child);
            child
        });
        let [dead, others @ ..] = sleepers;
        kill([dead]);
        Child::fork(|| assert_eq!(latch.count_down(1).unwrap(), 0)).wait(LIMIT).unwrap();
        finish(others);
    });
}

#[test]
fn read_only_handles_and_handles_as_data() {
    let test = TestSpace::new();
    let latch = Latch::builder().space(&test.space).create("l", 1).unwrap();
    let reader = Latch::builder().space(&test.space).read_only(true).open("l").unwrap();
    assert!(!reader.try_wait());
    assert!(matches!(reader.count_down(1), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.wait(), Err(Error::ReadOnly { .. })));
    let text = serde_json::to_string(&latch).unwrap();
    let same = serde_json::from_str::<Handle<Latch>>(&text).unwrap().attach().unwrap();
    same.count_down(1).unwrap();
    assert!(reader.try_wait());
    reader.wait().unwrap();
    assert_eq!(Latch::builder().space(&test.space).open_or_create("l", 9).unwrap().count(), 0);
}
