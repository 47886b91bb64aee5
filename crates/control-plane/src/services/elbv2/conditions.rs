//! What a rule asks of a request, and how it rewrites it: from the API's shapes into records and back.

use std::net::IpAddr;

use aws_shapes_elbv2 as elbv2;
use regex::Regex;

use super::{
    errors::validation,
    records::{Condition, Patterns, Transform},
};
use crate::gateway::ApiError;

/// Values of all conditions of a rule together.
pub const MOST_VALUES: usize = 5;
/// Wildcards in all values of a rule together.
pub const MOST_WILDCARDS: usize = 6;
const MOST_CHARACTERS: usize = 128;
/// Of a header's name and of a method.
const MOST_NAME_CHARACTERS: usize = 40;
const FIELDS: &str = "path-pattern,host-header,http-header,query-string,http-request-method,source-ip";

/// The conditions of a request.
///
/// # Errors
/// `ValidationError`.
pub fn parse(given: Vec<elbv2::RuleCondition>) -> Result<Vec<Condition>, ApiError> {
    if given.is_empty() {
        return Err(validation("A condition must be specified"));
    }
    let conditions = given.into_iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    for (number, one) in conditions.iter().enumerate() {
        let again = |other: &Condition| std::mem::discriminant(one) == std::mem::discriminant(other);
        let several = matches!(one, Condition::Header { .. } | Condition::Query(_));
        if !several && conditions[..number].iter().any(again) {
            return Err(validation(format!("A rule can only have one '{}' condition", field(one))));
        }
    }
    let count: usize = conditions.iter().map(|condition| values(condition).len()).sum();
    if count > MOST_VALUES {
        return Err(validation(format!("A rule can only have '{MOST_VALUES}' condition values")));
    }
    let texts = conditions.iter().filter(|condition| !is_regex(condition)).flat_map(values);
    let wildcards: usize = texts.map(|text| text.matches(['*', '?']).count()).sum();
    if wildcards > MOST_WILDCARDS {
        return Err(validation(format!("A rule can only have '{MOST_WILDCARDS}' condition wildcards")));
    }
    Ok(conditions)
}

fn is_regex(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Path(Patterns::Regex(_))
            | Condition::Host(Patterns::Regex(_))
            | Condition::Header { patterns: Patterns::Regex(_), .. }
    )
}

/// Every value as text.
fn values(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Path(patterns) | Condition::Host(patterns) | Condition::Header { patterns, .. } => {
            let (Patterns::Wildcard(values) | Patterns::Regex(values)) = patterns;
            values.clone()
        }
        Condition::Query(pairs) => pairs
            .iter()
            .map(|(key, value)| format!("{}{value}", key.as_deref().unwrap_or_default()))
            .collect(),
        Condition::Method(values) | Condition::SourceIp(values) => values.clone(),
    }
}

fn field(condition: &Condition) -> &'static str {
    match condition {
        Condition::Path(_) => "path-pattern",
        Condition::Host(_) => "host-header",
        Condition::Header { .. } => "http-header",
        Condition::Query(_) => "query-string",
        Condition::Method(_) => "http-request-method",
        Condition::SourceIp(_) => "source-ip",
    }
}

fn condition(given: elbv2::RuleCondition) -> Result<Condition, ApiError> {
    let field = given.field.unwrap_or_default();
    let plain = given.values.unwrap_or_default();
    let plain_regex = given.regex_values.unwrap_or_default();
    match field.as_str() {
        "path-pattern" => {
            let (values, regex) = given
                .path_pattern_config
                .map(|config| (config.values, config.regex_values))
                .unwrap_or_default();
            let patterns = patterns(&field, (plain, values), (plain_regex, regex), |value| {
                value.chars().all(|one| one.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(one))
            })?;
            Ok(Condition::Path(patterns))
        }
        "host-header" => {
            let (values, regex) = given
                .host_header_config
                .map(|config| (config.values, config.regex_values))
                .unwrap_or_default();
            let patterns = patterns(&field, (plain, values), (plain_regex, regex), |value| {
                value.chars().all(|one| one.is_ascii_alphanumeric() || "-.:*?".contains(one))
            })?;
            Ok(Condition::Host(patterns))
        }
        "http-header" => {
            let config = given.http_header_config.ok_or_else(|| without("HttpHeaderConfig", &field))?;
            let name = config.http_header_name.unwrap_or_default();
            let token = |one: char| one.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(one);
            if name.len() > MOST_NAME_CHARACTERS {
                return Err(too_long("HttpHeaderName", MOST_NAME_CHARACTERS));
            }
            if name.is_empty() || !name.chars().all(token) || name.contains('*') {
                return Err(validation(format!("The HTTP header name '{name}' is not valid")));
            }
            if name.eq_ignore_ascii_case("host") {
                return Err(validation(
                    "The HTTP header name 'Host' is not valid: use a 'host-header' condition",
                ));
            }
            let printable = |value: &str| value.chars().all(|one| (' '..='~').contains(&one));
            let patterns =
                patterns(&field, (plain, config.values), (plain_regex, config.regex_values), printable)?;
            Ok(Condition::Header { name, patterns })
        }
        "query-string" => {
            let config = given.query_string_config.ok_or_else(|| without("QueryStringConfig", &field))?;
            let given = config.values.unwrap_or_default();
            let mut pairs: Vec<(Option<String>, String)> = Vec::new();
            for pair in given {
                let value = pair
                    .value
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| validation("A 'Value' must be specified in 'QueryStringKeyValuePair'"))?;
                pairs.push((pair.key, value));
            }
            some(&field, pairs.len())?;
            for (key, value) in &pairs {
                short("Key", key.as_deref().unwrap_or_default())?;
                short("Value", value)?;
            }
            Ok(Condition::Query(pairs))
        }
        "http-request-method" => {
            let config = given.http_request_method_config;
            if config.is_none() && plain.is_empty() {
                return Err(without("HttpRequestMethodConfig", &field));
            }
            let values = either(&field, plain, config.and_then(|config| config.values))?;
            let letters = |one: char| one.is_ascii_uppercase() || "-_".contains(one);
            for value in &values {
                if value.len() > MOST_NAME_CHARACTERS {
                    return Err(too_long(&field, MOST_NAME_CHARACTERS));
                }
                if value.is_empty() || !value.chars().all(letters) {
                    return Err(validation(format!(
                        "The '{field}' value is invalid; the allowed characters are A-Z, hyphen and underscore"
                    )));
                }
            }
            Ok(Condition::Method(values))
        }
        "source-ip" => {
            if given.source_ip_config.is_none() && plain.is_empty() {
                return Err(without("SourceIpConfig", &field));
            }
            let values = either(&field, plain, given.source_ip_config.and_then(|config| config.values))?;
            let valid = |value: &String| value.parse::<routing::config::AddressRange>().is_ok();
            if let Some(value) = values.iter().find(|value| !valid(value)) {
                return Err(validation(format!("The condition value '{value}' is not a valid CIDR block")));
            }
            Ok(Condition::SourceIp(values))
        }
        other => Err(validation(format!("Condition field '{other}' must be one of '[{FIELDS}]'"))),
    }
}

/// The values that stand in the condition itself or in its configuration, not in both.
fn either(field: &str, plain: Vec<String>, config: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let config = config.unwrap_or_default();
    // What a description shows is in both; it can be given back as it is.
    if !plain.is_empty() && !config.is_empty() && plain != config {
        return Err(validation(format!(
            "You cannot specify both 'Values' and a configuration for '{field}'"
        )));
    }
    let values = if plain.is_empty() { config } else { plain };
    some(field, values.len()).map(|()| values)
}

fn some(field: &str, count: usize) -> Result<(), ApiError> {
    if count == 0 {
        let text = match field {
            "host-header" | "path-pattern" => "A condition value must be specified".to_owned(),
            _ => format!("A '{field}' value must be specified"),
        };
        return Err(validation(text));
    }
    Ok(())
}

fn without(config: &str, field: &str) -> ApiError {
    validation(format!("A '{config}' must be specified with '{field}'"))
}

fn too_long(what: &str, most: usize) -> ApiError {
    validation(format!("The '{what}' value is too long; the limit is '{most}'"))
}

fn short(field: &str, value: &str) -> Result<(), ApiError> {
    if value.chars().count() > MOST_CHARACTERS {
        return Err(too_long(field, MOST_CHARACTERS));
    }
    Ok(())
}

fn patterns(
    field: &str,
    wildcards: (Vec<String>, Option<Vec<String>>),
    regexes: (Vec<String>, Option<Vec<String>>),
    allowed: impl Fn(&str) -> bool,
) -> Result<Patterns, ApiError> {
    let has = |(plain, config): &(Vec<String>, Option<Vec<String>>)| {
        !plain.is_empty() || config.as_ref().is_some_and(|values| !values.is_empty())
    };
    if has(&regexes) {
        if has(&wildcards) {
            return Err(validation(format!(
                "A '{field}' condition has either values or regular expressions"
            )));
        }
        let values = either(field, regexes.0, regexes.1)?;
        for value in &values {
            short(field, value)?;
            check_regex(value)?;
        }
        return Ok(Patterns::Regex(values));
    }
    let values = either(field, wildcards.0, wildcards.1)?;
    for value in &values {
        short(field, value)?;
        if value.is_empty() || !allowed(value) {
            return Err(validation(format!(
                "The condition value '{value}' of '{field}' contains a character that is not valid"
            )));
        }
    }
    Ok(Patterns::Wildcard(values))
}

fn check_regex(text: &str) -> Result<(), ApiError> {
    Regex::new(text)
        .map(drop)
        .map_err(|_| validation(format!("The regular expression '{text}' is not valid")))
}

/// As the API shows conditions.
pub fn shapes(conditions: &[Condition]) -> Vec<elbv2::RuleCondition> {
    conditions.iter().map(shape).collect()
}

fn shape(condition: &Condition) -> elbv2::RuleCondition {
    let mut shown =
        elbv2::RuleCondition { field: Some(field(condition).to_owned()), ..elbv2::RuleCondition::default() };
    let split = |patterns: &Patterns| match patterns {
        Patterns::Wildcard(values) => (Some(values.clone()), None),
        Patterns::Regex(values) => (None, Some(values.clone())),
    };
    match condition {
        Condition::Path(patterns) => {
            let (values, regex_values) = split(patterns);
            shown.values = values.clone();
            shown.path_pattern_config = Some(elbv2::PathPatternConditionConfig { values, regex_values });
        }
        Condition::Host(patterns) => {
            let (values, regex_values) = split(patterns);
            shown.values = values.clone();
            shown.host_header_config = Some(elbv2::HostHeaderConditionConfig { values, regex_values });
        }
        Condition::Header { name, patterns } => {
            let (values, regex_values) = split(patterns);
            let http_header_name = Some(name.clone());
            shown.http_header_config =
                Some(elbv2::HttpHeaderConditionConfig { http_header_name, values, regex_values });
        }
        Condition::Query(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| elbv2::QueryStringKeyValuePair {
                key: key.clone(),
                value: Some(value.clone()),
            });
            shown.query_string_config =
                Some(elbv2::QueryStringConditionConfig { values: Some(pairs.collect()) });
        }
        Condition::Method(values) => {
            let values = Some(values.clone());
            shown.http_request_method_config = Some(elbv2::HttpRequestMethodConditionConfig { values });
        }
        Condition::SourceIp(values) => {
            // Shown where it can be told: a block of one family.
            let first = values.first().and_then(|value| value.split('/').next()?.parse::<IpAddr>().ok());
            let family = first.map(|address| match address {
                IpAddr::V4(_) => elbv2::SourceIpAddressTypeEnum::Ipv4,
                IpAddr::V6(_) => elbv2::SourceIpAddressTypeEnum::Ipv6,
            });
            let values = Some(values.clone());
            shown.source_ip_config = Some(elbv2::SourceIpConditionConfig {
                ip_address_type: family.filter(|family| *family == elbv2::SourceIpAddressTypeEnum::Ipv6),
                values,
            });
        }
    }
    shown
}

/// The transforms of a request: at most one of each type, each with one rewrite.
///
/// # Errors
/// `ValidationError`.
pub fn parse_transforms(given: Vec<elbv2::RuleTransform>) -> Result<Vec<Transform>, ApiError> {
    let mut transforms = Vec::new();
    for one in given {
        let (rewrites, host) = match one.r#type {
            Some(elbv2::TransformTypeEnum::HostHeaderRewrite) => {
                (one.host_header_rewrite_config.and_then(|config| config.rewrites), true)
            }
            Some(elbv2::TransformTypeEnum::UrlRewrite) => {
                (one.url_rewrite_config.and_then(|config| config.rewrites), false)
            }
            None => return Err(validation("A transform type must be specified")),
        };
        let Ok([rewrite]) = <[elbv2::RewriteConfig; 1]>::try_from(rewrites.unwrap_or_default()) else {
            return Err(validation("A transform must have exactly one rewrite"));
        };
        let (regex, replace) = (rewrite.regex.unwrap_or_default(), rewrite.replace.unwrap_or_default());
        if regex.is_empty() || regex.chars().count() > 1024 || replace.chars().count() > 1024 {
            return Err(validation(
                "The expression and the replacement of a rewrite have 1024 characters at most",
            ));
        }
        check_regex(&regex)?;
        let transform =
            if host { Transform::Host { regex, replace } } else { Transform::Url { regex, replace } };
        let again = |other: &Transform| std::mem::discriminant(other) == std::mem::discriminant(&transform);
        if transforms.iter().any(again) {
            return Err(validation("A rule can only have one transform of each type"));
        }
        transforms.push(transform);
    }
    Ok(transforms)
}

/// As the API shows transforms.
pub fn transform_shapes(transforms: &[Transform]) -> Vec<elbv2::RuleTransform> {
    let rewrites = |regex: &String, replace: &String| {
        Some(vec![elbv2::RewriteConfig { regex: Some(regex.clone()), replace: Some(replace.clone()) }])
    };
    let shape = |transform: &Transform| match transform {
        Transform::Host { regex, replace } => elbv2::RuleTransform {
            r#type: Some(elbv2::TransformTypeEnum::HostHeaderRewrite),
            host_header_rewrite_config: Some(elbv2::HostHeaderRewriteConfig {
                rewrites: rewrites(regex, replace),
            }),
            ..elbv2::RuleTransform::default()
        },
        Transform::Url { regex, replace } => elbv2::RuleTransform {
            r#type: Some(elbv2::TransformTypeEnum::UrlRewrite),
            url_rewrite_config: Some(elbv2::UrlRewriteConfig { rewrites: rewrites(regex, replace) }),
            ..elbv2::RuleTransform::default()
        },
    };
    transforms.iter().map(shape).collect()
}
