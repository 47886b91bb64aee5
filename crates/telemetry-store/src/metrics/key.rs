//! The store's words for metrics.

use std::sync::Arc;

use metrics::Summary;
use vocabulary::Scope;

/// A metric: whose, and by what it is told from others. Neither texts nor dimensions hold control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricKey {
    pub scope: Scope,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    dimensions: Vec<(Arc<str>, Arc<str>)>,
}

impl MetricKey {
    /// The order of dimensions does not matter.
    pub fn new<T: Into<Arc<str>>>(
        scope: Scope,
        namespace: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
        dimensions: impl IntoIterator<Item = (T, T)>,
    ) -> MetricKey {
        let mut dimensions: Vec<(Arc<str>, Arc<str>)> =
            dimensions.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        dimensions.sort();
        MetricKey { scope, namespace: namespace.into(), name: name.into(), dimensions }
    }

    /// Names and values, by name.
    pub fn dimensions(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.dimensions
    }
}

/// Samples of one moment of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    pub key: MetricKey,
    /// As CloudWatch names it; `None` is a name as well.
    pub unit: Arc<str>,
    /// Seconds since 1970.
    pub at: i64,
    /// Whether it can be asked for by the second.
    pub high_resolution: bool,
    pub summary: Summary,
}

/// Which metrics are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricFilter {
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Dimensions that it has, with this value or any.
    pub dimensions: Vec<(String, Option<String>)>,
    /// Got samples at or after this time, in seconds.
    pub seen_since: Option<i64>,
}

impl MetricFilter {
    pub(super) fn fits(&self, key: &MetricKey, seen: i64) -> bool {
        let has = |(name, value): &(String, Option<String>)| {
            let mut there = key.dimensions.iter();
            there.any(|(of, is)| **of == **name && value.as_ref().is_none_or(|value| **is == **value))
        };
        self.namespace.as_deref().is_none_or(|namespace| *namespace == *key.namespace)
            && self.name.as_deref().is_none_or(|name| *name == *key.name)
            && self.seen_since.is_none_or(|since| seen >= since)
            && self.dimensions.iter().all(has)
    }
}
