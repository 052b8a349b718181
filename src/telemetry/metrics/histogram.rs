//! Histograms of atomics: an observation takes no lock and allocates nothing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// The upper bounds of durations, in microseconds.
const DURATIONS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// The upper bounds of batch sizes.
const SIZES: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500];

/// A histogram of durations, exposed in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Seconds(Buckets);

/// A histogram of batch sizes.
#[derive(Debug, Clone)]
pub(crate) struct BatchSizes(Buckets);

#[derive(Debug, Clone)]
struct Buckets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static [u64],
    /// One more than `bounds`: the last count is of the observations above all bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Seconds {
    fn default() -> Self {
        Self(Buckets::new(DURATIONS))
    }
}

impl Default for BatchSizes {
    fn default() -> Self {
        Self(Buckets::new(SIZES))
    }
}

impl Seconds {
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl BatchSizes {
    pub(crate) fn observe(&self, size: usize) {
        self.0.observe(size as u64);
    }
}

impl Buckets {
    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, counts, sum: AtomicU64::new(0) }))
    }

    fn observe(&self, value: u64) {
        let Inner { bounds, counts, sum } = &*self.0;
        let place = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        counts[place].fetch_add(1, Relaxed);
        sum.fetch_add(value, Relaxed);
    }

    /// Writes bounds and sum divided by `unit`. The count is the sum of the buckets, so the two always agree.
    fn encode(&self, mut encoder: MetricEncoder<'_>, unit: f64) -> fmt::Result {
        let Inner { bounds, counts, sum } = &*self.0;
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum.load(Relaxed) as f64 / unit, count, &buckets, None)
    }
}

impl TypedMetric for Seconds {
    const TYPE: MetricType = MetricType::Histogram;
}

impl TypedMetric for BatchSizes {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Seconds {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder, 1e6)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl EncodeMetric for BatchSizes {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder, 1.0)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn each_observation_is_in_the_first_bucket_that_is_large_enough() {
        let (took, sizes) = (Seconds::default(), BatchSizes::default());
        for micros in [0, 500, 501, 2_000_000, 60_000_000] {
            took.observe(Duration::from_micros(micros));
        }
        sizes.observe(20);
        let mut registry = Registry::default();
        registry.register("took_seconds", "How long it took", took);
        registry.register("size", "How much it was", sizes);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a text");
        for line in [
            "took_seconds_bucket{le=\"0.0005\"} 2",
            "took_seconds_bucket{le=\"0.001\"} 3",
            "took_seconds_bucket{le=\"2.5\"} 4",
            "took_seconds_bucket{le=\"10.0\"} 4",
            "took_seconds_bucket{le=\"+Inf\"} 5",
            "took_seconds_count 5",
            "took_seconds_sum 62.001001",
            "size_bucket{le=\"10.0\"} 0",
            "size_bucket{le=\"20.0\"} 1",
            "size_sum 20.0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }
}
