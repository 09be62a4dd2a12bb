//! One value: atomic add; get and update of a whole T.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use procshare::{AtomicValue, Value};

use super::held;
use super::ours::refused;
use crate::contender::{Contender, solo};
use crate::failure::{Failure, same};
use crate::python::python;
use crate::row::{OURS, Placement, Row};
use crate::shared::Shared;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let atomic = solo(
        "AtomicU64",
        || Shared::new(AtomicU64::new(0)),
        |value, ops| {
            for _ in 0..ops {
                value.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        },
        |value, total| same("sum", total, value.load(Ordering::Relaxed)),
    );
    let mut rows = vec![
        Row::new("value-add", "Value: atomic add", Placement::Alone)
            .with(atomic_value())
            .with(atomic)
            .with(python("value"))
            .goal(1.05, "AtomicU64"),
    ];
    rows.extend([get_row::<1>(), get_row::<8>(), get_row::<128>(), get_row::<512>()]);
    rows.extend([update_row::<1>(), update_row::<8>(), update_row::<128>(), update_row::<512>()]);
    rows
}

/// What the value holds: N words, all alike, so that a torn one shows.
type Words<const N: usize> = [u64; N];

const START: u64 = 1_000_003;

fn get_row<const N: usize>() -> Row {
    let bytes = size_of::<Words<N>>();
    Row::new(format!("value-get-{bytes}"), format!("Value: get, {bytes} B"), Placement::Alone)
        .with(value_get::<N>())
        .with(value_get_into::<N>())
        .with(mutex_get::<N>())
        .goal(1.0, "std Mutex<T>")
        .goal_of(GET_INTO, 1.0, "std Mutex<T>")
}

fn update_row<const N: usize>() -> Row {
    let bytes = size_of::<Words<N>>();
    Row::new(
        format!("value-update-{bytes}"),
        format!("Value: crash-atomic update, {bytes} B"),
        Placement::Alone,
    )
    .with(value_update::<N>())
    .with(mutex_update::<N>())
    .goal(1.5, "std Mutex<T>")
}

fn atomic_value() -> Box<dyn Contender> {
    solo(
        OURS,
        || AtomicValue::anonymous(0_u64).map_err(refused),
        |value, ops| {
            for _ in 0..ops {
                value.fetch_add(1).map_err(refused)?;
            }
            Ok(())
        },
        |value, total| same("sum", total, value.load()),
    )
}

fn value_get<const N: usize>() -> Box<dyn Contender> {
    solo(
        OURS,
        || Ok((Value::<Words<N>>::anonymous([START; N]).map_err(refused)?, 0_u64)),
        |(value, sum), ops| {
            let mut read = 0_u64;
            for _ in 0..ops {
                // Used where it arrives, as the peer's copy is.
                let mut got = value.get();
                let copy: &mut Words<N> = black_box(got.as_mut().map_err(refused)?);
                read = read.wrapping_add(copy[0] ^ copy[N - 1] ^ START);
            }
            *sum = sum.wrapping_add(read);
            Ok(())
        },
        |(_, sum), total| same("sum of what was read", START.wrapping_mul(total), *sum),
    )
}

/// The way that copies once.
const GET_INTO: &str = "procshare get_into";

fn value_get_into<const N: usize>() -> Box<dyn Contender> {
    solo(
        GET_INTO,
        || Ok((Value::<Words<N>>::anonymous([START; N]).map_err(refused)?, 0_u64)),
        |(value, sum), ops| {
            let (mut read, mut copy) = (0_u64, [0; N]);
            for _ in 0..ops {
                value.get_into(&mut copy).map_err(refused)?;
                let copy = black_box(&mut copy);
                read = read.wrapping_add(copy[0] ^ copy[N - 1] ^ START);
            }
            *sum = sum.wrapping_add(read);
            Ok(())
        },
        |(_, sum), total| same("sum of what was read", START.wrapping_mul(total), *sum),
    )
}

fn value_update<const N: usize>() -> Box<dyn Contender> {
    solo(
        OURS,
        || Value::<Words<N>>::anonymous([START; N]).map_err(refused),
        |value, ops| {
            for _ in 0..ops {
                let updated = value.update(|copy| {
                    change(copy);
                    black_box(copy);
                });
                updated.map_err(refused)?;
            }
            Ok(())
        },
        |value, total| check_update(value.get().map_err(refused)?, total),
    )
}

/// Copies the whole T out under the lock.
fn mutex_get<const N: usize>() -> Box<dyn Contender> {
    solo(
        "std Mutex<T>",
        || Ok((Box::new(Mutex::new([START; N])), 0_u64)),
        |(value, sum), ops| {
            let mut read = 0_u64;
            for _ in 0..ops {
                let mut copy: Words<N> = *held(value);
                let copy = black_box(&mut copy);
                read = read.wrapping_add(copy[0] ^ copy[N - 1] ^ START);
            }
            *sum = sum.wrapping_add(read);
            Ok(())
        },
        |(_, sum), total| same("sum of what was read", START.wrapping_mul(total), *sum),
    )
}

/// Copies the whole T out, changes it and stores it whole, all under the lock.
fn mutex_update<const N: usize>() -> Box<dyn Contender> {
    solo(
        "std Mutex<T>",
        || Ok(Box::new(Mutex::new([START; N]))),
        |value, ops| {
            for _ in 0..ops {
                let mut whole = held(value);
                let mut copy: Words<N> = *whole;
                change(&mut copy);
                *whole = *black_box(&mut copy);
            }
            Ok(())
        },
        |value, total| check_update(*held(value), total),
    )
}

fn check_update<const N: usize>(mut whole: Words<N>, total: u64) -> Result<(), Failure> {
    same("first word", START + total, whole[0])?;
    same("last word", START + total, whole[N - 1])?;
    whole[0] = START;
    whole[N - 1] = START;
    same("words that must not change", 0, whole.iter().filter(|&&word| word != START).count() as u64)
}

/// The change an update makes: one more in the first word, the same in the last.
#[inline]
fn change<const N: usize>(words: &mut Words<N>) {
    words[0] += 1;
    words[N - 1] = words[0];
}
