//! Storms pass a right toy protocol and catch planted bugs.

use crate::toy::{Bank, Bug};
use procshare_harness::{Page, Reexec, Rng, Seat, Storm, entered, watchdog};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn bank_storm<'a>(bank: &'a Bank, done: &'a Page) -> Storm<'a> {
    Storm::new("bank", Rng::seed_from_env())
        .role("teller", 4, |seat| {
            while seat.again() {
                if bank.transfer(0, usize::MAX) {
                    done.u64s()[seat.index()].fetch_add(1, SeqCst);
                }
            }
        })
        .check(|| {
            let noted: u64 = (0..4).map(|i| done.u64s()[i].load(SeqCst)).sum();
            let made = u64::from(bank.audit(0)?);
            // A killed teller may have made one transfer that it did not note.
            if (noted..=noted + 300).contains(&made) { Ok(()) } else { Err(format!("{made}, noted {noted}")) }
        })
}

#[test]
fn right_protocol_survives_a_storm() {
    watchdog(LIMIT, || {
        let (bank, done) = (Bank::new(Bug::None), Page::new(4096));
        let report = bank_storm(&bank, &done).kills(300).stop_one_in(8).run().assert_clean();
        assert_eq!(report.kills, 300);
        assert!(report.stops > 0 && report.rounds > 300, "{report}");
    });
}

#[test]
fn a_lock_that_dies_with_its_owner_is_a_standstill() {
    watchdog(LIMIT, || {
        let (bank, done) = (Bank::new(Bug::NoRecovery), Page::new(4096));
        let report =
            bank_storm(&bank, &done).hang_after(Duration::from_millis(500)).kills(300).run().assert_caught();
        assert!(report.violations[0].contains("stands still"), "{report:?}");
    });
}

#[test]
fn ends_that_were_not_asked_for_are_violations() {
    watchdog(LIMIT, || {
        let said = |storm: Storm<'_>, words: &str| {
            let report = storm.kills(50).run().assert_caught();
            assert!(report.violations[0].contains(words), "{report:?} does not contain {words:?}");
        };
        said(Storm::new("leaver", 1).role("leaver", 1, |_| {}), "ended cleanly before the storm was over");
        let angry = |seat: &mut Seat<'_>| {
            while seat.again() {
                assert!(seat.index() < 1, "no seat for me");
            }
        };
        said(
            Storm::new("panics", 1).role("calm", 1, angry).role("angry", 1, angry).spared(),
            "no seat for me",
        );
        let idle = |seat: &mut Seat<'_>| while seat.again() {};
        said(Storm::new("check", 1).role("idle", 1, idle).check(|| Err("all wrong")), "all wrong");
    });
}

#[test]
fn the_spared_keep_their_seats() {
    watchdog(LIMIT, || {
        let highest = Page::new(4096);
        let note = |seat: &mut Seat<'_>| {
            highest.u64s()[seat.index()].fetch_max(seat.incarnation(), SeqCst);
            while seat.again() {}
        };
        Storm::new("spared", 3)
            .role("mortal", 1, note)
            .role("immortal", 1, note)
            .spared()
            .kills(20)
            .run()
            .assert_clean();
        let incarnation = |seat: usize| highest.u64s()[seat].load(SeqCst);
        assert_eq!((incarnation(0), incarnation(1)), (20, 0));
    });
}

#[test]
#[ignore = "an entry for new programs"]
fn entry_contender() {
    let Some(argument) = entered("storm::entry_contender") else { return };
    assert_eq!(argument, "hello");
    let mut seat = Seat::inherited().expect("started by a storm");
    while seat.again() {}
}

#[test]
fn new_programs_take_part() {
    watchdog(LIMIT, || {
        let report = Storm::new("programs", 3)
            .program("program", 2, Reexec::new("storm::entry_contender").argument("hello"))
            .kills(15)
            .pause(Duration::ZERO..Duration::from_millis(20))
            .run()
            .assert_clean();
        assert!(report.rounds > 0);
    });
}
