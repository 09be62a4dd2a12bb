//! Files: published complete or not at all, shared by whoever opens them, attached as long as somebody lives who uses them.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::sync::Barrier;
use std::sync::atomic::Ordering;

use super::place::{Place, byte, cell, dead_in_time, file_of, watchdog};
use super::{Promise, Role, promised};
use crate::sys::{self, Access, Draft, Other};

#[test]
fn a_file_appears_complete_or_not_at_all() {
    let place = Place::new();
    let (draft, region) = Draft::create(&place, &file_of(10_000, 5)).unwrap();
    assert_eq!(region.len(), 10_000);
    assert!(region.as_ptr().addr().is_multiple_of(64));
    assert!((0..10_000).step_by(97).all(|at| byte(&region, at) == 0));
    cell(&region, 9_999).store(42, Ordering::Relaxed);
    assert_eq!(place.open("object", 5).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert_eq!(place.names(), [""; 0]);
    draft.publish("object").unwrap();
    let same = place.open("object", 6).unwrap();
    assert_eq!((same.len(), byte(&same, 9_999), same.id()), (10_000, 42, region.id()));
    cell(&same, 0).store(7, Ordering::Relaxed);
    assert_eq!(byte(&region, 0), 7);
    assert_eq!(place.names(), ["object"]);
    assert_eq!(sys::file_id(&place.join("object")).unwrap(), region.id());
}

#[test]
fn what_is_not_published_leaves_nothing() {
    let place = Place::new();
    drop(Draft::create(&place, &file_of(4096, 5)).unwrap());
    let (draft, region) = Draft::create(&place, &file_of(4096, 5)).unwrap();
    drop(region);
    drop(draft);
    assert_eq!(place.names(), [""; 0]);
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0], "a living maker cleans up by itself");
}

#[test]
fn a_taken_name_is_refused_and_keeps_its_file() {
    let place = Place::new();
    let first = place.publish("object", 5).unwrap();
    let second = place.publish("object", 6).err().map(|error| error.kind());
    assert_eq!(second, Some(ErrorKind::AlreadyExists));
    assert_eq!(place.open("object", 6).unwrap().id(), first.id());
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0]);
}

#[test]
fn of_those_who_publish_at_once_one_wins() {
    let _watchdog = watchdog();
    let place = Place::new();
    for round in 0..if cfg!(miri) { 3 } else { 30 } {
        let name = format!("object-{round}");
        let start = Barrier::new(4);
        let regions: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (1..5)
                .map(|id| {
                    let (place, start, name) = (&place, &start, &name);
                    scope.spawn(move || {
                        start.wait();
                        place.publish(name, id)
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let winners: Vec<_> = regions.iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(place.open(&name, 9).unwrap().id(), winners[0].id());
        assert!(regions.iter().flat_map(|r| r.as_ref().err()).all(|e| e.kind() == ErrorKind::AlreadyExists));
    }
}

#[test]
fn attachments_are_listed_until_they_are_dropped() {
    let place = Place::new();
    let made = place.publish("object", 5).unwrap();
    assert_eq!(place.attached("object"), [5]);
    let again = place.open("object", 5).unwrap();
    let other = place.open("object", 0x3fff_ffff).unwrap();
    let reader = sys::open(&place, OsStr::new("object"), Access::ReadOnly, Some(0)).unwrap();
    let nobody = sys::open(&place, OsStr::new("object"), Access::ReadWrite, None).unwrap();
    assert_eq!(place.attached("object"), [0, 5, 0x3fff_ffff]);
    drop((reader, made, nobody));
    assert_eq!(place.attached("object"), [5, 0x3fff_ffff]);
    drop((again, other));
    assert_eq!(place.attached("object"), [0; 0]);
}

#[test]
fn a_dead_process_is_not_attached() {
    let _watchdog = watchdog();
    let place = Place::new();
    drop(place.publish("object", 5).unwrap());
    let mut other = Other::start(Role::Attach, &place);
    assert_eq!(place.attached("object"), [77]);
    assert!(!place.remove_unused("object").unwrap(), "a living process uses it");
    other.kill();
    dead_in_time("a dead process's attachment is gone", || place.attached("object").is_empty());
    dead_in_time("its file can be removed", || {
        place.open("object", 5).is_err() || place.remove_unused("object").unwrap()
    });
}

#[test]
fn a_dead_maker_leaves_nothing_that_a_collector_does_not_remove() {
    let _watchdog = watchdog();
    let place = Place::new();
    let mut other = Other::start(Role::Make, &place);
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0], "the maker lives");
    let before = everything(&Place::new());
    other.kill();
    dead_in_time("what a dead maker left is removed", || {
        let removed = sys::collect_remains(&place).unwrap();
        assert!(removed.is_empty() || !promised(Promise::DeadMakersLeaveNothing), "{removed:?}");
        everything(&place) == before || !removed.is_empty()
    });
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0], "once is enough");
    assert_eq!(place.names(), [""; 0]);
}

/// The names in a directory, hidden ones too.
fn everything(place: &Place) -> Vec<std::ffi::OsString> {
    sys::list(place).unwrap()
}

#[test]
fn backing_is_asked_of_the_very_file() {
    let place = Place::new();
    let wanted = crate::sys::NewFile { backed: 4096, ..file_of(1 << 20, 5) };
    let (draft, region) = Draft::create(&place, &wanted).unwrap();
    draft.publish("object").unwrap();
    let name = OsStr::new("object");
    sys::back(&place, name, region.id(), 1 << 20).unwrap();
    cell(&region, (1 << 20) - 1).store(1, Ordering::Relaxed);
    let successor = {
        sys::remove(&place, name).unwrap();
        place.publish("object", 6).unwrap()
    };
    assert_ne!(successor.id(), region.id());
    let refused = sys::back(&place, name, region.id(), 4096).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::NotFound));
}

#[test]
fn missing_directories_and_names_are_not_found() {
    let nowhere = Place::unmade();
    let not_found = Some(ErrorKind::NotFound);
    let name = OsStr::new("object");
    let kind = |error: Option<std::io::Error>| error.map(|error| error.kind());
    assert_eq!(kind(Draft::create(&nowhere, &file_of(4096, 1)).err()), not_found);
    assert_eq!(kind(sys::list(&nowhere).err()), not_found);
    for directory in [nowhere.as_path(), &Place::new()] {
        assert_eq!(kind(sys::open(directory, name, Access::ReadWrite, Some(1)).err()), not_found);
        assert_eq!(kind(sys::attached(directory, name).err()), not_found);
        assert_eq!(kind(sys::remove(directory, name).err()), not_found);
        assert_eq!(kind(sys::remove_if_unattached(directory, name, |_| true).err()), not_found);
        assert_eq!(kind(sys::file_id(&directory.join("object")).err()), not_found);
    }
}

#[test]
fn a_region_for_reading_cannot_be_written() {
    if !promised(Promise::ReadOnlyIsEnforced) {
        return;
    }
    let _watchdog = watchdog();
    let place = Place::new();
    let region = place.publish("object", 5).unwrap();
    let reader = sys::open(&place, OsStr::new("object"), Access::ReadOnly, None).unwrap();
    assert_eq!((reader.access(), region.access()), (Access::ReadOnly, Access::ReadWrite));
    let other = Other::start(Role::WriteReadOnly, &place);
    assert!(!other.finish(), "the writer must be killed by the system");
    assert_eq!(byte(&region, 0), 0);
}
