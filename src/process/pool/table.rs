//! Which task each worker runs, in shared memory: one word for each worker, on a line of its own.
//!
//! | bits | |
//! |---|---|
//! | 0 to 23 | index in the chunk, plus one; 0 while nothing runs |
//! | 24 to 63 | number of the chunk |

/// Nothing runs.
pub(super) const IDLE: u64 = 0;
/// The most tasks in a chunk.
pub(super) const MOST: usize = 1 << 23;

const INDEX_BITS: u32 = 24;
/// Words between two workers: 128 bytes, two lines, which are fetched together.
const STRIDE: usize = 16;

/// So many words are needed.
pub(super) fn len(workers: usize) -> usize {
    workers * STRIDE
}

/// Where a worker's word is.
pub(super) fn place(worker: u32) -> usize {
    worker as usize * STRIDE
}

/// The word of who runs task `index` of chunk `number`.
pub(super) fn word(number: u64, index: u32) -> u64 {
    number << INDEX_BITS | u64::from(index + 1)
}

/// Chunk and index, if something runs.
pub(super) fn running(word: u64) -> Option<(u64, u32)> {
    let index = (word & ((1 << INDEX_BITS) - 1)) as u32;
    index.checked_sub(1).map(|index| (word >> INDEX_BITS, index))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_tells_chunk_and_index() {
        assert_eq!(running(IDLE), None);
        for (number, index) in [(0, 0), (1, 0), ((1 << 40) - 1, MOST as u32)] {
            assert_eq!(running(word(number, index)), Some((number, index)));
        }
    }
}
