//! Seats: one living holder each, and the truth about the dead.

use std::io::ErrorKind;

use super::place::{Place, dead_in_time, watchdog};
use super::{Promise, Role, promised};
use crate::sys::{self, FileId, Held, Other, Prober, ProcessLock, Seat};

/// A directory with a registry.
struct Hall {
    place: Place,
    registry: std::path::PathBuf,
    id: FileId,
}

impl Hall {
    fn new() -> Self {
        let place = Place::new();
        let id = place.publish("registry", 0).unwrap().id();
        Hall { registry: place.join("registry"), place, id }
    }

    fn take(&self, slots: impl IntoIterator<Item = u32>) -> Option<Seat> {
        let _lock = ProcessLock::take();
        Seat::take(&self.registry, self.id, slots.into_iter()).unwrap()
    }

    fn prober(&self) -> Prober {
        Prober::new(&self.registry, self.id).unwrap()
    }
}

#[test]
fn a_seat_has_one_holder() {
    let hall = Hall::new();
    let prober = hall.prober();
    let first = hall.take(0..3).unwrap();
    let second = hall.take(0..3).unwrap();
    let third = hall.take([1, 0, 2]).unwrap();
    assert_eq!((first.slot(), second.slot(), third.slot()), (0, 1, 2));
    assert!(hall.take(0..3).is_none());
    let far = hall.take([4095]).unwrap();
    assert_eq!(prober.held(4096).unwrap(), [0, 1, 2, 4095]);
    assert_eq!(prober.held(3).unwrap(), [0, 1, 2]);
    drop(second);
    assert_eq!(prober.probe(1).unwrap(), Held::No);
    assert_eq!(prober.probe(2).unwrap(), Held::Yes, "one's own seat reads as held");
    assert_eq!(prober.held(4096).unwrap(), [0, 2, 4095]);
    assert_eq!(hall.take(0..3).unwrap().slot(), 1);
    drop((first, third, far));
    assert_eq!(prober.held(4096).unwrap(), [0; 0]);
}

#[test]
fn a_seat_is_taken_in_the_registry_that_was_meant() {
    let hall = Hall::new();
    let prober = hall.prober();
    assert!(prober.leads_to_registry());
    prober.restore().unwrap();
    sys::remove(&hall.place, std::ffi::OsStr::new("registry")).unwrap();
    drop(hall.place.publish("registry", 0).unwrap());
    let _lock = ProcessLock::take();
    let refused = Seat::take(&hall.registry, hall.id, 0..3).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::NotFound));
    let refused = Prober::new(&hall.registry, hall.id).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::NotFound));
}

#[test]
fn a_killed_holder_is_gone_and_its_slot_is_free() {
    let _watchdog = watchdog();
    let hall = Hall::new();
    let prober = hall.prober();
    for _ in 0..3 {
        let mut other = Other::start(Role::Sit, &hall.place);
        for _ in 0..10 {
            assert_eq!(prober.probe(3).unwrap(), Held::Yes);
        }
        assert!(hall.take([3]).is_none());
        other.kill();
        dead_in_time("a dead process's slot reads as free", || prober.probe(3).unwrap() == Held::No);
        assert_eq!(prober.held(4096).unwrap(), [0; 0]);
    }
    assert_eq!(hall.take([3]).unwrap().slot(), 3);
}

#[test]
fn a_holder_that_leaves_is_gone() {
    let _watchdog = watchdog();
    let hall = Hall::new();
    let other = Other::start(Role::Sit, &hall.place);
    assert_eq!(hall.prober().probe(3).unwrap(), Held::Yes);
    assert!(other.finish());
    assert_eq!(hall.prober().probe(3).unwrap(), Held::No);
}

#[test]
#[cfg(unix)]
fn a_stopped_holder_lives() {
    let _watchdog = watchdog();
    let hall = Hall::new();
    let mut other = Other::start(Role::Sit, &hall.place);
    other.stop();
    assert_eq!(hall.prober().probe(3).unwrap(), Held::Yes);
    assert!(hall.take([3]).is_none());
    other.kill();
    dead_in_time("killed after all", || hall.prober().probe(3).unwrap() == Held::No);
}

#[test]
fn a_holder_that_closes_its_descriptors_lives() {
    if !promised(Promise::SurvivesCloseRange) {
        return;
    }
    let _watchdog = watchdog();
    let hall = Hall::new();
    drop(hall.place.publish("object", 5).unwrap());
    let mut other = Other::start(Role::CloseAll, &hall.place);
    assert_eq!(hall.prober().probe(3).unwrap(), Held::Yes);
    assert_eq!(hall.place.attached("object"), [77]);
    other.kill();
    dead_in_time("killed after all", || hall.prober().probe(3).unwrap() == Held::No);
}

#[test]
fn a_forked_child_does_not_keep_its_parent_alive() {
    if !promised(Promise::ForkSafe) {
        return;
    }
    let _watchdog = watchdog();
    let hall = Hall::new();
    // The child lives as long as its standard input, which is this test's end of a pipe.
    let mut other = Other::start(Role::SitAndFork, &hall.place);
    assert_eq!(hall.prober().probe(3).unwrap(), Held::Yes);
    other.kill();
    dead_in_time("the parent is gone, the child is not", || hall.prober().probe(3).unwrap() == Held::No);
    assert_eq!(hall.take([3]).unwrap().slot(), 3);
}
