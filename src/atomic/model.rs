//! loom's atomics with two additions: sequential consistency, and a step at which the calling thread may be killed.
//!
//! loom takes a SeqCst access for an AcqRel one, and so accuses every correct store-then-load protocol. Here a cell is ordered
//! once it was written with SeqCst, or by a thread that has passed a SeqCst fence since; then SeqCst loads, and all
//! loads of threads that have passed such a fence, see its newest value. Any other load may be stale, as in loom. That finds a
//! SeqCst forgotten on either side. It overlooks one that is forgotten at one writer of a cell while another writer of the
//! same cell has it, and whatever is covered up by seeing the newest value instead of one that is new enough.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::sync::atomic as imp;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub(crate) use imp::Ordering;

use Ordering::SeqCst;

#[cfg(test)]
use crate::model::step;

/// Outside tests nobody is killed.
#[cfg(not(test))]
fn step() {}

loom::thread_local! {
    /// The cells that the thread has written since its last SeqCst fence.
    static WRITTEN: RefCell<Vec<Arc<AtomicBool>>> = RefCell::default();
    /// Whether it has passed one.
    static FENCED: Cell<bool> = Cell::new(false);
}

pub(crate) fn fence(order: Ordering) {
    step();
    if order == SeqCst {
        // Relaxed: the threads of a model take turns.
        WRITTEN.with(|cells| cells.borrow_mut().drain(..).for_each(|cell| cell.store(true, Relaxed)));
        FENCED.with(|fenced| fenced.set(true));
    }
    imp::fence(order);
}

/// A cell was written.
fn written(ordered: &Arc<AtomicBool>, order: Ordering) {
    if order == SeqCst {
        ordered.store(true, Relaxed);
    } else {
        WRITTEN.with(|cells| cells.borrow_mut().push(Arc::clone(ordered)));
    }
}

/// Whether a load must see the newest value.
fn sees_newest(ordered: &AtomicBool, order: Ordering) -> bool {
    ordered.load(Relaxed) && (order == SeqCst || FENCED.with(Cell::get))
}

macro_rules! cells {
    ($($name:ident $bits:ident;)*) => {$(
        #[derive(Debug, Default)]
        pub struct $name {
            cell: imp::$name,
            /// See the module.
            ordered: Arc<AtomicBool>,
        }

        #[allow(dead_code, reason = "the same names as in core")]
        impl $name {
            pub(crate) fn new(bits: $bits) -> Self {
                $name { cell: imp::$name::new(bits), ordered: Arc::default() }
            }

            pub(crate) fn load(&self, order: Ordering) -> $bits {
                step();
                if sees_newest(&self.ordered, order) {
                    // A compare-exchange sees the newest value; this one changes nothing.
                    return match self.cell.compare_exchange($bits::MAX, $bits::MAX, order, order) {
                        Ok(bits) | Err(bits) => bits,
                    };
                }
                self.cell.load(order)
            }

            pub(crate) fn store(&self, bits: $bits, order: Ordering) {
                step();
                written(&self.ordered, order);
                self.cell.store(bits, order);
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $bits,
                new: $bits,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$bits, $bits> {
                step();
                let result = self.cell.compare_exchange(current, new, success, failure);
                if result.is_ok() {
                    written(&self.ordered, success);
                }
                result
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $bits,
                new: $bits,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$bits, $bits> {
                self.compare_exchange(current, new, success, failure)
            }
        }

        cells! { @changes $name $bits: swap fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min }
    )*};
    (@changes $name:ident $bits:ident: $($change:ident)*) => {
        #[allow(dead_code, reason = "the same names as in core")]
        impl $name {$(
            pub(crate) fn $change(&self, bits: $bits, order: Ordering) -> $bits {
                step();
                written(&self.ordered, order);
                self.cell.$change(bits, order)
            }
        )*}
    };
}

cells! { AtomicU8 u8; AtomicU16 u16; AtomicU32 u32; AtomicU64 u64; }
