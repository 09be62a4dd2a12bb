//! Figures out of many batches.

use serde::Serialize;

/// Nanoseconds an operation took (or bytes), over the batches of one contender.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The middle batch.
    pub median: f64,
    /// The fastest batch.
    pub min: f64,
    /// Distance between the quartiles as a share of the median: how much the batches disagree.
    pub noise: f64,
    /// Batches counted.
    pub batches: usize,
}

impl Summary {
    /// Sums up `samples`; `None` when there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, median) = (*sorted.first()?, quantile(&sorted, 0.5));
        let spread = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
        Some(Self { median, min, noise: spread / median, batches: sorted.len() })
    }
}

/// The value below which a share of a sorted, non-empty list lies, interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((summary.median, summary.min, summary.batches), (2.5, 1.0, 4));
    }

    #[test]
    fn noise_is_the_quartiles_distance_relative_to_the_median() {
        let summary = Summary::of(&[8.0, 9.0, 10.0, 11.0, 12.0]).unwrap();
        assert!((summary.noise - 0.2).abs() < 1e-12);
        assert_eq!(Summary::of(&[5.0]).unwrap().noise, 0.0);
    }

    #[test]
    fn nothing_measured_gives_nothing() {
        assert_eq!(Summary::of(&[]), None);
    }
}
