//! A small seeded generator, so that every random run can be repeated.

/// Seeded pseudo-random generator (SplitMix64): same seed, same numbers, on every machine.
///
/// ```
/// use procshare_harness::Rng;
/// let (mut a, mut b) = (Rng::new(7), Rng::new(7));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert!(a.below(10) < 10);
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts a generator at `seed`; every seed is good, zero included.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// Takes the seed from the environment variable `PROCSHARE_SEED`, else from the clock.
    ///
    /// Whoever uses it prints the seed on failure, so that the variable can repeat the run.
    pub fn seed_from_env() -> u64 {
        if let Some(seed) = std::env::var("PROCSHARE_SEED").ok().and_then(|s| s.trim().parse().ok()) {
            return seed;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |d| d.as_nanos() as u64)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `n` times on average; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }

    /// A generator of its own, derived from this one: for a child process or a thread.
    pub fn split(&mut self) -> Rng {
        Rng(self.next_u64())
    }

    /// `wanted` different numbers below `total`, ascending; all of them if `wanted >= total`.
    pub fn sample(&mut self, total: usize, wanted: usize) -> Vec<usize> {
        if wanted >= total {
            return (0..total).collect();
        }
        let mut chosen = std::collections::BTreeSet::new();
        // Floyd's method: each subset of that size is equally likely, one draw a member.
        for upper in total - wanted..total {
            let drawn = self.below(upper as u64 + 1) as usize;
            if !chosen.insert(drawn) {
                chosen.insert(upper);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn samples_are_distinct_sorted_and_complete() {
        let mut rng = Rng::new(3);
        for (total, wanted) in [(10, 3), (10, 10), (3, 9), (0, 4), (1000, 999)] {
            let picked = rng.sample(total, wanted);
            assert_eq!(picked.len(), wanted.min(total));
            assert!(picked.windows(2).all(|w| w[0] < w[1]));
            assert!(picked.iter().all(|&p| p < total));
        }
    }

    #[test]
    fn one_in_zero_is_never() {
        let mut rng = Rng::new(3);
        assert!((0..1000).all(|_| !rng.one_in(0)));
        assert!((0..1000).all(|_| rng.one_in(1)));
    }
}
