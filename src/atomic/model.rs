//! loom's atomics with two additions: sequential consistency, and a step at which the calling thread may be killed.
//!
//! loom takes a SeqCst access for an AcqRel one, and so accuses every correct store-then-load protocol. Here a cell that was
//! ever written with SeqCst answers SeqCst loads with its newest value; any other load, and a SeqCst load of a cell whose
//! writers forgot theirs, may be stale as in loom. That finds a SeqCst forgotten on either side; it overlooks one that is
//! forgotten at one writer of a cell while another writer of the same cell has it.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::sync::atomic as imp;

pub(crate) use imp::{Ordering, fence};

use Ordering::SeqCst;

#[cfg(test)]
use crate::model::step;

/// Outside tests nobody is killed.
#[cfg(not(test))]
fn step() {}

macro_rules! cells {
    ($($name:ident $bits:ident;)*) => {$(
        #[derive(Debug, Default)]
        pub struct $name {
            cell: imp::$name,
            /// Whether it was ever written with SeqCst.
            ordered: AtomicBool,
        }

        #[allow(dead_code, reason = "the same names as in core")]
        impl $name {
            pub(crate) fn new(bits: $bits) -> Self {
                $name { cell: imp::$name::new(bits), ordered: AtomicBool::new(false) }
            }

            fn written(&self, order: Ordering) {
                // Relaxed: the threads of a model take turns.
                if order == SeqCst {
                    self.ordered.store(true, Relaxed);
                }
            }

            pub(crate) fn load(&self, order: Ordering) -> $bits {
                step();
                if order == SeqCst && self.ordered.load(Relaxed) {
                    // A compare-exchange sees the newest value; this one changes nothing.
                    return match self.cell.compare_exchange($bits::MAX, $bits::MAX, SeqCst, SeqCst) {
                        Ok(bits) | Err(bits) => bits,
                    };
                }
                self.cell.load(order)
            }

            pub(crate) fn store(&self, bits: $bits, order: Ordering) {
                step();
                self.written(order);
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
                    self.written(success);
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
                self.written(order);
                self.cell.$change(bits, order)
            }
        )*}
    };
}

cells! { AtomicU8 u8; AtomicU16 u16; AtomicU32 u32; AtomicU64 u64; }
