//! Maps whose keys are numbers that this program counted itself: nobody can choose them so that they collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from numbers of our own counting.
pub(crate) type Numbered<V> = HashMap<u64, V, BuildHasherDefault<Spread>>;

/// Spreads consecutive numbers over all bits by one multiplication.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio. The upper half has the bits of all below it, so it is folded onto the lower one, from
        // which the map takes the place.
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_numbers_go_to_different_places() {
        for mask in [0x7f, 0x3ff] {
            let places: std::collections::HashSet<u64> = (0..=mask)
                .map(|number| {
                    let mut spread = Spread::default();
                    spread.write_u64(number);
                    spread.finish() & mask
                })
                .collect();
            assert!(places.len() as u64 > mask / 2, "{} of {mask}", places.len());
        }
    }
}
