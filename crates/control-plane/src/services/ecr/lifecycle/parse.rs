//! A policy's text, checked rule by rule with the texts of AWS's own validation.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{InvalidPolicy, Limit, Policy, Rule, Selection};

/// Rules in one policy, ECR's own limit.
const MOST_RULES: usize = 50;

/// Wildcards in one tag pattern, ECR's own limit.
const MOST_WILDCARDS: usize = 4;

type Parsed<T> = Result<T, InvalidPolicy>;

fn refuse<T>(text: impl Into<String>) -> Parsed<T> {
    Err(InvalidPolicy(text.into()))
}

impl Policy {
    /// Reads and checks a policy.
    pub fn parse(text: &str) -> Parsed<Self> {
        let Ok(Value::Object(document)) = serde_json::from_str::<Value>(text) else {
            return refuse("Could not map policyString into LifecyclePolicy.");
        };
        let Some(rules) = document.get("rules").and_then(Value::as_array) else {
            return refuse(missing("rules"));
        };
        if rules.is_empty() || rules.len() > MOST_RULES {
            return refuse(format!(
                "a policy has between 1 and {MOST_RULES} rules, this one has {}",
                rules.len()
            ));
        }
        let mut rules = rules.iter().map(rule).collect::<Parsed<Vec<_>>>()?;
        rules.sort_by_key(|rule| rule.priority);
        check_together(&rules)?;
        Ok(Self { rules })
    }
}

fn rule(value: &Value) -> Parsed<Rule> {
    let rule = object(value)?;
    known(rule, &["rulePriority", "description", "selection", "action"])?;
    let priority = required(rule, "rulePriority")?;
    let selected = object(required(rule, "selection")?)?;
    let action = object(required(rule, "action")?)?;
    check_action(action)?;
    Ok(Rule { priority: positive(priority)?, selection: selection(selected)?, limit: limit(selected)? })
}

fn check_action(action: &Map<String, Value>) -> Parsed<()> {
    known(action, &["type", "targetStorageClass"])?;
    match text(required(action, "type")?)? {
        "expire" => Ok(()),
        "transition" => refuse("Longshore has no archive storage to move images to"),
        other => refuse(outside(other, &["expire"])),
    }
}

fn selection(selected: &Map<String, Value>) -> Parsed<Selection> {
    const MEMBERS: [&str; 7] = [
        "tagStatus",
        "tagPrefixList",
        "tagPatternList",
        "countType",
        "countUnit",
        "countNumber",
        "storageClass",
    ];
    known(selected, &MEMBERS)?;
    let status = text(required(selected, "tagStatus")?)?;
    let prefixes = texts(selected, "tagPrefixList")?;
    let patterns = texts(selected, "tagPatternList")?;
    if selected.get("storageClass").is_some_and(|class| class != "standard") {
        return refuse("Longshore has no archive storage");
    }
    match (status, prefixes, patterns) {
        // Lists of tags mean nothing here and are passed over.
        ("any", ..) => Ok(Selection::Any),
        ("untagged", ..) => Ok(Selection::Untagged),
        ("tagged", Some(prefixes), None) => Ok(Selection::Prefixes(prefixes)),
        ("tagged", None, Some(patterns)) => {
            match patterns.iter().find(|pattern| pattern.matches('*').count() > MOST_WILDCARDS) {
                Some(pattern) => {
                    refuse(format!("the tag pattern '{pattern}' has more than {MOST_WILDCARDS} wildcards"))
                }
                None => Ok(Selection::Patterns(patterns)),
            }
        }
        ("tagged", Some(_), Some(_)) => refuse("tagPrefixList and tagPatternList cannot be used together"),
        ("tagged", None, None) => refuse("tagPrefixList or tagPatternList is required for tagStatus tagged"),
        (other, ..) => refuse(outside(other, &["any", "tagged", "untagged"])),
    }
}

fn limit(selected: &Map<String, Value>) -> Parsed<Limit> {
    let kind = text(required(selected, "countType")?)?;
    let number = positive(required(selected, "countNumber")?)?;
    let unit = selected.get("countUnit").map(text).transpose()?;
    match (kind, unit) {
        // A unit means nothing to a count and is passed over.
        ("imageCountMoreThan", None | Some("days")) => Ok(Limit::CountMoreThan(number as usize)),
        ("sinceImagePushed", Some("days")) => Ok(Limit::DaysSincePushed(number)),
        ("sinceImagePulled", Some("days")) => Ok(Limit::DaysSincePulled(number)),
        ("sinceImagePushed" | "sinceImagePulled", Some(other)) => refuse(outside(other, &["days"])),
        ("sinceImageTransitioned", _) => refuse("Longshore has no archive storage"),
        _ => refuse("instance failed to match exactly one schema (matched 0 out of 2)"),
    }
}

/// What holds between rules: priorities are distinct, selections do not repeat, the rule on all images comes last.
fn check_together(rules: &[Rule]) -> Parsed<()> {
    let priorities = rules.iter().map(|rule| rule.priority).collect::<BTreeSet<_>>();
    if priorities.len() < rules.len() {
        return refuse("Rule priorities must be unique");
    }
    let count = |wanted: &Selection| rules.iter().filter(|rule| rule.selection == *wanted).count();
    if count(&Selection::Untagged) > 1 || count(&Selection::Any) > 1 {
        return refuse("Only one rule may select untagged images, and only one all images");
    }
    let all = rules.iter().position(|rule| rule.selection == Selection::Any);
    if all.is_some_and(|place| place + 1 < rules.len()) {
        return refuse("A rule with tagStatus any must have the highest rulePriority");
    }
    Ok(())
}

fn object(value: &Value) -> Parsed<&Map<String, Value>> {
    match value {
        Value::Object(members) => Ok(members),
        other => refuse(format!(
            "instance type ({}) does not match any allowed primitive type (allowed: [\"object\"])",
            type_of(other)
        )),
    }
}

fn text(value: &Value) -> Parsed<&str> {
    match value {
        Value::String(text) => Ok(text),
        other => refuse(format!(
            "instance type ({}) does not match any allowed primitive type (allowed: [\"string\"])",
            type_of(other)
        )),
    }
}

fn texts(members: &Map<String, Value>, name: &str) -> Parsed<Option<Vec<String>>> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(Value::Array(list)) => {
            list.iter().map(|value| text(value).map(str::to_owned)).collect::<Parsed<Vec<_>>>().map(Some)
        }
        Some(other) => refuse(format!(
            "instance type ({}) does not match any allowed primitive type (allowed: [\"array\"])",
            type_of(other)
        )),
    }
}

fn positive(value: &Value) -> Parsed<u32> {
    let Some(number) = value.as_i64() else {
        return refuse(format!(
            "instance type ({}) does not match any allowed primitive type (allowed: [\"integer\"])",
            type_of(value)
        ));
    };
    match u32::try_from(number) {
        Ok(number) if number >= 1 => Ok(number),
        _ if number < 1 => refuse(format!(
            "numeric instance is lower than the required minimum (minimum: 1, found: {number})"
        )),
        _ => refuse(format!("numeric instance is greater than the required maximum (found: {number})")),
    }
}

fn required<'a>(members: &'a Map<String, Value>, name: &str) -> Parsed<&'a Value> {
    members.get(name).map_or_else(|| refuse(missing(name)), Ok)
}

fn known(members: &Map<String, Value>, names: &[&str]) -> Parsed<()> {
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => refuse(format!(
            "object instance has properties which are not allowed by the schema: ([\"{name}\"])"
        )),
        None => Ok(()),
    }
}

fn missing(name: &str) -> String {
    format!("object has missing required properties ([\"{name}\"])")
}

fn outside(value: &str, possible: &[&str]) -> String {
    let possible = possible.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ");
    format!("instance value ({value}) not found in enum :(possible values: [{possible}])")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
