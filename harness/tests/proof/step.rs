//! The stepping modes pass a right toy protocol and catch each planted bug.

use crate::toy::{Bank, Bug, futex_wait, futex_wake};
use procshare_harness::{Grain, Limits, Moment, Page, Scenario, watchdog};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const AMOUNT: u32 = 7;
const LIMIT: Duration = Duration::from_secs(120);

/// Each victim makes one transfer, and so does a survivor beside a frozen victim; afterwards they are counted.
fn transfers(bug: Bug, victims: usize) -> Scenario<'static, Bank> {
    let mut scenario = Scenario::new(format!("bank {bug:?}"), move || Bank::new(bug))
        .watch(|bank| vec![bank.page().into()])
        .meanwhile(|bank, _| bank.noted_transfer(7, AMOUNT, 2))
        .check(|bank, fates| {
            let sure = bank.notes();
            let made = bank.audit(AMOUNT)?;
            let possible = fates.len() as u32 + 1;
            if (sure..=possible).contains(&made) {
                Ok(())
            } else {
                Err(format!("{made} transfers made, {sure} returned, {possible} tried"))
            }
        });
    for n in 0..victims {
        scenario = scenario.victim(format!("transfer {n}"), move |bank| bank.noted_transfer(n, AMOUNT, 3));
    }
    scenario
}

#[test]
fn right_protocol_passes_every_mode() {
    watchdog(LIMIT, || {
        let limits = Limits::new();
        let event = transfers(Bug::None, 1).event(&limits).assert_clean();
        assert_eq!(event.end, Some(Moment::Finished));
        // Lock, three words of the record, commit, unlock, wake (before and after), note, start and end.
        assert!((9..=20).contains(&event.points), "{event}");
        assert_eq!(event.kills, event.points);
        assert_eq!(event.diverged, 0);
        let full = transfers(Bug::None, 1).full(&limits.clone().stride(7)).assert_clean();
        assert_eq!(full.kills, full.steps.div_ceil(7) + 1);
        let pair = transfers(Bug::None, 2).pair(&limits.clone().max_points(150)).assert_clean();
        assert!(pair.kills >= 100, "{pair}");
        let chain = transfers(Bug::None, 3).chain(&limits.max_points(250)).assert_clean();
        assert!(chain.kills >= 150, "{chain}");
    });
}

#[test]
fn pairs_and_chains_of_instructions_pass() {
    watchdog(LIMIT, || {
        let limits = Limits::new().grain(Grain::Instruction).max_points(60).seed(5);
        transfers(Bug::None, 2).pair(&limits).assert_clean();
        transfers(Bug::None, 2).chain(&limits).assert_clean();
    });
}

#[test]
fn torn_commits_are_caught_by_both_single_modes() {
    watchdog(LIMIT, || {
        for bug in [Bug::TwoStores, Bug::CommitFirst, Bug::NoRecovery] {
            transfers(bug, 1).event(&Limits::new().max_violations(1)).assert_caught();
            transfers(bug, 1).full(&Limits::new().max_violations(1).stride(7)).assert_caught();
            transfers(bug, 2).chain(&Limits::new().max_violations(1)).assert_caught();
        }
    });
}

#[test]
fn a_stolen_unlock_is_caught_by_pairs_only() {
    watchdog(LIMIT, || {
        transfers(Bug::SwapUnlock, 1).event(&Limits::new()).assert_clean();
        transfers(Bug::SwapUnlock, 2).pair(&Limits::new().max_violations(1)).assert_caught();
    });
}

const READY: usize = 0;
const SLEEPERS: usize = 1;
const SEQUENCE: usize = 2;

/// Sleeps until READY is 1. The wrong one looks before it announces itself, and not again.
fn await_ready(page: &Page, looks_again: bool) {
    let word = |i: usize| &page.u32s()[i];
    while word(READY).load(SeqCst) == 0 {
        word(SLEEPERS).store(1, SeqCst);
        let seen = word(SEQUENCE).load(SeqCst);
        if looks_again && word(READY).load(SeqCst) == 1 {
            return;
        }
        futex_wait(word(SEQUENCE), seen, None);
    }
}

fn make_ready(page: &Page) {
    let word = |i: usize| &page.u32s()[i];
    word(READY).store(1, SeqCst);
    if word(SLEEPERS).load(SeqCst) == 1 {
        word(SEQUENCE).fetch_add(1, SeqCst);
        futex_wake(word(SEQUENCE));
    }
}

fn signal(looks_again: bool) -> Scenario<'static, Page> {
    Scenario::new("signal", || Page::new(4096))
        .watch(|page| vec![page.into()])
        .victim("waiter", move |page| await_ready(page, looks_again))
        .victim("notifier", make_ready)
        // A notifier that died on its way is replaced by a living one.
        .meanwhile(|page, fates| {
            if !fates[1].finished {
                make_ready(page);
            }
        })
        .check(|_, _| {})
}

#[test]
fn a_lost_wake_is_a_hang_of_the_resumed_waiter() {
    watchdog(LIMIT, || {
        signal(true).pair(&Limits::new()).assert_clean();
        let limits = Limits::new().deadline(Duration::from_millis(500)).max_violations(1);
        let report = signal(false).pair(&limits).assert_caught();
        assert!(report.violations[0].hang, "{report:?}");
        let shown = report.violations[0].to_string();
        assert!(shown.contains("resumed victim hung") && shown.contains("waiter"), "{shown}");
    });
}

#[test]
fn a_sleeper_dies_asleep_or_is_roused_and_followed() {
    watchdog(LIMIT, || {
        let asleep = Scenario::new("asleep", || Page::new(4096))
            .watch(|page| vec![page.into()])
            .victim("waiter", |page| await_ready(page, true))
            .check(|_, fates| assert!(!fates[0].finished))
            .event(&Limits::new())
            .assert_clean();
        assert_eq!(asleep.end, Some(Moment::Asleep(libc::SYS_futex as u64)));

        let roused = Scenario::new("roused", || Page::new(4096))
            .watch(|page| vec![page.into()])
            .victim("waiter", |page| await_ready(page, true))
            .when_asleep(make_ready)
            .check(|_, _| {})
            .event(&Limits::new())
            .assert_clean();
        assert_eq!(roused.end, Some(Moment::Finished));
        assert!(roused.points > asleep.points, "{roused} against {asleep}");
    });
}

#[test]
fn long_string_instructions_take_two_steps_and_are_killed_halfway() {
    let torn = || {
        Scenario::new("copy", || Page::new(1 << 16)).victim("fill", |page| {
        // SAFETY: the page is 64 KiB long, mapped, and only this process uses it while it runs.
        unsafe {
            std::arch::asm!("rep stosb", inout("rdi") page.base() => _, inout("rcx") 1usize << 16 => _, in("al") 1u8)
        };
    })
    };
    watchdog(LIMIT, || {
        let report = torn().check(|_, _| {}).full(&Limits::new()).assert_clean();
        assert!(report.steps < 1_000, "{report}");
        let whole = |page: &Page| page.u64s().iter().filter(|w| w.load(SeqCst) != 0).count();
        let halfway = torn().check(move |page, fates| match (whole(page), fates[0].finished) {
            (0, false) | (8_192, _) => Ok(()),
            (some, _) => Err(format!("{some} words of 8192")),
        });
        let report = halfway.full(&Limits::new()).assert_caught();
        assert!(report.violations[0].what.contains("1 words of 8192"), "{report:?}");
    });
}

#[test]
fn misbehaviour_of_any_part_is_a_violation() {
    let page = || Page::new(4096);
    let limits = Limits::new().deadline(Duration::from_millis(300)).max_violations(1);
    let said = |scenario: Scenario<'_, Page>, words: &str| {
        let report = scenario.event(&limits).assert_caught();
        let shown = report.violations[0].to_string();
        assert!(shown.contains(words), "{shown:?} does not contain {words:?}");
    };
    watchdog(LIMIT, || {
        said(
            Scenario::new("victim panics", page).victim("v", |_| panic!("oh dear")).check(|_, _| {}),
            "oh dear",
        );
        said(
            Scenario::new("victim aborts", page).victim("v", |_| std::process::abort()).check(|_, _| {}),
            "signal 6",
        );
        said(
            Scenario::new("check panics", page).victim("v", |_| {}).check(|_, _| -> () { panic!("not so") }),
            "not so",
        );
        said(
            Scenario::new("check spins", page)
                .victim("v", |_| {})
                .check(|page, _| while page.u64s()[0].load(SeqCst) == 0 {}),
            "hung",
        );
        said(
            Scenario::new("preparation panics", page)
                .prepared("v", |_, _| panic!("no handle"))
                .check(|_, _| {}),
            "preparation panicked: ",
        );
        said(
            Scenario::new("stage unused", page).prepared("v", |_, _| {}).check(|_, _| {}),
            "without running its operation",
        );
    });
}

#[test]
fn endless_operations_end_at_the_step_limit() {
    watchdog(LIMIT, || {
        let report = Scenario::new("endless", || Page::new(4096))
            .victim("spin", |page| while page.u32s()[0].load(SeqCst) == 0 {})
            .check(|_, _| {})
            .full(&Limits::new().max_steps(500).max_points(20))
            .assert_clean();
        assert_eq!(report.end, Some(Moment::Exhausted));
        assert_eq!(report.kills, 21);
    });
}

#[test]
fn replays_land_exactly_where_the_recording_was() {
    watchdog(LIMIT, || {
        let report = Scenario::new("counter", || Page::new(4096))
            .watch(|page| vec![page.into()])
            .victim("count to five", |page| {
                for _ in 0..5 {
                    page.u64s()[9].fetch_add(1, SeqCst);
                }
            })
            .check(|page, fates| {
                // One event is the start, one the end, and each of the others is an addition.
                let point = fates[0].point;
                let expected = point.event - 1 - usize::from(fates[0].finished);
                let found = page.u64s()[9].load(SeqCst) as usize;
                if found == expected { Ok(()) } else { Err(format!("{found}, not {expected}")) }
            })
            .full(&Limits::new())
            .assert_clean();
        assert_eq!(report.diverged, 0);
        assert_eq!(report.kills, report.steps + 1);
    });
}

#[test]
fn equal_seeds_draw_equal_points() {
    let drawn = |seed| {
        let seen = Page::new(4096);
        let limits = Limits::new().max_points(6).seed(seed);
        Scenario::new("seeded", || ())
            .victim("count", |_| {
                std::hint::black_box((0..20).map(std::hint::black_box).sum::<u32>());
            })
            .check(|_, fates| {
                let sum = &seen.u64s()[0];
                sum.store(sum.load(SeqCst).wrapping_mul(1_000_003) + fates[0].point.step as u64, SeqCst);
            })
            .full(&limits)
            .assert_clean();
        seen.u64s()[0].load(SeqCst)
    };
    watchdog(LIMIT, || {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    });
}
