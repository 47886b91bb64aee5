//! Policies of advanced parameters: when one ends, and of what is to be told. Source: "Assigning parameter policies" of the Systems
//! Manager guide.
//!
//! Expiration deletes the parameter. AWS tells of the others through EventBridge, which is not here: the log says what became due.

use std::time::Duration;

use aws_shapes_ssm::{ParameterInlinePolicy, errors};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::Timestamp;

use super::errors::invalid;
use crate::gateway::ApiError;

/// One policy, as it was written and as it is understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// JSON.
    pub text: String,
    pub rule: Rule,
    /// Whether it has done what it says.
    pub finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Rule {
    /// The parameter is deleted then.
    Expiration { at: Timestamp },
    /// So long before it is.
    ExpirationNotification { before: Duration },
    /// When nobody has changed it for so long.
    NoChangeNotification { after: Duration },
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Rule::Expiration { .. } => "Expiration",
            Rule::ExpirationNotification { .. } => "ExpirationNotification",
            Rule::NoChangeNotification { .. } => "NoChangeNotification",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    r#type: String,
    version: String,
    attributes: serde_json::Map<String, serde_json::Value>,
}

/// The most that a parameter may have.
const MOST: usize = 10;

/// The policies of a request: a JSON array; none takes all away.
///
/// # Errors
/// `InvalidPolicyTypeException`, `InvalidPolicyAttributeException`, `IncompatiblePolicyException`, `PoliciesLimitExceededException`.
pub fn parse(text: &str, now: Timestamp) -> Result<Vec<Policy>, ApiError> {
    let attribute = |message: String| ApiError::new(&errors::INVALID_POLICY_ATTRIBUTE_EXCEPTION, message);
    let items: Vec<serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| attribute(format!("The policies are not a JSON array: {error}.")))?;
    if items.len() > MOST {
        let message = format!("You specified more than the maximum number of allowed policies: {MOST}.");
        return Err(ApiError::new(&errors::POLICIES_LIMIT_EXCEEDED_EXCEPTION, message));
    }
    let policies = items.into_iter().map(|item| one(item, now)).collect::<Result<Vec<_>, _>>()?;
    check_together(&policies)?;
    Ok(policies)
}

fn one(item: serde_json::Value, now: Timestamp) -> Result<Policy, ApiError> {
    let attribute = |message: String| ApiError::new(&errors::INVALID_POLICY_ATTRIBUTE_EXCEPTION, message);
    let text = item.to_string();
    let written: Written = serde_json::from_value(item)
        .map_err(|error| attribute(format!("A policy has a Type, a Version and Attributes: {error}.")))?;
    if written.version != "1.0" {
        return Err(attribute(format!("The policy version {} is not supported.", written.version)));
    }
    let given = |name: &str| {
        let value = written.attributes.get(name).and_then(|value| value.as_str());
        value.ok_or_else(|| attribute(format!("A {} policy needs the attribute {name}.", written.r#type)))
    };
    let only = |names: &[&str]| match written.attributes.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(attribute(format!("A {} policy has no attribute {key}.", written.r#type))),
    };
    let span = |name: &str| {
        let number: u64 = given(name)?
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| attribute(format!("The attribute {name} is a positive number.")))?;
        match given("Unit")? {
            "Days" => Ok(Duration::from_secs(number.saturating_mul(24 * 60 * 60))),
            "Hours" => Ok(Duration::from_secs(number.saturating_mul(60 * 60))),
            other => Err(attribute(format!("The unit {other} is not Days or Hours."))),
        }
    };
    let rule = match written.r#type.as_str() {
        "Expiration" => {
            only(&["Timestamp"])?;
            let time = OffsetDateTime::parse(given("Timestamp")?, &Rfc3339).map_err(|_| {
                attribute("The attribute Timestamp is a time such as 2030-12-02T21:34:33.000Z.".to_owned())
            })?;
            let at = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
            let at = Timestamp::from_millis(at);
            if at <= now {
                return Err(attribute("The expiration lies in the past.".to_owned()));
            }
            Rule::Expiration { at }
        }
        "ExpirationNotification" => {
            only(&["Before", "Unit"])?;
            Rule::ExpirationNotification { before: span("Before")? }
        }
        "NoChangeNotification" => {
            only(&["After", "Unit"])?;
            Rule::NoChangeNotification { after: span("After")? }
        }
        other => {
            return Err(ApiError::new(
                &errors::INVALID_POLICY_TYPE_EXCEPTION,
                format!(
                    "The policy type {other} is not supported. Parameter Store supports the following policy types: Expiration, ExpirationNotification, and NoChangeNotification."
                ),
            ));
        }
    };
    Ok(Policy { text, rule, finished: false })
}

fn check_together(policies: &[Policy]) -> Result<(), ApiError> {
    let number = |name: &str| policies.iter().filter(|policy| policy.rule.name() == name).count();
    let refused = |message: &str| Err(ApiError::new(&errors::INCOMPATIBLE_POLICY_EXCEPTION, message));
    if number("Expiration") > 1 {
        return refused(
            "There is a conflict in the policies specified for this parameter. You can't specify two Expiration policies for a parameter.",
        );
    }
    if number("Expiration") == 0 && number("ExpirationNotification") > 0 {
        return refused(
            "There is a conflict in the policies specified for this parameter. An ExpirationNotification policy needs an Expiration policy.",
        );
    }
    Ok(())
}

/// When the parameter ends.
pub fn expires_at(policies: &[Policy]) -> Option<Timestamp> {
    policies.iter().find_map(|policy| match policy.rule {
        Rule::Expiration { at } => Some(at),
        _ => None,
    })
}

/// The policies that have something to tell now: their places.
pub fn due(policies: &[Policy], modified_at: Timestamp, now: Timestamp) -> Vec<usize> {
    let ends = expires_at(policies);
    let is_due = |policy: &Policy| match policy.rule {
        Rule::Expiration { .. } => false,
        Rule::ExpirationNotification { before } => ends.is_some_and(|at| at.since(now) <= before),
        Rule::NoChangeNotification { after } => now.since(modified_at) >= after,
    };
    let each = policies.iter().enumerate().filter(|(_, policy)| !policy.finished && is_due(policy));
    each.map(|(place, _)| place).collect()
}

/// For descriptions.
pub fn shown(policies: &[Policy]) -> Vec<ParameterInlinePolicy> {
    let each = policies.iter().map(|policy| ParameterInlinePolicy {
        policy_text: Some(policy.text.clone()),
        policy_type: Some(policy.rule.name().to_owned()),
        policy_status: Some(if policy.finished { "Finished" } else { "Pending" }.to_owned()),
    });
    each.collect()
}

/// Those of an older version, for a new one: what had been told of is told again when the value stays unchanged anew.
pub fn carried_over(policies: &[Policy]) -> Vec<Policy> {
    let renewed = |policy: &Policy| Policy {
        finished: policy.finished && !matches!(policy.rule, Rule::NoChangeNotification { .. }),
        ..policy.clone()
    };
    policies.iter().map(renewed).collect()
}

/// # Errors
/// `ValidationException` for policies of a parameter that is not advanced.
pub fn need_advanced(policies: &[Policy], is_advanced: bool) -> Result<(), ApiError> {
    if policies.is_empty() || is_advanced {
        return Ok(());
    }
    Err(invalid(
        "Parameter policies are only supported for parameters that use the advanced-parameter tier. To use parameter policies, specify the Advanced tier.",
    ))
}
