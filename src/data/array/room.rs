//! Room in the table: a claim finds an entry although the dead have left theirs behind.
//!
//! A table has one entry more than guards may live at once. What the dead left torn keeps its entries until somebody
//! repairs it; when they are needed, neighbours among them are told as one wider range. So however many holders die, as many guards
//! as ever can be held, and the torn ranges can be locked and repaired.

use std::ops::Range;

use super::claims::Core;
use super::table::{Entry, Seen};
use crate::participant::{Fate, Host};

impl Core {
    /// How many ranges can be held at once.
    pub(super) fn most_guards(&self) -> usize {
        self.parts.layout.entries - 1
    }

    /// An entry for a claim of `range`, prepared; `None` if as many living holders as there may be have theirs. Under the gate.
    pub(super) fn vacancy(&self, range: &Range<usize>) -> Option<&Entry> {
        let table = &self.parts.table;
        if table.is_crowded() {
            self.make_room();
            if table.is_crowded() {
                return None;
            }
        }
        table.prepare(range)
    }

    /// Looks for holders that are gone; if that frees no entry, joins torn ones. Under the gate.
    ///
    /// A death in between leaves entries that are wider than need be, or overlap: both are safe.
    #[cold]
    fn make_room(&self) {
        let table = &self.parts.table;
        let host = self.attached.member.host();
        for (entry, seen) in table.occupied() {
            if seen.torn().is_none() && host.fate(seen.holder()) == Fate::Gone {
                self.bury(entry, seen);
            }
        }
        if table.is_full() {
            table.join_torn();
        }
    }

    /// Marks what a holder that is gone had claimed as torn, unless it only read. Behind the largest length there is no data:
    /// who dies there was growing the array, and leaves nothing to repair.
    pub(super) fn bury(&self, entry: &Entry, seen: Seen) {
        let host = self.attached.member.host();
        if entry.is_reading() || entry.range().start >= self.parts.layout.capacity {
            entry.free_dead(seen, host);
        } else {
            entry.tear(seen, host);
        }
    }
}
