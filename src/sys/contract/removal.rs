//! Removal: never of what somebody uses, never of a successor, and without a gap for whoever comes in between.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::place::{Place, byte, cell, watchdog};
use crate::sys;

#[test]
fn what_is_used_or_not_recognised_stays() {
    let place = Place::new();
    let region = place.publish("object", 5).unwrap();
    cell(&region, 0).store(9, Ordering::Relaxed);
    assert!(!place.remove_unused("object").unwrap());
    drop(region);
    let mut seen = None;
    let kept = sys::remove_if_unattached(&place, OsStr::new("object"), |region| {
        seen = region.map(|region| (region.len(), byte(region, 0)));
        false
    });
    assert!(!kept.unwrap());
    assert_eq!(seen, Some((4096, 9)), "the question is about the file's bytes");
    assert_eq!(place.open("object", 5).map(|region| byte(&region, 0)).unwrap(), 9);
    assert!(place.remove_unused("object").unwrap());
    assert_eq!(place.open("object", 5).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_removed_name_is_free_and_its_users_keep_what_they_have() {
    let place = Place::new();
    let old = place.publish("object", 5).unwrap();
    cell(&old, 0).store(1, Ordering::Relaxed);
    sys::remove(&place, OsStr::new("object")).unwrap();
    assert_eq!(place.open("object", 5).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    let new = place.publish("object", 5).unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!((byte(&old, 0), byte(&new, 0)), (1, 0));
    drop(old);
    assert_eq!(place.attached("object"), [5], "the old one's end is none of the new one's");
    assert_eq!(place.open("object", 6).unwrap().id(), new.id());
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0]);
}

/// Openers and removers at once: whoever got the file attached keeps its name until it lets go.
#[test]
fn nobody_loses_a_file_between_opening_and_attaching() {
    let _watchdog = watchdog();
    let place = Place::new();
    let done = AtomicBool::new(false);
    let (opened, removed) = (AtomicU32::new(0), AtomicU32::new(0));
    let enough = if cfg!(miri) { 3 } else { 200 };
    std::thread::scope(|scope| {
        for id in 1..3 {
            let (place, done, opened) = (&place, &done, &opened);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    match place.publish("object", id).or_else(|_| place.open("object", id)) {
                        Ok(region) => {
                            let id = sys::file_id(&place.join("object"));
                            assert_eq!(id.unwrap(), region.id(), "removed although somebody was attached");
                            opened.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                    }
                }
            });
        }
        let (place, done, opened, removed) = (&place, &done, &opened, &removed);
        scope.spawn(move || {
            while removed.load(Ordering::Relaxed) < enough || opened.load(Ordering::Relaxed) < enough {
                match place.remove_unused("object") {
                    Ok(true) => _ = removed.fetch_add(1, Ordering::Relaxed),
                    Ok(false) => std::thread::yield_now(),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}
