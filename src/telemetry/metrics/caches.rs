//! Metrics of caches.

use std::sync::LazyLock;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::group::{Label, metrics};

/// The metrics of caches.
pub(crate) static CACHES: LazyLock<CacheMetrics> = LazyLock::new(CacheMetrics::default);

metrics! {
    /// The metrics of caches.
    CacheMetrics {
        /// Entries of a cache, by cache.
        entries: Family<Label, Gauge> = "cache_entries";
        /// Look-ups that a cache could answer, by cache.
        hits: Family<Label, Counter> = "cache_hits";
        /// Look-ups that a cache could not answer, by cache.
        misses: Family<Label, Counter> = "cache_misses";
    }
}

/// The metrics of one cache, or of several that hold the same kind of answers.
#[derive(Debug, Clone)]
pub(crate) struct OneCache {
    /// Its entries.
    pub entries: Gauge,
    /// Look-ups with an answer.
    pub hits: Counter,
    /// Look-ups without one.
    pub misses: Counter,
}

impl CacheMetrics {
    /// The metrics of a cache, looked up once.
    pub(crate) fn of(&self, cache: &'static str) -> OneCache {
        let label = [("cache", cache)];
        OneCache {
            entries: self.entries.get_or_create(&label).clone(),
            hits: self.hits.get_or_create(&label).clone(),
            misses: self.misses.get_or_create(&label).clone(),
        }
    }
}
