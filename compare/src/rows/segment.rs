//! Named segments of one page: the whole life of one, and the opening of an existing one.

use std::ffi::CString;
use std::hint::black_box;

use procshare::AtomicValue;
use shared_memory::{Shmem, ShmemConf};

use super::ours::refused;
use crate::contender::{Contender, solo};
use crate::failure::{Failure, not_negative, same};
use crate::leftovers::own_name;
use crate::python::python;
use crate::row::{OURS, Placement, Row};

const BYTES: usize = 4096;

/// A named segment as the rows see it; dropping it unmaps and closes, and removes the name if it made it.
trait Segment: Sized + 'static {
    fn create(name: &str) -> Result<Self, Failure>;

    fn open(name: &str) -> Result<Self, Failure>;

    /// Writes its first word.
    fn put(&self, word: u64) -> Result<(), Failure>;

    /// Its first word.
    fn get(&self) -> u64;
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![
        Row::new("segment-life", "Segment: create, open, touch, unlink 4 KiB", Placement::Alone)
            .with(life::<Ours>(OURS))
            .with(life::<Raw>("raw shm_open"))
            .with(life::<Shmem>("shared_memory"))
            .with(python("segment"))
            .goal(1.05, "raw shm_open"),
        Row::new("segment-open", "Segment: open an existing one, touch, close", Placement::Alone)
            .with(opening::<Ours>(OURS))
            .with(opening::<Raw>("raw shm_open"))
            .with(opening::<Shmem>("shared_memory"))
            .goal(1.5, "raw shm_open"),
    ]
}

/// Creates, opens a second time, writes through one mapping, reads through the other, removes.
fn life<S: Segment>(name: &'static str) -> Box<dyn Contender> {
    solo(
        name,
        || Ok((own_name(), 0_u64, 0_u64)),
        |(name, done, sum), ops| {
            for _ in 0..ops {
                *done += 1;
                let made = S::create(name)?;
                let opened = S::open(name)?;
                made.put(*done)?;
                *sum += opened.get();
            }
            Ok(())
        },
        |(name, done, sum), total| {
            same("segments", total, *done)?;
            same("sum of words read", total * (total + 1) / 2, *sum)?;
            same("segments left", 0, u64::from(S::open(name).is_ok()))
        },
    )
}

const STAMP: u64 = 1_000_003;

/// Opens what another handle keeps in existence.
fn opening<S: Segment>(name: &'static str) -> Box<dyn Contender> {
    solo(
        name,
        || {
            let name = own_name();
            let made = S::create(&name)?;
            made.put(STAMP)?;
            Ok((name, made, 0_u64))
        },
        |(name, _, sum), ops| {
            for _ in 0..ops {
                let opened = S::open(name)?;
                *sum += opened.get();
            }
            Ok(())
        },
        |(_, _, sum), total| same("sum of words read", STAMP * total, *sum),
    )
}

/// shm_open and mmap by hand.
struct Raw {
    /// The name to remove at the end, if this handle made it.
    name: Option<CString>,
    fd: i32,
    /// Where the page is mapped; null until it is.
    at: *mut u64,
}

impl Raw {
    fn map(name: &CString, flags: i32, owner: bool) -> Result<Self, Failure> {
        // SAFETY: the name is a C string.
        let fd = not_negative("shm_open", unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) })?;
        let mut raw = Self { name: owner.then(|| name.clone()), fd, at: std::ptr::null_mut() };
        if owner {
            // SAFETY: the descriptor is open for writing.
            not_negative("ftruncate", unsafe { libc::ftruncate(fd, BYTES as libc::off_t) })?;
        } else {
            raw.check_length()?;
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), BYTES, protection, libc::MAP_SHARED, fd, 0)
        };
        if at == libc::MAP_FAILED {
            return Err(Failure::last_os("mmap"));
        }
        raw.at = at.cast();
        Ok(raw)
    }

    fn check_length(&self) -> Result<(), Failure> {
        // SAFETY: a zeroed stat is valid, and `fstat` overwrites it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `stat` writable.
        not_negative("fstat", unsafe { libc::fstat(self.fd, &mut stat) })?;
        same("length of the segment", BYTES as u64, stat.st_size as u64)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the mapping, the descriptor and the name are this value's own and used by nobody any more.
        unsafe {
            if !self.at.is_null() {
                libc::munmap(self.at.cast(), BYTES);
            }
            libc::close(self.fd);
            if let Some(name) = &self.name {
                libc::shm_unlink(name.as_ptr());
            }
        }
    }
}

impl Segment for Raw {
    fn create(name: &str) -> Result<Self, Failure> {
        let name = c_name(name)?;
        Self::map(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, true)
    }

    fn open(name: &str) -> Result<Self, Failure> {
        let name = c_name(name)?;
        Self::map(&name, libc::O_RDWR, false)
    }

    fn put(&self, word: u64) -> Result<(), Failure> {
        // SAFETY: the mapping is live, writable, aligned and one page long; this process alone has it.
        unsafe { black_box(self.at).write_volatile(word) };
        Ok(())
    }

    fn get(&self) -> u64 {
        // SAFETY: as in `put`.
        unsafe { black_box(self.at).read_volatile() }
    }
}

fn c_name(name: &str) -> Result<CString, Failure> {
    CString::new(format!("/{name}")).map_err(|error| Failure::contender("name", error))
}

impl Segment for Shmem {
    fn create(name: &str) -> Result<Self, Failure> {
        let conf = ShmemConf::new().os_id(format!("/{name}")).size(BYTES);
        conf.create().map_err(|error| Failure::contender("shared_memory create", error))
    }

    fn open(name: &str) -> Result<Self, Failure> {
        let conf = ShmemConf::new().os_id(format!("/{name}"));
        conf.open().map_err(|error| Failure::contender("shared_memory open", error))
    }

    fn put(&self, word: u64) -> Result<(), Failure> {
        // SAFETY: the mapping is live, writable, aligned and one page long; this process alone has it.
        unsafe { black_box(self.as_ptr().cast::<u64>()).write_volatile(word) };
        Ok(())
    }

    fn get(&self) -> u64 {
        // SAFETY: as in `put`.
        unsafe { black_box(self.as_ptr().cast::<u64>()).read_volatile() }
    }
}

/// procshare's smallest object, on one page: header, checks and attachment included.
struct Ours {
    value: AtomicValue<u64>,
    /// The name to remove at the end, if this handle made it.
    name: Option<String>,
}

impl Segment for Ours {
    fn create(name: &str) -> Result<Self, Failure> {
        let value = AtomicValue::create(name, 0).map_err(refused)?;
        Ok(Self { value, name: Some(name.to_owned()) })
    }

    fn open(name: &str) -> Result<Self, Failure> {
        Ok(Self { value: AtomicValue::open(name).map_err(refused)?, name: None })
    }

    fn put(&self, word: u64) -> Result<(), Failure> {
        self.value.store(word).map_err(refused)
    }

    fn get(&self) -> u64 {
        self.value.load()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // A name left behind shows in the check at the end.
            let _ = AtomicValue::<u64>::unlink(name);
        }
    }
}
