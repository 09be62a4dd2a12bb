//! Many values: one element under the lock, a borrowed slice, bulk copies.

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Mutex;

use super::held;
use crate::contender::{Contender, solo};
use crate::failure::{Failure, same};
use crate::python::python;
use crate::row::{Placement, Row};

/// Elements of the array that single writes go to.
const LENGTH: usize = 1024;

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("array-write", "Array: write one element under its lock", Placement::Alone)
            .with(locked_write())
            .with(python("array"))
            .goal(1.1, "Mutex<Vec>"),
        Row::new("array-slice", "Array: store through a borrowed slice", Placement::Alone)
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
                .with(copy_out(bytes))
                .goal(1.0 / 0.95, "memcpy"),
        );
        let title = format!("Array: bulk copy in, {size}");
        rows.push(
            Row::new(format!("array-fill-{bytes}"), title, Placement::Alone)
                .moving(bytes as u64)
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

/// The two ends of a copy, and how often it was done.
struct Copying {
    shared: Bytes,
    private: Vec<u64>,
    done: u64,
    sum: u64,
}

impl Copying {
    fn new(bytes: usize) -> Result<Self, Failure> {
        Ok(Self { shared: Bytes::new(bytes)?, private: vec![7; bytes / 8], done: 0, sum: 0 })
    }

    /// Word n of what is copied the last time.
    fn pattern(n: usize) -> u64 {
        (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// What the first words sum up to when copy n carried the word n.
    fn sum_to(total: u64) -> u64 {
        total * (total + 1) / 2
    }
}

/// From shared to private memory; the first word changes each time and is summed up on the other side.
fn copy_out(bytes: usize) -> Box<dyn Contender> {
    solo(
        "memcpy",
        move || {
            let mut ends = Copying::new(bytes)?;
            ends.shared.words().iter_mut().enumerate().for_each(|(n, word)| *word = Copying::pattern(n));
            Ok(ends)
        },
        |ends, ops| {
            let source = ends.shared.words();
            let private = &mut ends.private;
            for _ in 0..ops {
                ends.done += 1;
                source[0] = ends.done;
                private.copy_from_slice(black_box(&*source));
                ends.sum += black_box(&*private)[0];
            }
            Ok(())
        },
        |ends, total| {
            same("sum of first words", Copying::sum_to(total), ends.sum)?;
            let wrong = ends.private.iter().enumerate().skip(1);
            same("wrong words", 0, wrong.filter(|&(n, &word)| word != Copying::pattern(n)).count() as u64)
        },
    )
}

/// From private to shared memory, checked likewise.
fn copy_in(bytes: usize) -> Box<dyn Contender> {
    solo(
        "memcpy",
        move || {
            let mut ends = Copying::new(bytes)?;
            ends.private.iter_mut().enumerate().for_each(|(n, word)| *word = Copying::pattern(n));
            Ok(ends)
        },
        |ends, ops| {
            let target = ends.shared.words();
            let private = &mut ends.private;
            for _ in 0..ops {
                ends.done += 1;
                private[0] = ends.done;
                target.copy_from_slice(black_box(&*private));
                ends.sum += black_box(&*target)[0];
            }
            Ok(())
        },
        |ends, total| {
            same("sum of first words", Copying::sum_to(total), ends.sum)?;
            let wrong = ends.shared.words().iter().enumerate().skip(1);
            same("wrong words", 0, wrong.filter(|&(n, &word)| word != Copying::pattern(n)).count() as u64)
        },
    )
}
