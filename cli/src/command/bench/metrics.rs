//! The coordinator's own instruments, as `/metrics` shows them: what it counted, and what it timed.

use anyhow::{Context, Result};

use super::samples::Percentiles;

/// Everything that `/metrics` said.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape(Vec<Line>);

#[derive(Clone, Debug)]
struct Line {
    name: String,
    /// Upper bound of a bucket.
    le: Option<f64>,
    value: f64,
}

/// A histogram: how many samples are at most this large, per bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    buckets: Vec<(f64, f64)>,
    pub(super) count: f64,
    pub(super) sum: f64,
}

impl Scrape {
    /// Reads the instruments of the coordinator at `url`.
    pub(super) async fn read(url: &str) -> Result<Self> {
        let text = reqwest::get(format!("{url}/metrics")).await.and_then(reqwest::Response::error_for_status);
        let text = text.context("reading the coordinator's metrics")?.text().await?;
        Ok(Self(text.lines().filter_map(parse).collect()))
    }

    /// The value of a counter or gauge; 0 if it has none yet.
    pub(super) fn value(&self, name: &str) -> f64 {
        self.0.iter().filter(|line| line.name == name).map(|line| line.value).sum()
    }

    /// A histogram; empty if nothing was recorded yet.
    pub(super) fn histogram(&self, name: &str) -> Histogram {
        let bucket = format!("{name}_bucket");
        let of_bucket = |line: &&Line| line.name == bucket;
        let mut buckets: Vec<(f64, f64)> =
            self.0.iter().filter(of_bucket).filter_map(|line| Some((line.le?, line.value))).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (count, sum) = (self.value(&format!("{name}_count")), self.value(&format!("{name}_sum")));
        Histogram { buckets, count, sum }
    }
}

impl Histogram {
    /// What was recorded after `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before =
            |bound: f64| earlier.buckets.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, n)| *n);
        Self {
            buckets: self.buckets.iter().map(|(bound, n)| (*bound, n - before(*bound))).collect(),
            count: self.count - earlier.count,
            sum: self.sum - earlier.sum,
        }
    }

    /// The mean; 0 of nothing.
    pub(super) fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// Percentiles of durations in seconds, as milliseconds. They are bounds of buckets: no sample is above, and the
    /// truth is at most one bucket below.
    pub(super) fn percentiles_ms(&self) -> Option<Percentiles> {
        let at = |quantile: f64| {
            let rank = (quantile * self.count).ceil();
            let bucket = self.buckets.iter().find(|(_, n)| *n >= rank);
            // The last bucket has no bound; the one before is what is known.
            let highest = self
                .buckets
                .iter()
                .rev()
                .find(|(bound, _)| bound.is_finite())
                .map_or(0.0, |(bound, _)| *bound);
            bucket.map_or(highest, |(bound, _)| bound.min(highest)) * 1e3
        };
        (self.count > 0.0).then(|| Percentiles {
            count: self.count as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        })
    }
}

/// `name{label="...",le="0.5"} 3`
fn parse(line: &str) -> Option<Line> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let le = labels.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(bound, _)| bound);
    let le = le.and_then(|bound| if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() });
    Some(Line { name: name.to_owned(), le, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_gives_the_bounds_between_two_looks() {
        let lines = |counts: [f64; 3]| {
            let [a, b, c] = counts;
            let text = format!(
                "# TYPE wait_seconds histogram\nwait_seconds_bucket{{scope=\"x\",le=\"0.01\"}} {a}\n\
                 wait_seconds_bucket{{scope=\"x\",le=\"0.1\"}} {b}\nwait_seconds_bucket{{scope=\"x\",le=\"+Inf\"}} {c}\n\
                 wait_seconds_sum{{scope=\"x\"}} 2\nwait_seconds_count{{scope=\"x\"}} {c}\n"
            );
            Scrape(text.lines().filter_map(parse).collect()).histogram("wait_seconds")
        };
        let now = lines([60.0, 109.0, 110.0]);
        let since = now.since(&lines([10.0, 10.0, 10.0]));
        assert_eq!((since.count, since.sum), (100.0, 0.0));
        let percentiles = since.percentiles_ms().unwrap();
        assert_eq!((percentiles.p50, percentiles.p90, percentiles.max), (10.0, 100.0, 100.0));
        assert_eq!(Histogram::default().percentiles_ms(), None);
    }
}
