//! `ShareableList`: items of changing types, ours and CPython's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use procshare::{Error, Handle, Item, ShareableList, SharedMemory};

use crate::foreign::{PosixSegment, Python};
use crate::support::{Child, Signal, TestSpace, fork, sleep_for_ever, watchdog};

fn everything() -> Vec<Item> {
    vec![
        Item::None,
        true.into(),
        false.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        0.1.into(),
        f64::NEG_INFINITY.into(),
        "".into(),
        "é".repeat(15).into(),
        "seven\0\0".into(),
        b"\0\0\0".into(),
        vec![0u8; 17].into(),
        vec![0xffu8; 8].into(),
        "x".repeat(100_000).into(),
    ]
}

#[test]
fn every_type_comes_back_exactly_in_any_process() {
    let home = TestSpace::new();
    let items = everything();
    let list = ShareableList::create(&home.path("list"), &items).unwrap();
    assert_eq!(list.len(), items.len());
    assert_eq!(list.to_vec().unwrap(), items);
    fork(|| assert_eq!(ShareableList::open(&home.path("list")).unwrap().to_vec().unwrap(), items)).join();
    list.set(5, f64::NAN).unwrap();
    assert!(list.get(5).unwrap().as_float().unwrap().is_nan());
}

#[test]
fn an_items_type_may_change_if_its_room_suffices() {
    let list = ShareableList::anonymous(&[1.into(), "twelve bytes".into()]).unwrap();
    assert_eq!((list.room(0).unwrap(), list.room(1).unwrap()), (8, 16));
    for item in everything().into_iter().filter(|item| !matches!(item, Item::Str(_) | Item::Bytes(_))) {
        list.set(0, item.clone()).unwrap();
        list.set(1, item.clone()).unwrap();
        assert_eq!(list.to_vec().unwrap(), [item.clone(), item]);
    }
    list.set(0, "8 bytes!").unwrap();
    list.set(1, "16 bytes, as é..").unwrap_err();
    list.set(1, vec![7u8; 16]).unwrap();
    for (index, text, room) in [(0, "nine byte", 8), (1, "seventeen  bytes.", 16)] {
        let error = list.set(index, text).unwrap_err();
        assert!(
            matches!(error, Error::TooLong { room: r, found, .. } if r == room && found == text.len()),
            "{error}"
        );
        assert!(list.update(index, |_| text).is_err());
    }
    assert_eq!(list.to_vec().unwrap(), ["8 bytes!".into(), Item::from(vec![7u8; 16])], "nothing was changed");
}

#[test]
fn items_are_found_and_counted_by_type_and_value() {
    let list = ShareableList::anonymous(&[1.into(), true.into(), 1.0.into(), "1".into(), 1.into()]).unwrap();
    assert_eq!(list.index(&1.into()).unwrap(), Some(0));
    assert_eq!(list.index(&true.into()).unwrap(), Some(1));
    assert_eq!(list.index(&"1".into()).unwrap(), Some(3));
    assert_eq!(list.index(&Item::None).unwrap(), None);
    assert_eq!((list.count(&1.into()).unwrap(), list.count(&1.0.into()).unwrap()), (2, 1));
    assert_eq!(list.format().unwrap(), "qxxxxxxx?d8sq");
    list.set(0, ()).unwrap();
    assert_eq!(list.format().unwrap(), "xxxxxx?xxxxxxxx?d8sq");
    for index in [5, usize::MAX] {
        assert!(matches!(list.get(index), Err(Error::OutOfRange { len: 5, .. })));
        assert!(matches!(list.set(index, 1), Err(Error::OutOfRange { len: 5, .. })));
        assert!(list.update(index, |item| item).is_err() && list.room(index).is_err());
    }
    let empty = ShareableList::anonymous(&[]).unwrap();
    assert!(empty.is_empty() && empty.get(0).is_err());
    assert_eq!((empty.to_vec().unwrap(), empty.format().unwrap()), (vec![], String::new()));
}

#[test]
fn updates_of_processes_all_count() {
    const EACH: i64 = 20_000;
    let _watchdog = watchdog();
    let list = ShareableList::anonymous(&[0.into(), "".into(), 0.into()]).unwrap();
    let work = || {
        for step in 0..EACH {
            let index = if step % 2 == 0 { 0 } else { 2 };
            list.update(index, |item| item.as_int().unwrap() + 1).unwrap();
        }
    };
    let children = [fork(work), fork(work)];
    work();
    children.into_iter().for_each(Child::join);
    assert_eq!(list.to_vec().unwrap(), [(3 * EACH / 2).into(), "".into(), (3 * EACH / 2).into()]);
}

/// Text of one repeated letter, of a length that the letter tells: half of one and half of another is neither.
fn stripes(step: usize) -> Item {
    let letter = b'a' + (step % 26) as u8;
    let len = 50 + 30 * (step % 26);
    if step.is_multiple_of(2) {
        String::from_utf8(vec![letter; len]).unwrap().into()
    } else {
        vec![letter; len].into()
    }
}

fn is_whole(item: &Item) -> bool {
    let (bytes, is_text) = match item {
        Item::Str(text) => (text.as_bytes(), true),
        Item::Bytes(bytes) => (bytes.as_slice(), false),
        _ => return false,
    };
    let step = usize::from(bytes[0].wrapping_sub(b'a'));
    bytes.len() == 50 + 30 * step
        && is_text == step.is_multiple_of(2)
        && bytes.iter().all(|byte| *byte == bytes[0])
}

#[test]
fn readers_never_see_half_an_item_even_of_a_killed_writer() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let list = ShareableList::create(&home.path("list"), &[stripes(25), 7.into()]).unwrap();
    let reader = ShareableList::builder().read_only(true).open(&home.path("list")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        let look = move |list: &ShareableList| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) || seen == 0 {
                let item = list.get(0).unwrap();
                assert!(is_whole(&item), "{item:?}");
                seen += 1;
            }
        };
        let (ours, readers) = (&list, &reader);
        scope.spawn(move || look(ours));
        scope.spawn(move || look(readers));
        for round in 0..40 {
            let ready = Signal::new();
            let child = fork(|| {
                for step in round.. {
                    list.set(0, stripes(step)).unwrap();
                    if step == round + 3 {
                        ready.send();
                    }
                }
            });
            ready.wait();
            for _ in 0..500 * round {
                std::hint::spin_loop();
            }
            child.kill();
            assert!(is_whole(&list.get(0).unwrap()), "in round {round}");
            // Whoever comes next notices nothing.
            list.set(0, stripes(round)).unwrap();
            assert_eq!(list.get(0).unwrap(), stripes(round));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(list.get(1).unwrap(), 7.into());
}

#[test]
fn a_change_that_dies_or_panics_changes_nothing() {
    let _watchdog = watchdog();
    let list = ShareableList::anonymous(&["old".into(), 1.into()]).unwrap();
    let ready = Signal::new();
    let child = fork(|| {
        list.update(0, |_| -> Item {
            ready.send();
            sleep_for_ever()
        })
        .unwrap();
    });
    ready.wait();
    assert_eq!(list.get(0).unwrap(), "old".into(), "reading waits for nobody");
    list.set(1, 2).unwrap();
    let soon = Duration::from_millis(5);
    assert!(matches!(list.try_set(0, 1), Err(Error::WouldBlock)));
    assert!(matches!(list.try_update(0, |item| item), Err(Error::WouldBlock)));
    assert!(matches!(list.set_timeout(0, 1, soon), Err(Error::TimedOut)));
    assert!(matches!(list.set_timeout(0, 1, Duration::ZERO), Err(Error::TimedOut)));
    assert!(matches!(list.update_timeout(0, soon, |item| item), Err(Error::TimedOut)));
    child.kill();
    list.try_update(0, |item| item).unwrap();
    assert_eq!(list.get(0).unwrap(), "old".into());
    list.set(0, "new").unwrap();

    let panicked = std::panic::catch_unwind(|| list.update(0, |_| -> Item { panic!("as it was told") }));
    assert!(panicked.is_err());
    assert_eq!(list.get(0).unwrap(), "new".into());
    list.update(0, |item| {
        assert!(matches!(list.set(0, 1), Err(Error::Deadlock)));
        list.set(1, 3).unwrap();
        item
    })
    .unwrap();
    assert_eq!(list.to_vec().unwrap(), ["new".into(), 3.into()]);
}

#[test]
fn a_read_only_handle_reads_and_is_refused_everything_else() {
    let home = TestSpace::new();
    let list = ShareableList::create(&home.path("list"), &everything()).unwrap();
    let reader = ShareableList::builder().read_only(true).open(&home.path("list")).unwrap();
    list.set(0, 5).unwrap();
    assert_eq!(reader.to_vec().unwrap()[1..], everything()[1..]);
    assert_eq!(reader.get(0).unwrap(), 5.into());
    assert!(matches!(reader.set(0, 1), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.update(0, |item| item), Err(Error::ReadOnly { .. })));
}

#[test]
fn the_handle_leads_another_process_to_the_same_list() {
    let list = ShareableList::anonymous(&[1.into()]).unwrap();
    let text = serde_json::to_string(&list).unwrap();
    fork(|| {
        let handle: Handle<ShareableList> = serde_json::from_str(&text).unwrap();
        handle.attach().unwrap().set(0, "there").unwrap();
    })
    .join();
    assert_eq!(list.get(0).unwrap(), "there".into());
}

#[test]
fn other_kinds_and_hostile_bytes_are_errors() {
    let home = TestSpace::new();
    let _memory = SharedMemory::create(&home.path("memory"), 4096).unwrap();
    assert!(matches!(ShareableList::open(&home.path("memory")), Err(Error::WrongKind { .. })));
    let list = ShareableList::create(&home.path("list"), &["text".into(), 2.into()]).unwrap();
    let len = home.size("list") - 256;
    for count in [5, 1 << 40, u64::MAX] {
        home.scribble("list", 0, &u64::to_ne_bytes(count));
        let error = ShareableList::open(&home.path("list")).unwrap_err();
        assert!(matches!(error, Error::NotASegment { what: "number of items", .. }), "{error}");
    }
    home.scribble("list", 0, &2u64.to_ne_bytes());
    // Offset and room of the first item lie at 32 and 40 of its record.
    let first = 64 + 2 * 48;
    for (offset, room) in [
        (0, 8),
        (first - 8, 8),
        (first + 4, 8),
        (first, 0),
        (first, 12),
        (first, len),
        (len - 16, 8),
        (u64::MAX, 8),
        (first, u64::MAX),
        (first, u64::MAX / 2 - 7),
        (u64::MAX - 31, 8),
    ] {
        home.scribble("list", 64 + 32, &u64::to_ne_bytes(offset));
        home.scribble("list", 64 + 40, &u64::to_ne_bytes(room));
        let (got, set) = (list.get(0), list.set(0, 1));
        assert!(matches!(got, Err(Error::NotASegment { .. })), "{offset} {room}: {got:?}");
        assert!(matches!(set, Err(Error::NotASegment { .. })), "{offset} {room}: {set:?}");
        assert_eq!(list.get(1).unwrap(), 2.into(), "its neighbour does not notice");
    }
    home.scribble("list", 64 + 32, &u64::to_ne_bytes(first));
    home.scribble("list", 64 + 40, &8u64.to_ne_bytes());
    // No type 6, no text of bytes that are no UTF-8, nothing longer than its room.
    for word in [6 | 1 << 8, 4 | 9 << 8, 5 | u64::MAX << 8, 2 | 7 << 8] {
        home.scribble("list", first, &u64::to_ne_bytes(word));
        assert!(matches!(list.get(0), Err(Error::InvalidBits { .. })), "{word:#x}");
    }
    home.scribble("list", first, &u64::to_ne_bytes(4 | 1 << 8));
    home.scribble("list", first + 8, &[0xff]);
    assert!(matches!(list.get(0), Err(Error::InvalidBits { .. })));
    list.set(0, "healed").unwrap();
    assert_eq!(list.get(0).unwrap(), "healed".into());
}

/// A list as CPython 3.11 lays it out.
fn cpython(items: &[(&[u8], &str, i8)]) -> Vec<u8> {
    let mut bytes = (items.len() as i64).to_ne_bytes().to_vec();
    let mut end = 0i64;
    bytes.extend(end.to_ne_bytes());
    for (data, ..) in items {
        end += data.len() as i64;
        bytes.extend(end.to_ne_bytes());
    }
    items.iter().for_each(|(data, ..)| bytes.extend(*data));
    for (_, format, _) in items {
        let mut format = format.as_bytes().to_vec();
        format.resize(8, 0);
        bytes.extend(format);
    }
    bytes.extend(items.iter().map(|item| item.2 as u8));
    bytes
}

fn sample() -> Vec<u8> {
    cpython(&[
        (&(-5i64).to_ne_bytes(), "q", 0),
        (&0.25f64.to_ne_bytes(), "d", 0),
        (&[0, 0, 0, 0, 0, 0, 0, 1], "xxxxxxx?", 0),
        (b"h\xc3\xa9y\0\0\0\0", "8s", 1),
        (b"bytes\0\xff\0\0\0\0\0\0\0\0\0", "16s", 2),
        (&[0; 8], "xxxxxx?x", 3),
    ])
}

fn sample_items() -> Vec<Item> {
    vec![(-5).into(), 0.25.into(), true.into(), "héy".into(), b"bytes\0\xff".into(), Item::None]
}

#[test]
fn pythons_layout_is_read_and_written() {
    let segment = PosixSegment::holding(&sample());
    let list = ShareableList::adopt(segment.os_id()).unwrap();
    assert_eq!((list.len(), list.os_id()), (6, segment.os_id()));
    assert_eq!(list.to_vec().unwrap(), sample_items());
    assert_eq!(list.format(), "qdxxxxxxx?8s16sxxxxxx?x");
    assert_eq!(list.index(&"héy".into()).unwrap(), Some(3));
    assert_eq!(list.count(&Item::None).unwrap(), 1);
    for (index, item) in [(0, "8 bytes!".into()), (3, Item::None), (4, 7.into()), (5, b"\xfe".into())] {
        list.set(index, item).unwrap();
    }
    assert!(matches!(list.set(0, "nine byte"), Err(Error::TooLong { room: 8, found: 9, .. })));
    assert!(matches!(list.set(6, 1), Err(Error::OutOfRange { len: 6, .. })));
    let expected = cpython(&[
        (b"8 bytes!", "8s", 1),
        (&0.25f64.to_ne_bytes(), "d", 0),
        (&[0, 0, 0, 0, 0, 0, 0, 1], "xxxxxxx?", 0),
        (&[0; 8], "xxxxxx?x", 3),
        (&[&7i64.to_ne_bytes()[..], &[0; 8]].concat(), "q", 0),
        (b"\xfe\0\0\0\0\0\0\0", "8s", 2),
    ]);
    let mut found = segment.read(expected.len());
    // Behind an integer Python leaves what was there.
    let behind = (6 + 2) * 8 + 4 * 8 + 8;
    found[behind..behind + 8].fill(0);
    assert_eq!(found, expected);
    drop(list);
    assert!(segment.exists());
}

#[test]
fn hostile_lists_of_python_are_errors() {
    let bytes = sample();
    let adopt = |bytes: &[u8]| {
        let segment = PosixSegment::holding(bytes);
        ShareableList::adopt(segment.os_id())
    };
    let with = |at: usize, patch: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    for len in [1, 8, 15, 16, 40, 100, bytes.len() - 1] {
        let error = adopt(&bytes[..len]).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. }), "{len}: {error}");
    }
    for count in [-1, 7, 1 << 40, i64::MIN, i64::MAX] {
        let error = adopt(&with(0, &i64::to_ne_bytes(count))).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. }), "{error}");
    }
    // The end of the data, then the places of single items.
    for end in [-8, bytes.len() as i64, i64::MAX] {
        assert!(matches!(adopt(&with(56, &end.to_ne_bytes())), Err(Error::NotASegment { .. })));
    }
    for offset in [-1, 17, 1 << 40, i64::MIN, i64::MAX] {
        let list = adopt(&with(16, &i64::to_ne_bytes(offset))).unwrap();
        let wrong = (0..2).filter(|&index| list.get(index).is_err()).count();
        assert!(wrong > 0, "{offset}");
        assert!((0..2).any(|index| list.set(index, "x").is_err()));
        assert_eq!(list.get(3).unwrap(), "héy".into());
    }
    // Formats and codes of the text.
    let (format, code) = (64 + 56 + 3 * 8, 64 + 56 + 6 * 8 + 3);
    for patch in [&b"9s"[..], b"99999999", b"+8s\0", b"-8s\0", b"s\0", b"8\0", b"\xff\xffs", b"xs", b"?"] {
        let list = adopt(&with(format, patch)).unwrap();
        assert!(matches!(list.get(3), Err(Error::InvalidBits { .. })), "{patch:?}");
        list.set(3, "healed").unwrap();
        assert_eq!(list.get(3).unwrap(), "healed".into());
    }
    for value in [4u8, 127, 128, 255] {
        assert!(matches!(adopt(&with(code, &[value])).unwrap().get(3), Err(Error::InvalidBits { .. })));
    }
    assert_eq!(adopt(&with(code, &[3])).unwrap().get(3).unwrap(), Item::None);
    assert!(adopt(&with(64 + 24, b"\xff")).unwrap().get(3).is_err(), "no UTF-8");
    assert!(matches!(ShareableList::adopt("procshare-none"), Err(Error::NotFound { .. })));
}

#[test]
fn any_bytes_of_python_are_items_or_errors() {
    let bytes = sample();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut adopted = 0;
    for _ in 0..2000 {
        let mut hostile = bytes.clone();
        for _ in 0..=random() % 4 {
            let at = random() as usize % hostile.len();
            hostile[at] = random() as u8;
        }
        let segment = PosixSegment::holding(&hostile);
        let Ok(list) = ShareableList::adopt(segment.os_id()) else { continue };
        adopted += 1;
        for index in 0..list.len() {
            let _ = list.get(index);
            let _ = list.set(index, "abc");
        }
        let _ = (list.format(), list.to_vec());
    }
    assert!(adopted > 100);
}

#[test]
fn pythons_own_lists_are_shared_both_ways() {
    let _watchdog = watchdog();
    let Some(mut python) = Python::start() else { return };
    let name = python.run(
        "l = shared_memory.ShareableList([1, -2**63, 0.5, True, None, 'h\\u00e9y', b'a\\x00b', 'x' * 20]); print(l.shm.name)",
    );
    let list = ShareableList::adopt(&name).unwrap();
    let items: [Item; 8] = [
        1.into(),
        i64::MIN.into(),
        0.5.into(),
        true.into(),
        Item::None,
        "héy".into(),
        b"a\0b".into(),
        "x".repeat(20).into(),
    ];
    assert_eq!(list.to_vec().unwrap(), items);
    assert_eq!(list.format(), python.run("print(l.format)"));
    // From here to there: every type into the place of every other.
    for (at, item) in items.iter().enumerate() {
        for to in 0..8 {
            match list.set(to, item.clone()) {
                Ok(()) => {}
                Err(Error::TooLong { room: 8, .. }) if at == 7 => continue,
                Err(error) => panic!("{item:?} to {to}: {error}"),
            }
            assert_eq!(list.get(to).unwrap(), *item);
            let there = python.run(&format!("print(ascii(l[{to}]), type(l[{to}]).__name__)"));
            let expected = [
                "1 int",
                "-9223372036854775808 int",
                "0.5 float",
                "True bool",
                "None NoneType",
                "'h\\xe9y' str",
                "b'a\\x00b' bytes",
                "'xxxxxxxxxxxxxxxxxxxx' str",
            ];
            assert_eq!(there, expected[at], "{item:?} at {to}");
        }
    }
    // And back.
    for (value, item) in [
        ("12345", 12345.into()),
        ("-0.25", (-0.25).into()),
        ("False", false.into()),
        ("None", Item::None),
        ("'\\u00fc\\u00fc'", "üü".into()),
        ("b'\\xff\\x00\\xfe'", Item::from(b"\xff\0\xfe")),
    ] {
        for to in 0..8 {
            python.run(&format!("l[{to}] = {value}"));
            assert_eq!(list.get(to).unwrap(), item, "{value} at {to}");
        }
    }
    drop(list);
    assert_eq!(ShareableList::adopt(&name).unwrap().len(), 8, "an adopter removed it");
    python.run("l.shm.close(); l.shm.unlink()");
    let name = python.run("e = shared_memory.ShareableList([]); print(e.shm.name)");
    assert!(ShareableList::adopt(&name).unwrap().is_empty());
    python.run("e.shm.close(); e.shm.unlink()");
}

#[test]
fn whoever_inspects_it_sees_its_items() {
    use procshare::inspect::{Fact, Inspector};
    let home = TestSpace::new();
    let _list = ShareableList::create(&home.path("list"), &["text".into(), (-2).into(), Item::None]).unwrap();
    let facts = Inspector::open(home.path(""), procshare::Trust::Owner).unwrap().detail("list").unwrap();
    let shown = format!("{facts:?}");
    assert!(matches!(facts[0], ("length", Fact::Number(3))), "{shown}");
    assert!(shown.contains("text") && shown.contains("Signed(-2)") && shown.contains("Nothing"), "{shown}");
    // Damage is shown, not believed.
    home.scribble("list", 64 + 32, &[0xff; 16]);
    let facts = Inspector::open(home.path(""), procshare::Trust::Owner).unwrap().detail("list").unwrap();
    assert!(format!("{facts:?}").contains("damaged"), "{facts:?}");
}
