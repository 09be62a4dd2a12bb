//! Deaths while objects are made, opened, dropped, unlinked and collected: complete or absent, and nothing left behind.

use std::path::PathBuf;
use std::time::Duration;

use procshare::{Error, Handle, Lifetime, Space, Value};
use procshare_harness::{Fate, Page, Region, Scenario, child};

use crate::seccomp::{NO_UNNAMED_FILES, refuse};
use crate::support::{World, die_after, directory, files};
use crate::value::{OLD, Wide, value_in};

kill_tests! {
    create: Pair;
    create_under_a_temporary_name: Pair;
    create_in_a_new_space: Pair;
    open_or_create: Pair;
    anonymous: Alone;
    open: Alone;
    open_from_outside: Alone;
    attach_by_handle: Alone;
    drop_scoped: Pair;
    drop_scoped_beside_an_opener: Pair;
    drop_with_a_successor: Alone;
    unlink: Pair;
    collect: Chain;
}

type SpaceWorld = World<Value<Wide>>;

const MADE: Wide = [7; 16];

fn world(name: &'static str) -> impl Fn() -> SpaceWorld {
    move || World::new(name, value_in)
}

/// A space that the test process itself has never entered.
struct Outside {
    dir: PathBuf,
    page: Page,
}

impl Outside {
    fn new(name: &str) -> Self {
        let dir = directory(name);
        let _ = std::fs::remove_dir_all(&dir);
        Outside { dir, page: Page::new(4096) }
    }

    fn space(&self) -> Result<Space, Error> {
        Space::at(&self.dir).participants(crate::support::SLOTS).open_or_create()
    }

    fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = Region::files_in(&self.dir).unwrap_or_default();
        regions.push((&self.page).into());
        regions
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `name` is complete or absent; if it must be there, it is. If it is absent, it can be made.
fn complete_or_absent(space: &Space, name: &str, must: bool) -> Result<(), String> {
    let whole = |value: &Value<Wide>| {
        assert_eq!(value.get().unwrap(), MADE);
        value.update(|wide| wide[0] = 7).unwrap();
    };
    match Value::<Wide>::builder().space(space).open(name) {
        Ok(value) => whole(&value),
        Err(Error::NotFound { .. }) if !must => {
            whole(&Value::builder().space(space).create(name, MADE).map_err(|error| error.to_string())?);
        }
        Err(other) => return Err(other.to_string()),
    }
    let left: Vec<String> = {
        space.collect().map_err(|error| error.to_string())?;
        files(space.directory())
            .into_iter()
            .filter(|file| !["it", ".registry", name].contains(&&**file))
            .collect()
    };
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
}

fn any_finished(fates: &[Fate]) -> bool {
    fates.iter().any(|fate| fate.finished)
}

fn create() -> Scenario<'static, SpaceWorld> {
    let mut scenario = Scenario::new("create", world("create"));
    for name in ["create", "create too"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| match Value::builder().space(&world.space).create("made", MADE) {
                Ok(value) => std::mem::forget(value),
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            })
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        complete_or_absent(&world.space, "made", any_finished(fates))?;
        world.assert_slots();
        Ok::<(), String>(())
    })
}

/// File systems without unnamed files: what a dead creator leaves there is collected.
fn create_under_a_temporary_name() -> Scenario<'static, SpaceWorld> {
    let mut scenario = Scenario::new("create under a temporary name", world("temporary"));
    for name in ["create", "create too"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            refuse(&[NO_UNNAMED_FILES]).unwrap();
            stage.run(|| match Value::builder().space(&world.space).create("made", MADE) {
                Ok(value) => std::mem::forget(value),
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            })
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(|world, fates| complete_or_absent(&world.space, "made", any_finished(fates)))
}

fn create_in_a_new_space() -> Scenario<'static, Outside> {
    let mut scenario = Scenario::new("create in a new space", || Outside::new("new-space"));
    for name in ["create", "create too"] {
        scenario = scenario.victim(name, |outside| {
            let space = outside.space().unwrap();
            match Value::builder().space(&space).create("made", MADE) {
                Ok(value) => std::mem::forget(value),
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        });
    }
    scenario.watch(|outside| outside.regions()).check(|outside, fates| {
        match Space::at(&outside.dir).open() {
            Ok(_) => {}
            Err(Error::NotFound { .. }) if !any_finished(fates) => {}
            Err(other) => return Err(other.to_string()),
        }
        let space = outside.space().map_err(|error| error.to_string())?;
        complete_or_absent(&space, "made", any_finished(fates))
    })
}

fn open_or_create() -> Scenario<'static, SpaceWorld> {
    let mut scenario = Scenario::new("open or create", world("open-or-create"));
    for name in ["one", "other"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let value = Value::builder().space(&world.space).open_or_create("made", MADE).unwrap();
                assert_eq!(value.get().unwrap(), MADE);
            })
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(|world, fates| complete_or_absent(&world.space, "made", any_finished(fates)))
}

fn anonymous() -> Scenario<'static, SpaceWorld> {
    Scenario::new("anonymous", world("anonymous"))
        .prepared("make and drop", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| drop(Value::builder().space(&world.space).anonymous(MADE).unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            if fates[0].finished {
                assert_eq!(files(&world.dir).len(), 2, "the last one out did not clean up");
            }
            world.assert_only(&["it"]);
        })
}

fn open() -> Scenario<'static, SpaceWorld> {
    Scenario::new("open", world("open"))
        .victim("open", |world| {
            let value = Value::<Wide>::builder().space(&world.space).open("it").unwrap();
            assert_eq!(value.get().unwrap(), OLD);
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert_eq!(Value::<Wide>::builder().space(&world.space).open("it").unwrap().get().unwrap(), OLD);
            world.assert_slots();
            world.assert_only(&["it"]);
        })
}

fn open_from_outside() -> Scenario<'static, Outside> {
    let outside = || {
        let outside = Outside::new("open-outside");
        child(Duration::from_secs(10), || {
            drop(Value::builder().space(&outside.space().unwrap()).create("made", MADE).unwrap());
        })
        .unwrap();
        outside
    };
    Scenario::new("enter, join and open", outside)
        .victim("open", |outside| {
            let path = outside.dir.join("made");
            assert_eq!(Value::<Wide>::open(path.to_str().unwrap()).unwrap().get().unwrap(), MADE);
        })
        .watch(|outside| outside.regions())
        .check(|outside, _| complete_or_absent(&outside.space().unwrap(), "made", true))
}

fn attach_by_handle() -> Scenario<'static, SpaceWorld> {
    Scenario::new("attach by handle", world("attach"))
        .prepared("attach", |world, stage| {
            let text = serde_json::to_string(&world.object).unwrap();
            stage.run(|| {
                let handle: Handle<Value<Wide>> = serde_json::from_str(&text).unwrap();
                assert_eq!(handle.attach().unwrap().get().unwrap(), OLD);
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert_eq!(world.object.get().unwrap(), OLD);
            world.assert_slots();
            world.assert_only(&["it"]);
        })
}

fn scoped(space: &Space, name: &str) -> Value<Wide> {
    Value::builder().space(space).lifetime(Lifetime::Scoped).create(name, MADE).unwrap()
}

fn reopen(space: &Space, name: &str) -> Value<Wide> {
    Value::builder().space(space).open(name).unwrap()
}

/// Two users of a scoped object leave, whoever is the last, wherever one of them dies: it goes, and so does its name.
fn drop_scoped() -> Scenario<'static, SpaceWorld> {
    let both_in = 0;
    let mut scenario = Scenario::new("drop scoped", world("drop-scoped"));
    for name in ["leave", "leave too"] {
        scenario = scenario.prepared(name, move |world, stage| {
            // The first makes it; the other may find that it is being removed.
            let value = if world.noted(both_in) {
                match Value::<Wide>::builder().space(&world.space).open("scoped") {
                    Ok(value) => Some(value),
                    Err(Error::NotFound { .. }) => None,
                    Err(other) => panic!("{other}"),
                }
            } else {
                Some(scoped(&world.space, "scoped"))
            };
            world.note(both_in);
            stage.run(|| drop(value))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        if fates.iter().all(|fate| fate.finished) {
            assert!(!files(&world.dir).contains(&"scoped".into()), "the last one out did not clean up");
        }
        world.assert_only(&["it"]);
        drop(scoped(&world.space, "scoped"));
        world.assert_only(&["it"]);
    })
}

/// An opener gets the object, or is told that there is none; never one that is being removed.
fn drop_scoped_beside_an_opener() -> Scenario<'static, SpaceWorld> {
    let made = || {
        World::new("drop-beside", |space| {
            let value = value_in(space);
            die_after(|| std::mem::forget(scoped(space, "scoped")));
            value
        })
    };
    Scenario::new("open beside the last one out", made)
        .prepared("open", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| match Value::<Wide>::builder().space(&world.space).open("scoped") {
                Ok(value) => {
                    assert_eq!(value.get().unwrap(), MADE);
                    // While it is open, its name leads to it.
                    assert_eq!(reopen(&world.space, "scoped").get().unwrap(), MADE);
                }
                Err(Error::NotFound { .. }) => {}
                Err(other) => panic!("{other}"),
            })
        })
        .prepared("collect", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| drop(world.space.collect().unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, _| world.assert_only(&["it"]))
}

fn drop_with_a_successor() -> Scenario<'static, SpaceWorld> {
    Scenario::new("drop with a successor", world("successor"))
        .prepared("leave", |world, stage| {
            let old = scoped(&world.space, "made");
            Value::<Wide>::builder().space(&world.space).unlink("made").unwrap();
            drop(Value::builder().space(&world.space).create("made", MADE).unwrap());
            stage.run(|| drop(old))
        })
        .watch(|world| world.regions())
        .check(|world, _| complete_or_absent(&world.space, "made", true))
}

fn unlink() -> Scenario<'static, SpaceWorld> {
    let made = || {
        World::new("unlink", |space| {
            drop(Value::builder().space(space).create("made", MADE).unwrap());
            value_in(space)
        })
    };
    let mut scenario = Scenario::new("unlink", made);
    for name in ["unlink", "unlink too"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| match Value::<Wide>::builder().space(&world.space).unlink("made") {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(other) => panic!("{other}"),
            })
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        if any_finished(fates) {
            assert!(!files(&world.dir).contains(&"made".into()));
        }
        complete_or_absent(&world.space, "made", false)
    })
}

/// Collectors die among the garbage; the named object and its users are safe.
fn collect() -> Scenario<'static, SpaceWorld> {
    let littered = || {
        let world = World::new("collect", value_in);
        std::fs::write(world.dir.join(".tmp-0123456789abcdef0123456789abcdef"), "half a segment").unwrap();
        die_after(|| {
            std::mem::forget(scoped(&world.space, "garbage"));
            std::mem::forget(Value::builder().space(&world.space).anonymous(MADE).unwrap());
        });
        world
    };
    let mut scenario = Scenario::new("collect", littered);
    for name in ["collect", "collect too"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| drop(world.space.collect().unwrap()))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        if any_finished(fates) {
            assert_eq!(files(&world.dir).len(), 2, "garbage was overlooked");
        }
        world.assert_only(&["it"]);
        assert_eq!(reopen(&world.space, "it").get().unwrap(), OLD);
    })
}
