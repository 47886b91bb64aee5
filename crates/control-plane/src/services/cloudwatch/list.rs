//! ListMetrics.

use aws_shapes_cloudwatch as cloudwatch;
use aws_shapes_cloudwatch::{ListMetricsInput, ListMetricsOutput};
use telemetry_store::{MetricFilter, MetricKey};

use super::errors::{invalid_token, invalid_value};
use crate::gateway::{ApiError, Call};

/// Metrics on a page.
const PAGE: usize = 500;
/// A metric is listed for this long after its last sample. Source: the API reference.
const LISTED_SECONDS: i64 = 14 * metrics::DAY_SECONDS;

pub async fn list(call: Call, input: ListMetricsInput) -> Result<ListMetricsOutput, ApiError> {
    if input.include_linked_accounts == Some(true) || input.owning_account.is_some() {
        let own = input.owning_account.as_deref().is_none_or(|own| own == call.scope().account.as_str());
        if !own || input.include_linked_accounts == Some(true) {
            return Err(invalid_value("No other account is linked to this one."));
        }
    }
    let now = call.now().as_millis().div_euclid(1000);
    let listed = if input.recently_active.is_some() { 3 * 3600 } else { LISTED_SECONDS };
    let filter = MetricFilter {
        namespace: input.namespace,
        name: input.metric_name,
        dimensions: input
            .dimensions
            .unwrap_or_default()
            .into_iter()
            .map(|one| (one.name.unwrap_or_default(), one.value))
            .collect(),
        seen_since: Some(now - listed),
    };
    let tokens = &call.services.page_tokens;
    let after = match &input.next_token {
        Some(token) => Some(tokens.open("metrics", token).map_err(|_| invalid_token())?),
        None => None,
    };
    let after = after.map(|last| opened(&call, &last).ok_or_else(invalid_token)).transpose()?;
    let found = call.services.metrics.list(call.scope(), &filter, after.as_ref(), PAGE + 1);
    let next_token = match found.get(PAGE) {
        Some(_) => found.get(PAGE - 1).map(|last| tokens.seal("metrics", &sealed(last))),
        None => None,
    };
    let shown = found.iter().take(PAGE).map(shown).collect();
    Ok(ListMetricsOutput { metrics: Some(shown), next_token, owning_accounts: None })
}

/// A metric as requests name it.
pub fn shown(key: &MetricKey) -> cloudwatch::Metric {
    let dimension = |(name, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| cloudwatch::Dimension {
        name: Some(name.to_string()),
        value: Some(value.to_string()),
    };
    cloudwatch::Metric {
        namespace: Some(key.namespace.to_string()),
        metric_name: Some(key.name.to_string()),
        dimensions: Some(key.dimensions().iter().map(dimension).collect()),
    }
}

fn sealed(key: &MetricKey) -> String {
    let pairs: Vec<(&str, &str)> =
        key.dimensions().iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    serde_json::json!([key.namespace.as_ref(), key.name.as_ref(), pairs]).to_string()
}

fn opened(call: &Call, text: &str) -> Option<MetricKey> {
    let (namespace, name, pairs): (String, String, Vec<(String, String)>) =
        serde_json::from_str(text).ok()?;
    Some(MetricKey::new(call.scope().clone(), namespace, name, pairs))
}
