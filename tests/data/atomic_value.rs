//! `AtomicValue<T>`: one integer, float or bool that everybody changes at once.

use std::fmt::Debug;

use procshare::{AtomicBits, AtomicNumber, AtomicValue, Error, Handle, Lifetime, Value};

use crate::support::{Signal, TestSpace, fork, watchdog};

#[test]
fn integers_wrap_as_the_standard_librarys_do() {
    fn check<T: AtomicNumber + AtomicBits + PartialEq + Debug>(
        min: T,
        max: T,
        one: T,
        zero: T,
        bits: [T; 4],
    ) {
        let value = AtomicValue::anonymous(max).unwrap();
        assert_eq!(value.fetch_add(one).unwrap(), max);
        assert_eq!(value.load(), min);
        assert_eq!(value.fetch_sub(one).unwrap(), min);
        assert_eq!(value.swap(zero).unwrap(), max);
        assert_eq!(value.fetch_max(one).unwrap(), zero);
        assert_eq!(value.fetch_min(min).unwrap(), one);
        assert_eq!(value.get(), min);
        value.set(one).unwrap();
        assert_eq!(value.add(one).unwrap(), one);
        assert_eq!(value.compare_exchange(one, zero).unwrap().unwrap_err(), value.load());
        let [mask, and, or, xor] = bits;
        value.store(one).unwrap();
        assert_eq!(value.fetch_or(mask).unwrap(), one);
        assert_eq!(value.load(), or);
        assert_eq!(value.fetch_xor(one).unwrap(), or);
        assert_eq!(value.load(), xor);
        assert_eq!(value.fetch_and(and).unwrap(), xor);
        assert_eq!(value.load(), and);
        assert_eq!(value.compare_exchange(and, max).unwrap(), Ok(and));
        assert_eq!(value.update(|_| min).unwrap(), max);
        assert_eq!(value.fetch_update(|_| None).unwrap(), Err(min));
        assert_eq!(value.fetch_update(|_| Some(zero)).unwrap(), Ok(min));
        assert_eq!(value.load(), zero);
    }
    macro_rules! check {
        ($($type:ident)*) => {$(
            check::<$type>($type::MIN, $type::MAX, 1, 0, [0b110, 0b010, 0b111, 0b110]);
        )*};
    }
    check! { i8 i16 i32 i64 u8 u16 u32 u64 }
}

#[test]
fn signed_values_keep_their_order() {
    let value = AtomicValue::anonymous(-5i16).unwrap();
    value.fetch_min(3).unwrap();
    assert_eq!(value.load(), -5);
    value.fetch_max(-2).unwrap();
    assert_eq!(value.load(), -2);
    value.fetch_sub(-100).unwrap();
    assert_eq!(value.load(), 98);
}

#[test]
fn floats_add_compare_bits_and_prefer_numbers_to_nan() {
    let value = AtomicValue::anonymous(0.0f64).unwrap();
    assert_eq!(value.fetch_add(0.5).unwrap(), 0.0);
    assert_eq!(value.fetch_sub(2.0).unwrap(), 0.5);
    assert_eq!(value.load(), -1.5);
    assert_eq!(value.fetch_min(f64::NAN).unwrap(), -1.5);
    assert_eq!(value.load(), -1.5);
    value.store(f64::NAN).unwrap();
    assert!(value.load().is_nan());
    assert!(value.compare_exchange(f64::NAN, -0.0).unwrap().is_ok(), "a NaN is itself");
    assert!(value.compare_exchange(0.0, 1.0).unwrap().is_err(), "zero is not minus zero");
    let small = AtomicValue::anonymous(1.0f32).unwrap();
    small.fetch_max(f32::INFINITY).unwrap();
    assert_eq!(small.load(), f32::INFINITY);
}

#[test]
fn a_bool_is_its_lowest_bit() {
    let home = TestSpace::new();
    let flag = AtomicValue::create(&home.path("flag"), false).unwrap();
    assert!(!flag.fetch_or(true).unwrap());
    assert!(flag.fetch_xor(true).unwrap());
    assert!(!flag.swap(true).unwrap());
    assert!(flag.fetch_and(false).unwrap());
    for byte in 0..=u8::MAX {
        let odd = byte & 1 == 1;
        home.scribble("flag", 0, &[byte]);
        assert_eq!(flag.load(), odd);
        assert_eq!(flag.compare_exchange(!odd, odd).unwrap(), Err(odd));
        assert_eq!(flag.compare_exchange(odd, !odd).unwrap(), Ok(odd), "whatever else is in the byte");
        assert_eq!(flag.load(), !odd);
        home.scribble("flag", 0, &[byte]);
        assert_eq!(flag.fetch_xor(true).unwrap(), odd);
        assert_eq!(flag.update(|now| !now).unwrap(), !odd);
        assert_eq!(flag.load(), odd);
    }
}

#[test]
fn adds_of_two_processes_all_count() {
    const EACH: u64 = 200_000;
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let sum = AtomicValue::create(&home.path("sum"), 0u64).unwrap();
    let float = AtomicValue::create(&home.path("float"), 0f64).unwrap();
    let peak = AtomicValue::create(&home.path("peak"), i32::MIN).unwrap();
    let work = || {
        for step in 0..EACH {
            sum.fetch_add(1).unwrap();
            float.fetch_add(0.5).unwrap();
            peak.fetch_max(step as i32).unwrap();
        }
    };
    let child = fork(work);
    work();
    child.join();
    assert_eq!(sum.load(), 2 * EACH);
    assert_eq!(float.load(), EACH as f64);
    assert_eq!(peak.load(), EACH as i32 - 1);
}

#[test]
fn a_killed_adder_has_added_or_has_not() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let sum = AtomicValue::create(&home.path("sum"), 0u64).unwrap();
    let told = AtomicValue::create(&home.path("told"), 0u64).unwrap();
    for round in 0..40 {
        let before = (sum.load(), told.load());
        let ready = Signal::new();
        let child = fork(|| {
            ready.send();
            loop {
                sum.fetch_add(1).unwrap();
                told.fetch_add(1).unwrap();
            }
        });
        ready.wait();
        while told.load() < before.1 + 10 * round {
            std::thread::yield_now();
        }
        child.kill();
        let (added, said) = (sum.load() - before.0, told.load() - before.1);
        assert!(added == said || added == said + 1, "{added} added, {said} told");
    }
}

#[test]
fn the_handle_leads_another_process_to_the_same_value() {
    let value = AtomicValue::anonymous(-7i64).unwrap();
    let text = serde_json::to_string(&value).unwrap();
    fork(|| {
        let handle: Handle<AtomicValue<i64>> = serde_json::from_str(&text).unwrap();
        assert_eq!(handle.attach().unwrap().fetch_add(8).unwrap(), -7);
        let wrong: Handle<AtomicValue<u64>> = serde_json::from_str(&text).unwrap();
        assert!(matches!(wrong.attach(), Err(Error::WrongType { .. })));
    })
    .join();
    assert_eq!(value.load(), 1);
}

#[test]
fn a_read_only_handle_reads_and_is_refused_everything_else() {
    let home = TestSpace::new();
    let value = AtomicValue::create(&home.path("value"), 5u32).unwrap();
    let reader = AtomicValue::<u32>::builder().read_only(true).open(&home.path("value")).unwrap();
    assert_eq!((reader.load(), reader.get()), (5, 5));
    let refused = [
        reader.store(1).map(|()| 0),
        reader.set(1).map(|()| 0),
        reader.swap(1),
        reader.compare_exchange(5, 1).map(|_| 0),
        reader.compare_exchange(4, 1).map(|_| 0),
        reader.fetch_update(|_| Some(1)).map(|_| 0),
        reader.update(|_| 1),
        reader.fetch_add(1),
        reader.add(1),
        reader.fetch_sub(1),
        reader.fetch_min(1),
        reader.fetch_max(9),
        reader.fetch_and(1),
        reader.fetch_or(1),
        reader.fetch_xor(1),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
    }
    value.store(6).unwrap();
    assert_eq!(reader.load(), 6);
}

#[test]
fn other_types_and_kinds_are_refused() {
    let home = TestSpace::new();
    let _value = AtomicValue::create(&home.path("value"), 5u32).unwrap();
    assert!(matches!(AtomicValue::<i32>::open(&home.path("value")), Err(Error::WrongType { .. })));
    assert!(matches!(AtomicValue::<f32>::open(&home.path("value")), Err(Error::WrongType { .. })));
    assert!(matches!(AtomicValue::<u64>::open(&home.path("value")), Err(Error::WrongType { .. })));
    assert!(matches!(Value::<u32>::open(&home.path("value")), Err(Error::WrongKind { .. })));
    assert!(matches!(AtomicValue::<u32>::open(&home.path("none")), Err(Error::NotFound { .. })));
    assert!(matches!(AtomicValue::create(&home.path("value"), 1u32), Err(Error::AlreadyExists { .. })));
    assert_eq!(AtomicValue::open_or_create(&home.path("value"), 1u32).unwrap().load(), 5);
}

#[test]
fn a_scoped_value_goes_with_its_last_user() {
    let home = TestSpace::new();
    let value =
        AtomicValue::<u8>::builder().lifetime(Lifetime::Scoped).create(&home.path("value"), 1).unwrap();
    let same = value.clone();
    drop(value);
    assert_eq!(AtomicValue::<u8>::open(&home.path("value")).unwrap().load(), 1);
    drop(same);
    assert!(matches!(AtomicValue::<u8>::open(&home.path("value")), Err(Error::NotFound { .. })));
}
