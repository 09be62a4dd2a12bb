//! Seats: a table of slots and the simulated processes that have them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::find;
use super::simulation::{current, is_dead};
use super::world::Node;
use crate::sys::{FileId, Held};

/// A slot of a registry that the current process has until it leaves or is killed.
pub(crate) struct Seat {
    node: Arc<Node>,
    slot: u32,
    process: u32,
    mine: bool,
}

impl Seat {
    /// Takes the first free one among `slots` of the registry at `path`; `None` when all are taken.
    pub(crate) fn take(
        path: &Path,
        expected: FileId,
        slots: impl Iterator<Item = u32>,
    ) -> io::Result<Option<Self>> {
        let node = registry(path, expected)?;
        let process = current();
        for slot in slots {
            let mut users = node.users();
            if users.seats.get(&slot).is_none_or(|&holder| is_dead(holder)) {
                users.seats.insert(slot, process);
                drop(users);
                return Ok(Some(Seat { node, slot, process, mine: true }));
            }
        }
        Ok(None)
    }

    /// The slot.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Forgets a seat that another simulated process took: it keeps it until it is killed.
    pub(crate) fn disown(mut self) {
        self.mine = false;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.node.users();
        // A successor of a killed process may have the slot by now.
        if self.mine && users.seats.get(&self.slot) == Some(&self.process) {
            users.seats.remove(&self.slot);
        }
    }
}

/// Looks at the table of one registry.
pub(crate) struct Prober {
    node: Arc<Node>,
}

impl Prober {
    /// A prober of the registry at `path`.
    pub(crate) fn new(path: &Path, expected: FileId) -> io::Result<Self> {
        registry(path, expected).map(|node| Prober { node })
    }

    /// Whether a living process has the slot.
    pub(crate) fn probe(&self, slot: u32) -> io::Result<Held> {
        let users = self.node.users();
        let living = users.seats.get(&slot).is_some_and(|&holder| !is_dead(holder));
        Ok(if living { Held::Yes } else { Held::No })
    }

    /// The slots that living processes have, in order.
    pub(crate) fn held(&self, capacity: u32) -> io::Result<Vec<u32>> {
        let users = self.node.users();
        let living = users.seats.range(..capacity).filter(|&(_, &holder)| !is_dead(holder));
        Ok(living.map(|(&slot, _)| slot).collect())
    }

    /// It always does.
    pub(crate) fn leads_to_registry(&self) -> bool {
        true
    }

    /// There is nothing to restore.
    pub(crate) fn restore(&self) -> io::Result<()> {
        Ok(())
    }
}

fn registry(path: &Path, expected: FileId) -> io::Result<Arc<Node>> {
    find(path).and_then(|node| {
        if node.id == expected {
            Ok(node)
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "the registry was replaced while it was in use"))
        }
    })
}
