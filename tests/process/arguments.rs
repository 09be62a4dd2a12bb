//! What travels to a new process.

use procshare::process::{Failure, Process, StartError, TaskError};
use procshare::{Array, ArrayInit, AtomicValue, Event, Handle, Lock, Queue, Value};
use serde::{Deserialize, Serialize};

use crate::support::{Place, limited};

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Shape {
    Point,
    Line { from: (i32, i32), to: (i32, i32) },
    Text(String),
}

#[procshare::task]
fn echo(shapes: Vec<Shape>, many: Vec<u64>) -> (Vec<Shape>, u64) {
    (shapes, many.iter().sum())
}

#[test]
fn anything_that_serde_knows_travels_both_ways() {
    let shapes =
        vec![Shape::Point, Shape::Line { from: (1, -2), to: (i32::MAX, 4) }, Shape::Text("ä".repeat(1000))];
    let many: Vec<u64> = (0..300_000).collect();
    let sum = many.iter().sum();
    let back = limited(|| Process::start::<echo>((shapes.clone(), &many[..])).unwrap().join().unwrap());
    assert_eq!(back, (shapes, sum));
}

#[procshare::task]
#[allow(clippy::type_complexity)]
fn use_all(
    lock: Handle<Lock>,
    value: Handle<Value<u32>>,
    array: Handle<Array<u16>>,
    atomic: Handle<AtomicValue<u64>>,
    queue: Handle<Queue<u8>>,
    event: Handle<Event>,
) -> Result<(), Failure> {
    let (lock, value, array) = (lock.attach()?, value.attach()?, array.attach()?);
    let _guard = lock.lock()?;
    value.set(value.get()? + 1)?;
    array.set(2, 7)?;
    atomic.attach()?.fetch_add(5)?;
    queue.attach()?.put(9)?;
    event.attach()?.set()?;
    Ok(())
}

#[test]
fn handles_of_objects_travel_and_leave_nothing() {
    let place = Place::new("arguments");
    limited(|| {
        let lock = Lock::builder().space(&place.space).anonymous().unwrap();
        let value = Value::builder().space(&place.space).anonymous(1u32).unwrap();
        let array = Array::builder().space(&place.space).anonymous(ArrayInit::filled(4, 0u16)).unwrap();
        let atomic = AtomicValue::builder().space(&place.space).anonymous(1u64).unwrap();
        let queue = Queue::builder().space(&place.space).anonymous(4).unwrap();
        let event = Event::builder().space(&place.space).anonymous().unwrap();
        let child = Process::start::<use_all>((&lock, &value, &array, &atomic, &queue, &event)).unwrap();
        child.join().unwrap().unwrap();
        assert_eq!((value.get().unwrap(), array.get(2).unwrap(), atomic.load()), (2, 7, 6));
        assert!(event.is_set() && queue.try_get().is_ok_and(|item| item == 9));
        drop(lock.try_lock().unwrap());
    });
    // Nobody pins what only travelled to a process.
    assert_eq!(place.objects(), Vec::<String>::new());
}

#[procshare::task]
fn late(go: Handle<Event>, value: Handle<AtomicValue<u32>>) -> u32 {
    go.attach().unwrap().wait().unwrap();
    value.attach().unwrap().load()
}

#[test]
fn a_scoped_object_stays_for_the_process_that_has_its_handle() {
    let place = Place::new("pinned");
    limited(|| {
        let go = Event::builder().space(&place.space).anonymous().unwrap();
        let value = AtomicValue::builder().space(&place.space).anonymous(77u32).unwrap();
        let child = Process::start::<late>((&go, &value)).unwrap();
        drop(value);
        go.set().unwrap();
        assert_eq!(child.join().unwrap(), 77);
        drop(go);
    });
    assert_eq!(place.objects(), Vec::<String>::new());
}

/// Says that it cannot be written, or read.
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("I will not travel"))
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("I will not arrive"))
    }
}

#[procshare::task]
fn stubborn_argument(_one: Stubborn) {}

#[procshare::task]
fn stubborn_output() -> Stubborn {
    Stubborn
}

#[test]
fn what_has_no_bytes_is_an_error_of_the_call_it_belongs_to() {
    limited(|| {
        let refused = Process::start::<stubborn_argument>((Stubborn,)).unwrap_err();
        assert!(matches!(refused, StartError::Arguments { .. }), "{refused}");
        let lost = Process::start::<stubborn_output>(()).unwrap().join().map(|_| ()).unwrap_err();
        assert!(matches!(lost, TaskError::Codec { .. }), "{lost}");
    });
}
