//! Is this participant gone? A locked file per slot, which the system unlocks when its holder ends.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use super::file::file_id;
use super::{is_held, os};
use crate::sys::{FileId, Held};

/// The directory of slots, beside the registry.
pub(super) const SEATS: &str = ".seats";

/// A slot's locked file.
pub(crate) struct Seat {
    slot: u32,
    file: os::Kept,
}

impl Seat {
    /// Locks the first free one among `slots` of the registry at `path`; `None` when all are taken.
    ///
    /// The caller holds the process lock: a descriptor open at the moment of a fork would tie the lock to the child.
    /// Fails with `NotFound` when the path no longer names `expected`.
    pub(crate) fn take(
        path: &Path,
        expected: FileId,
        slots: impl Iterator<Item = u32>,
    ) -> io::Result<Option<Self>> {
        check(path, expected)?;
        let seats = seats_of(path);
        match std::fs::create_dir(&seats) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for slot in slots {
            let mut options = OpenOptions::new();
            let file =
                os::private(options.read(true).write(true).create(true)).open(file_of(&seats, slot))?;
            // A prober's shared lock makes a free slot look taken for a moment: then another slot.
            if !is_held(file.try_lock())? {
                return Ok(Some(Seat { slot, file: os::Kept::new(file) }));
            }
        }
        Ok(None)
    }

    /// The slot.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Forgets a seat of the process that this one was forked from: the file was closed here.
    pub(crate) fn disown(self) {
        self.file.disown();
    }
}

/// Looks at the files of one registry's slots.
pub(crate) struct Prober {
    path: PathBuf,
    seats: PathBuf,
    expected: FileId,
}

impl Prober {
    /// A prober of the registry at `path`.
    pub(crate) fn new(path: &Path, expected: FileId) -> io::Result<Self> {
        check(path, expected)?;
        Ok(Prober { path: path.to_owned(), seats: seats_of(path), expected })
    }

    /// Whether somebody holds `slot`; a slot that was never used has no file, which is an error: nothing is known of it.
    pub(crate) fn probe(&self, slot: u32) -> io::Result<Held> {
        probe(&file_of(&self.seats, slot))
    }

    /// The slots that are held now, in order.
    pub(crate) fn held(&self, capacity: u32) -> io::Result<Vec<u32>> {
        let mut held = slots(&self.seats)?;
        held.retain(|&slot| {
            slot < capacity && probe(&file_of(&self.seats, slot)).is_ok_and(|h| h == Held::Yes)
        });
        held.sort_unstable();
        Ok(held)
    }

    /// Whether the registry is still in its place.
    pub(crate) fn leads_to_registry(&self) -> bool {
        check(&self.path, self.expected).is_ok()
    }

    /// Nothing is kept open that could be lost; fails if the registry is gone.
    pub(crate) fn restore(&self) -> io::Result<()> {
        check(&self.path, self.expected)
    }
}

/// Whether somebody living has a slot in `directory`'s registry.
pub(super) fn any_living(directory: &Path) -> io::Result<bool> {
    let seats = directory.join(SEATS);
    for slot in slots(&seats)? {
        if probe(&file_of(&seats, slot))? == Held::Yes {
            return Ok(true);
        }
    }
    Ok(false)
}

fn probe(file: &Path) -> io::Result<Held> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    // Shared: two who ask at once do not take each other for a holder.
    if is_held(file.try_lock_shared())? {
        return Ok(Held::Yes);
    }
    // Said and not left to closing, which would wait for a child forked at this moment.
    file.unlock()?;
    Ok(Held::No)
}

fn seats_of(registry: &Path) -> PathBuf {
    registry.with_file_name(SEATS)
}

fn file_of(seats: &Path, slot: u32) -> PathBuf {
    seats.join(slot.to_string())
}

/// The slots that were ever used.
fn slots(seats: &Path) -> io::Result<Vec<u32>> {
    match crate::sys::list(seats) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => Ok(names?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect()),
    }
}

/// Checks that the registry is the one that was mapped.
fn check(path: &Path, expected: FileId) -> io::Result<()> {
    if file_id(path)? == expected {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "the registry was replaced while it was in use"))
    }
}
