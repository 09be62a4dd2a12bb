//! Many values: one element under the lock, a borrowed slice, bulk copies.

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Mutex;

use procshare::Array;

use super::held;
use super::ours::refused;
use crate::contender::{Contender, solo};
use crate::failure::{Failure, same};
use crate::python::python;
use crate::row::{OURS, Placement, Row};

/// Elements of the array that single writes go to.
const LENGTH: usize = 1024;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("array-write", "Array: write one element under its lock", Placement::Alone)
            .with(array_set())
            .with(locked_write())
            .with(python("array"))
            .goal(1.1, "Mutex<Vec>"),
        Row::new("array-slice", "Array: store through a borrowed slice", Placement::Alone)
            .with(guard_store())
            .with(plain_store())
            .goal(1.05, "plain slice"),
    ];
    // At least 0.95 of memcpy's throughput is at most 1 / 0.95 of its time.
    for bytes in [64, 4 << 10, 64 << 10, 1 << 20, 64 << 20] {
        let size = size_name(bytes);
        let title = format!("Array: bulk copy out, {size}");
        rows.push(
            Row::new(format!("array-copy-{bytes}"), title, Placement::Alone)
                .moving(bytes as u64)
                .with(array_read(bytes))
                .with(copy_out(bytes))
                .goal(1.0 / 0.95, "memcpy"),
        );
        let title = format!("Array: bulk copy in, {size}");
        rows.push(
            Row::new(format!("array-fill-{bytes}"), title, Placement::Alone)
                .moving(bytes as u64)
                .with(array_write(bytes))
                .with(copy_in(bytes))
                .goal(1.0 / 0.95, "memcpy"),
        );
    }
    rows
}

fn size_name(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

/// Adds one to element after element; the sum tells whether any write was lost.
fn locked_write() -> Box<dyn Contender> {
    solo(
        "Mutex<Vec>",
        || Ok((Mutex::new(vec![0_u64; LENGTH]), 0)),
        |(array, next), ops| {
            for n in *next..*next + ops as usize {
                held(array)[n % LENGTH] += 1;
            }
            *next += ops as usize;
            Ok(())
        },
        |(array, _), total| same("sum", total, held(array).iter().sum()),
    )
}

/// Counts at element after element; the sum tells whether any write was lost.
fn array_set() -> Box<dyn Contender> {
    solo(
        OURS,
        || Ok((Array::anonymous(LENGTH, 0_u64).map_err(refused)?, 0)),
        |(array, next), ops| {
            for n in *next..*next + ops as usize {
                array.set(n % LENGTH, (n / LENGTH + 1) as u64).map_err(refused)?;
            }
            *next += ops as usize;
            Ok(())
        },
        |(array, _), total| same("sum", total, array.to_vec().map_err(refused)?.iter().sum()),
    )
}

/// One guard for all stores of a batch, as one slice serves the peer.
fn guard_store() -> Box<dyn Contender> {
    solo(
        OURS,
        || Ok((Array::anonymous(LENGTH, 0_u64).map_err(refused)?, 0)),
        |(array, next), ops| {
            let mut slice = array.lock(..).map_err(refused)?;
            *next = store_each(&mut slice, *next, ops);
            Ok(())
        },
        |(array, next), total| check_stores(&array.to_vec().map_err(refused)?, *next, total),
    )
}

fn plain_store() -> Box<dyn Contender> {
    solo(
        "plain slice",
        || Ok((vec![0_u64; LENGTH], 0)),
        |(array, next), ops| {
            *next = store_each(array, *next, ops);
            Ok(())
        },
        |(array, next), total| check_stores(array, *next, total),
    )
}

/// Stores n at place n, `ops` times; black_box keeps the compiler from making one big copy of it.
fn store_each(array: &mut [u64], mut next: usize, ops: u64) -> usize {
    for _ in 0..ops {
        array[black_box(next) % LENGTH] = next as u64;
        next += 1;
    }
    next
}

/// Each element holds the last n that fell on its place.
fn check_stores(array: &[u64], next: usize, total: u64) -> Result<(), Failure> {
    same("stores", total, next as u64)?;
    let first = next.saturating_sub(LENGTH);
    (first..next).try_for_each(|n| same("element", n as u64, array[n % LENGTH]))
}

/// Shared memory to copy from and to, of a length known only at run time.
struct Bytes {
    at: NonNull<u64>,
    words: usize,
}

impl Bytes {
    fn new(bytes: usize) -> Result<Self, Failure> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
            libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0)
        };
        if at == libc::MAP_FAILED {
            return Err(Failure::last_os("mmap"));
        }
        let at = NonNull::new(at.cast()).ok_or(Failure::Os { call: "mmap".into(), errno: libc::EINVAL })?;
        Ok(Self { at, words: bytes / 8 })
    }

    fn words(&mut self) -> &mut [u64] {
        // SAFETY: the mapping is that long, zeroed, unmapped only on drop, and this process alone knows of it.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.words) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length, and no slice outlives the owner.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.words * 8) };
    }
}

/// How many copies are made of the same first word: marking short copies one by one would cost more than copying them.
fn burst(bytes: usize) -> u64 {
    if bytes <= 4 << 10 { 64 } else { 1 }
}

/// The private end of a copy, and what went through it.
struct Private {
    words: Vec<u64>,
    burst: u64,
    done: u64,
    sum: u64,
}

impl Private {
    fn new(bytes: usize, word: fn(usize) -> u64) -> Self {
        Self { words: (0..bytes / 8).map(word).collect(), burst: burst(bytes), done: 0, sum: 0 }
    }

    /// Counts a copy to come; its number, if the first word is to become that.
    #[inline]
    fn next_mark(&mut self) -> Option<u64> {
        self.done += 1;
        self.done.is_multiple_of(self.burst).then_some(self.done)
    }

    /// Checks the sum of the first words that arrived, and the words behind the first.
    fn check(&self, total: u64, arrived: &[u64]) -> Result<(), Failure> {
        same("sum of first words", (1..=total).map(|n| n - n % self.burst).sum(), self.sum)?;
        let behind = arrived.iter().enumerate().skip(1);
        same("wrong words", 0, behind.filter(|&(n, &word)| word != pattern(n)).count() as u64)
    }
}

/// What is copied: word n; the first is 0 until it is marked.
fn pattern(n: usize) -> u64 {
    (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// From shared to private memory; the first word changes from burst to burst and is summed up on the other side.
fn copy_out(bytes: usize) -> Box<dyn Contender> {
    solo(
        "memcpy",
        move || {
            let mut shared = Bytes::new(bytes)?;
            shared.words().iter_mut().enumerate().for_each(|(n, word)| *word = pattern(n));
            Ok((shared, Private::new(bytes, |_| 7)))
        },
        |(shared, private), ops| {
            let source = shared.words();
            for _ in 0..ops {
                if let Some(mark) = private.next_mark() {
                    source[0] = mark;
                }
                private.words.copy_from_slice(black_box(&*source));
                private.sum += black_box(&*private.words)[0];
            }
            Ok(())
        },
        |(_, private), total| private.check(total, &private.words),
    )
}

/// The same out of a procshare array: the copy is what the array held at one instant.
fn array_read(bytes: usize) -> Box<dyn Contender> {
    solo(
        OURS,
        move || Ok((shared_array(bytes, pattern)?, Private::new(bytes, |_| 7))),
        |(array, private), ops| {
            for _ in 0..ops {
                if let Some(mark) = private.next_mark() {
                    array.set(0, mark).map_err(refused)?;
                }
                array.read(0, &mut private.words).map_err(refused)?;
                private.sum += black_box(&*private.words)[0];
            }
            Ok(())
        },
        |(_, private), total| private.check(total, &private.words),
    )
}

/// From private to shared memory, checked likewise.
fn copy_in(bytes: usize) -> Box<dyn Contender> {
    solo(
        "memcpy",
        move || Ok((Bytes::new(bytes)?, Private::new(bytes, pattern))),
        |(shared, private), ops| {
            let target = shared.words();
            for _ in 0..ops {
                if let Some(mark) = private.next_mark() {
                    private.words[0] = mark;
                }
                target.copy_from_slice(black_box(&*private.words));
                private.sum += private.words[0];
            }
            Ok(())
        },
        |(shared, private), total| {
            same("first word", total - total % private.burst, shared.words()[0])?;
            private.check(total, shared.words())
        },
    )
}

/// The same into a procshare array: no reader ever sees half of a copy.
fn array_write(bytes: usize) -> Box<dyn Contender> {
    solo(
        OURS,
        move || Ok((shared_array(bytes, |_| 7)?, Private::new(bytes, pattern))),
        |(array, private), ops| {
            for _ in 0..ops {
                if let Some(mark) = private.next_mark() {
                    private.words[0] = mark;
                }
                array.write(0, &private.words).map_err(refused)?;
                private.sum += private.words[0];
            }
            Ok(())
        },
        |(array, private), total| {
            let arrived = array.to_vec().map_err(refused)?;
            same("first word", total - total % private.burst, arrived[0])?;
            private.check(total, &arrived)
        },
    )
}

fn shared_array(bytes: usize, word: fn(usize) -> u64) -> Result<Array<u64>, Failure> {
    let array = Array::anonymous(bytes / 8, 0_u64).map_err(refused)?;
    let words: Vec<u64> = (0..bytes / 8).map(word).collect();
    array.write(0, &words).map_err(refused)?;
    Ok(array)
}
