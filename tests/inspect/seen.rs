//! What is seen of live objects.

use procshare::inspect::{Fact, Facts, Form, Inspector, Life, Who};
use procshare::{Error, Kind, Lifetime, Lock, Trust};

use crate::{Child, Place};

fn fact<'a>(facts: &'a Facts<Who>, label: &str) -> &'a Fact<Who> {
    &facts.iter().find(|(found, _)| *found == label).expect(label).1
}

#[test]
fn a_list_says_what_is_there_and_who_uses_it() {
    let place = Place::new("list");
    let space = place.space();
    let lock = Lock::builder().space(&space).create("jobs").unwrap();
    let nameless = Lock::builder().space(&space).anonymous().unwrap();
    let child = Child::start(|| drop(lock.lock().unwrap()));

    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    let list = inspector.list().unwrap();
    assert_eq!(list.iter().map(|entry| entry.form).collect::<Vec<_>>(), [Form::Anonymous, Form::Named]);
    let jobs = &list[1];
    let content = jobs.content.as_ref().unwrap();
    assert_eq!((jobs.name.as_str(), content.kind, content.lifetime), ("jobs", Kind::Lock, Lifetime::Named));
    assert_eq!(jobs.file_size, 256 + content.body_size);
    assert_eq!(content.creator_pid, std::process::id());
    let creator = content.creator.as_ref().unwrap();
    assert_eq!((creator.pid, creator.life), (Some(std::process::id()), Life::Alive));
    assert!(creator.executable.as_ref().unwrap().starts_with("inspect-"));
    assert!(!creator.other_namespace);
    // A forked child has the mapping, and the kernel cannot tell it from its parent's; it is a participant of its own.
    let attached: Vec<_> = jobs.attached.iter().map(|who| who.pid.unwrap()).collect();
    assert!(attached.contains(&std::process::id()), "{attached:?}");
    let mut pids: Vec<_> = inspector.participants().unwrap().iter().map(|who| who.pid.unwrap()).collect();
    let mut expected = vec![std::process::id(), child.pid()];
    pids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(pids, expected);
    drop(child);
    assert_eq!(inspector.participants().unwrap().len(), 1);
    assert_eq!(list[0].content.as_ref().unwrap().lifetime, Lifetime::Scoped);
    drop(nameless);
    assert_eq!(inspector.list().unwrap().len(), 1);
}

#[test]
fn detail_tells_the_holder_its_death_and_its_marks() {
    let place = Place::new("detail");
    let space = place.space();
    let lock = Lock::builder().space(&space).create("l").unwrap();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    let detail = || inspector.detail("l").unwrap();
    assert_eq!(*fact(&detail(), "holder"), Fact::Nothing);
    assert_eq!(*fact(&detail(), "waiters"), Fact::Flag(false));

    let child = Child::start(|| std::mem::forget(lock.lock().unwrap()));
    let pid = child.pid();
    let Fact::Who(holder) = fact(&detail(), "holder").clone() else { panic!("somebody holds it") };
    assert_eq!((holder.pid, holder.life), (Some(pid), Life::Alive));
    drop(child);
    let Fact::Who(holder) = fact(&detail(), "holder").clone() else { panic!("nobody has recovered it") };
    assert_eq!((holder.pid, holder.life), (Some(pid), Life::Dead));

    let guard = lock.lock().unwrap_err().into_guard().unwrap();
    assert_eq!(*fact(&detail(), "inconsistent"), Fact::Text("died".into()));
    guard.make_consistent();
    guard.forget();
    assert_eq!(*fact(&detail(), "handed_over"), Fact::Flag(true));
    assert_eq!(*fact(&detail(), "holder"), Fact::Nothing);
    assert_eq!(*fact(&detail(), "inconsistent"), Fact::Nothing);
}

#[test]
fn looking_leaves_no_trace() {
    let place = Place::new("trace");
    let space = place.space();
    // In a child, so that this process has no attachment of its own that a look could hide behind.
    let child = Child::start(|| {
        let lock = Lock::builder().space(&space).create("l").unwrap();
        std::mem::forget(lock.lock().unwrap());
        std::mem::forget(lock);
    });
    let before = place.contents();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    let (one, two) = (inspector.list().unwrap(), inspector.list().unwrap());
    assert_eq!(one[0].attached, two[0].attached);
    assert_eq!(one[0].attached.iter().map(|who| who.pid).collect::<Vec<_>>(), [Some(child.pid())]);
    assert!(!one[0].readers);
    inspector.detail("l").unwrap();
    assert_eq!(inspector.participants().unwrap().len(), 1);
    assert_eq!(place.contents(), before);
}

#[test]
fn readers_without_an_id_are_shown_as_such() {
    let place = Place::new("readers");
    let space = place.space();
    let child = Child::start(|| drop(Lock::builder().space(&space).create("l").unwrap()));
    let reader = Lock::builder().space(&space).read_only(true).open("l").unwrap();
    let entry = Inspector::open(place.path(), Trust::Owner).unwrap().entry("l").unwrap();
    assert!(entry.readers && entry.attached.is_empty(), "{entry:?}");
    drop((reader, child));
}

#[test]
fn what_is_not_there_is_a_typed_error() {
    let place = Place::new("missing");
    assert!(matches!(Inspector::open(place.path(), Trust::Owner), Err(Error::NotFound { .. })));
    std::fs::create_dir(place.path()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(place.path(), mode).unwrap();
    assert!(
        matches!(Inspector::open(place.path(), Trust::Owner), Err(Error::NotFound { .. })),
        "no registry"
    );
    drop(place.space());
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    assert!(matches!(inspector.entry("x"), Err(Error::NotFound { .. })));
    assert!(matches!(inspector.detail("x"), Err(Error::NotFound { .. })));
    assert!(matches!(inspector.detail("../x"), Err(Error::BadName { .. })));
    assert!(matches!(Inspector::named("no/space"), Err(Error::BadName { .. })));
    assert!(Inspector::named(&format!("none-{}", std::process::id())).is_err());
}

#[test]
fn unlinking_by_name_needs_no_type_and_leaves_users_alone() {
    let place = Place::new("unlink");
    let space = place.space();
    let lock = Lock::builder().space(&space).create("l").unwrap();
    std::fs::write(place.path().join("damaged"), b"junk").unwrap();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    space.unlink("damaged").unwrap();
    space.unlink("l").unwrap();
    assert!(inspector.list().unwrap().is_empty());
    drop(lock.lock().unwrap());
    assert!(matches!(space.unlink("l"), Err(Error::NotFound { .. })));
    assert!(matches!(space.unlink(".registry"), Err(Error::BadName { .. })));
}

#[test]
fn every_kind_tells_its_state() {
    use procshare::{Array, ArrayInit, AtomicArray, AtomicValue, LockArray, Value};

    let place = Place::new("kinds");
    let space = place.space();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    let detail = |name: &str| inspector.detail(name).unwrap();

    let value = Value::builder().space(&space).create("value", -5i32).unwrap();
    value.set(-7).unwrap();
    let facts = detail("value");
    assert_eq!(*fact(&facts, "value"), Fact::Signed(-7));
    assert_eq!(*fact(&facts, "commits"), Fact::Number(1));
    assert_eq!(*fact(&facts, "edited_in_place"), Fact::Flag(false));
    let guard = value.lock_in_place().unwrap();
    assert_eq!(*fact(&detail("value"), "edited_in_place"), Fact::Flag(true));
    assert!(matches!(fact(&detail("value"), "holder"), Fact::Who(_)));
    drop(guard);

    let _counter = AtomicValue::builder().space(&space).create("counter", 2.5f64).unwrap();
    assert_eq!(*fact(&detail("counter"), "value"), Fact::Real(2.5));

    let _bins = AtomicArray::builder().space(&space).create("bins", vec![1u8; 40]).unwrap();
    let facts = detail("bins");
    assert_eq!(*fact(&facts, "length"), Fact::Number(40));
    assert_eq!(*fact(&facts, "first"), Fact::List(vec![Fact::Number(1); 16]));

    let array = Array::builder().space(&space).create("array", ArrayInit::filled(20, 9u32)).unwrap();
    let child = Child::start(|| std::mem::forget(array.lock(3..7).unwrap()));
    let facts = detail("array");
    assert_eq!(*fact(&facts, "length"), Fact::Number(20));
    assert_eq!(*fact(&facts, "first"), Fact::List(vec![Fact::Number(9); 16]));
    let Fact::List(ranges) = fact(&facts, "ranges") else { panic!("a list") };
    let [Fact::Part(range)] = ranges.as_slice() else { panic!("one range: {ranges:?}") };
    assert_eq!((fact(range, "start"), fact(range, "end")), (&Fact::Number(3), &Fact::Number(7)));
    assert!(matches!(fact(range, "holder"), Fact::Who(who) if who.pid == Some(child.pid())));
    drop(child);

    let locks = LockArray::builder().space(&space).create("locks", 100).unwrap();
    let guards = (locks.lock(3).unwrap(), locks.lock(70).unwrap());
    let facts = detail("locks");
    assert_eq!(*fact(&facts, "length"), Fact::Number(100));
    assert_eq!(*fact(&facts, "not_free"), Fact::Number(2));
    let Fact::List(first) = fact(&facts, "first") else { panic!("a list") };
    let Fact::Part(seventieth) = &first[1] else { panic!("parts") };
    assert_eq!(*fact(seventieth, "index"), Fact::Number(70));
    assert!(matches!(fact(seventieth, "holder"), Fact::Who(who) if who.pid == Some(std::process::id())));
    drop(guards);
}

#[test]
fn items_are_seen_without_being_taken() {
    let place = Place::new("items");
    let space = place.space();
    let queue = procshare::Queue::builder().space(&space).create("q", 3).unwrap();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    let mut items = inspector.items("q", false).unwrap();
    assert!(items.look(9).unwrap().items.is_empty());
    queue.put_many(&[1u64, 2, 3]).unwrap();
    let seen = items.look(2).unwrap();
    let bytes: Vec<_> = seen.items.iter().map(|item| item.bytes.clone()).collect();
    assert_eq!(bytes, [1u64.to_ne_bytes(), 2u64.to_ne_bytes()]);
    assert_eq!((seen.missed, seen.length, seen.closed), (0, 3, false));
    drop(queue.try_get_many(3).unwrap());
    drop(queue.reserve().unwrap());
    queue.put_many(&[5, 6]).unwrap();
    let seen = items.look(9).unwrap();
    let positions: Vec<_> = seen.items.iter().map(|item| item.position).collect();
    assert_eq!((positions, seen.missed), (vec![4, 5], 2), "one was overwritten, one was given up");
    assert_eq!(queue.try_get_many(9).unwrap(), [5, 6]);
    assert!(matches!(inspector.items("none", true), Err(Error::NotFound { .. })));
}
