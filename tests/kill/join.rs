//! Deaths while a process joins: its slot comes back, ids are never given twice.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Error, Lock};
use procshare_harness::Scenario;

use crate::support::{SLOTS, World, die_after, lock_in};

kill_tests! {
    join: Pair;
    join_a_used_space: Chain;
    refused: Alone;
}

type SpaceWorld = World<Lock>;

/// Who had which id: the victims, then everybody that ever joined before.
const IDS: usize = 0;

fn distinct(world: &SpaceWorld, fates: usize) -> Result<(), String> {
    let mine = u64::from(world.space.join().map_err(|error| error.to_string())?.to_bits());
    let mut ids: Vec<u64> = (0..fates).map(|victim| world.word(IDS + victim).load(SeqCst)).collect();
    ids.push(mine);
    ids.retain(|&id| id != 0);
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() == given { Ok(()) } else { Err(format!("an id was given twice: {ids:x?}")) }
}

fn joins(scenario: Scenario<'static, SpaceWorld>, victims: usize) -> Scenario<'static, SpaceWorld> {
    let mut scenario = scenario;
    for victim in 0..victims {
        scenario = scenario.victim(format!("join {victim}"), move |world| {
            let id = world.space.join().unwrap().to_bits();
            world.word(IDS + victim).store(id.into(), SeqCst);
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        distinct(world, fates.len())?;
        world.assert_slots();
        world.assert_only(&["it"]);
        Ok::<(), String>(())
    })
}

fn join() -> Scenario<'static, SpaceWorld> {
    joins(Scenario::new("join", || World::new("join", lock_in)), 2)
}

/// Every slot has been used before.
fn join_a_used_space() -> Scenario<'static, SpaceWorld> {
    let used = || {
        let world = World::new("join-used", lock_in);
        for _ in 0..SLOTS {
            die_after(|| assert!(world.space.join().is_ok()));
        }
        world
    };
    joins(Scenario::new("join a used space", used), 3)
}

/// A process that finds all slots taken, and dies of it: the others notice nothing.
fn refused() -> Scenario<'static, SpaceWorld> {
    let full = || {
        World::new("join-refused", lock_in).with_helper(|world| {
            // The test process has one; forked children take the rest and live as long as this helper.
            world.space.join().unwrap();
            for _ in 2..SLOTS {
                world.guest_for_ever();
            }
            world.note(9);
        })
    };
    Scenario::new("join a full space", full)
        .prepared("join", |world, stage| {
            crate::support::await_word(world.word(9), 1);
            stage.run(|| assert!(matches!(world.space.join(), Err(Error::SpaceFull { capacity: SLOTS, .. }))))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            crate::support::await_word(world.word(9), 1);
            assert!(matches!(world.space.join(), Err(Error::SpaceFull { .. })));
            assert_eq!(world.object.holder(), None);
        })
}
