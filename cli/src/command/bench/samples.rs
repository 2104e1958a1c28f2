//! Many durations, told in a few.

use std::time::Duration;

use serde::Serialize;

/// Percentiles of some durations, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of these. `None` of none.
    pub(super) fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        let last = samples.last()?;
        let at = |quantile: f64| {
            // The smallest sample that at least this share does not exceed.
            let rank = (quantile * samples.len() as f64).ceil() as usize;
            ms(samples[rank.clamp(1, samples.len()) - 1])
        };
        let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
        Some(Self { count: samples.len() as u64, p50, p90, p99, max: ms(*last) })
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// The slope of the line through the logarithms of the points: the power of x with which y grows. 0 is flat, 1 is in
/// proportion. Absent for fewer than two sizes.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) =
        (logs.iter().map(|(x, _)| x).sum::<f64>() / count, logs.iter().map(|(_, y)| y).sum::<f64>() / count);
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (logs.len() > 1 && spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_that_was_measured() {
        let hundred: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let Percentiles { count, p50, p90, p99, max } = Percentiles::of(hundred).unwrap();
        assert_eq!((count, p50, p90, p99, max), (100, 50.0, 90.0, 99.0, 100.0));
        let one = Percentiles::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn a_flat_cost_has_slope_zero_and_a_linear_one_slope_one() {
        let of = |cost: fn(f64) -> f64| slope(&[1e4, 1e5, 1e6].map(|size| (size, cost(size)))).unwrap();
        assert!(of(|_| 3.0).abs() < 1e-9);
        assert!((of(|size| 2.0 * size) - 1.0).abs() < 1e-9);
        assert_eq!(slope(&[(1e4, 3.0)]), None);
    }
}
