//! Contenders that lie, crash or hang cost themselves their figure, and nobody else anything.

#![cfg(target_os = "linux")]

use std::time::Duration;

use procshare_compare::contender::{Contender, solo};
use procshare_compare::crew::{Share, Workers, crew};
use procshare_compare::failure::{Failure, same};
use procshare_compare::machine::Machine;
use procshare_compare::method::{Effort, Measured, Verdict, measure};
use procshare_compare::row::{Placement, Row};

const EFFORT: Effort = Effort {
    rounds: 2,
    solo: Duration::from_millis(1),
    crew: Duration::from_millis(1),
    limit: Duration::from_secs(20),
};

/// Counts, and says at the end that it counted `off` too many.
fn counter(name: &'static str, off: u64) -> Box<dyn Contender> {
    solo(
        name,
        || Ok(0_u64),
        |count, ops| {
            for _ in 0..ops {
                *count = std::hint::black_box(*count + 1);
            }
            Ok(())
        },
        move |count, total| same("count", total, *count + off),
    )
}

fn broken(name: &'static str, work: fn()) -> Box<dyn Contender> {
    solo(
        name,
        || Ok(()),
        move |(), _| {
            work();
            Ok(())
        },
        |(), _| Ok(()),
    )
}

/// The first worker fails, the second would wait for ever.
fn half_crew(name: &'static str, workers: Workers) -> Box<dyn Contender> {
    crew(
        name,
        workers,
        Share::Every,
        |_| Ok(()),
        |(), seat, _| match seat.number {
            0 => Err(Failure::contender("worker", "gave up")),
            _ => sleep_for_ever(),
        },
        |(), _| Ok(()),
    )
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// The only test of this program, so that no other thread is at work when it forks.
#[test]
fn only_honest_contenders_have_figures() {
    let machine = Machine::look().unwrap();
    let row = Row::new("solo", "One worker", Placement::Alone)
        .with(counter("procshare", 0))
        .with(counter("honest", 0))
        .with(counter("liar", 1))
        .with(broken("panics", || panic!("as asked")))
        .with(broken("dies", || std::process::abort()))
        .goal(1000.0, "honest")
        .goal(0.0, "honest")
        .goal(1.0, "liar");
    let report = measure(&row, EFFORT, &machine);
    let by_name = |name: &str| report.contenders.iter().find(|one| one.name == name).unwrap();

    assert!(by_name("honest").summary.unwrap().min > 0.0);
    assert!(matches!(failure(by_name("liar")), Failure::WrongAnswer { .. }));
    assert!(failure(by_name("panics")).to_string().contains("as asked"));
    assert!(matches!(failure(by_name("dies")), Failure::Died { .. }));
    let verdicts: Vec<Verdict> = report.goals.iter().map(|judged| judged.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Unmeasured]);

    let row = Row::new("crew", "Two workers", Placement::SameCore(2))
        .with(half_crew("processes", Workers::Processes))
        .with(half_crew("threads", Workers::Threads));
    for one in measure(&row, EFFORT, &machine).contenders {
        assert!(failure(&one).to_string().contains("gave up"), "{}: {:?}", one.name, one.failure);
    }

    let row = Row::new("hang", "One worker", Placement::Alone).with(broken("hangs", || sleep_for_ever()));
    let hung = measure(&row, Effort { limit: Duration::from_millis(300), ..EFFORT }, &machine);
    assert!(matches!(failure(&hung.contenders[0]), Failure::Hung(_)));
}

fn failure(measured: &Measured) -> &Failure {
    assert!(measured.summary.is_none(), "{} has a figure", measured.name);
    measured.failure.as_ref().unwrap()
}
