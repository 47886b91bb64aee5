//! Rules of listeners: what is done with requests that meet conditions, in the order of their priorities.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateRuleInput, CreateRuleOutput, DeleteRuleInput, DeleteRuleOutput, DescribeRulesInput,
    DescribeRulesOutput, ModifyRuleInput, ModifyRuleOutput, SetRulePrioritiesInput, SetRulePrioritiesOutput,
    errors,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    actions, arns, conditions,
    errors::{listener_not_found, not_permitted, rule_not_found, validation},
    forwarding, listeners, names, page,
    records::{Listener, LoadBalancer, Rule},
    tags,
};
use crate::gateway::{ApiError, Call};

/// Rules of a listener beside the default one.
pub const MOST_RULES: usize = 100;

fn priority_in_use(priority: u32) -> ApiError {
    ApiError::new(&errors::PRIORITY_IN_USE_EXCEPTION, format!("Priority '{priority}' is currently in use"))
}

/// The listener of a rule, and the rule's priority; none for the default rule.
fn find(
    listener: Option<Arc<Listener>>,
    arn: &str,
    id: &str,
) -> Result<(Arc<Listener>, Option<u32>), ApiError> {
    let listener = listener.ok_or_else(|| rule_not_found(arn))?;
    if listener.default_rule_id == id {
        return Ok((listener, None));
    }
    let found = listener.rules.iter().find(|(_, rule)| rule.id == id).map(|(priority, _)| *priority);
    found.map(|priority| (listener, Some(priority))).ok_or_else(|| rule_not_found(arn))
}

fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<(Arc<Listener>, Option<u32>), ApiError> {
    names::check_arn(arn, "listener-rule")?;
    let (key, id) = arns::rule_key(scope, arn).ok_or_else(|| rule_not_found(arn))?;
    find(tx.get::<Listener>(scope, key), arn, id)
}

fn see(view: &View, scope: &Scope, arn: &str) -> Result<(Arc<Listener>, Option<u32>), ApiError> {
    names::check_arn(arn, "listener-rule")?;
    let (key, id) = arns::rule_key(scope, arn).ok_or_else(|| rule_not_found(arn))?;
    find(view.get::<Listener>(scope, key), arn, id)
}

/// Writes a listener whose rules have changed, if it may have them.
fn put(tx: &mut Tx, scope: &Scope, listener: Listener) -> Result<(), ApiError> {
    let balancer = tx.get::<LoadBalancer>(scope, &listener.load_balancer);
    let balancer = balancer.ok_or_else(|| listener_not_found(&listener.arn(scope)))?;
    forwarding::check(tx, scope, &balancer, &listener)?;
    tx.put(scope, &listener.key(), listener);
    Ok(())
}

pub async fn create(call: Call, input: CreateRuleInput) -> Result<CreateRuleOutput, ApiError> {
    let scope = call.scope();
    let arn = input.listener_arn.unwrap_or_default();
    names::check_arn(&arn, "listener")?;
    let priority = input.priority.unwrap_or_default().unsigned_abs();
    let rule = Rule {
        id: call.services.ids().hex(16),
        conditions: conditions::parse(input.conditions.unwrap_or_default())?,
        actions: actions::parse(input.actions.unwrap_or_default())?,
        transforms: conditions::parse_transforms(input.transforms.unwrap_or_default())?,
        tags: tags::given(input.tags)?,
    };
    let listener = call
        .services
        .state
        .transact(|tx| {
            let mut listener = (*listeners::get(tx, scope, &arn)?).clone();
            if !listener.protocol.is_application() {
                return Err(ApiError::new(
                    &errors::UNSUPPORTED_PROTOCOL_EXCEPTION,
                    "Rules are unsupported for Network Load Balancer listeners",
                ));
            }
            if listener.rules.contains_key(&priority) {
                return Err(priority_in_use(priority));
            }
            if listener.rules.len() >= MOST_RULES {
                return Err(ApiError::new(
                    &errors::TOO_MANY_RULES_EXCEPTION,
                    format!(
                        "The maximum number of rules '{MOST_RULES}' on listener '{arn}' has been reached"
                    ),
                ));
            }
            listener.rules.insert(priority, rule.clone());
            put(tx, scope, listener.clone())?;
            Ok(listener)
        })
        .await?;
    Ok(CreateRuleOutput { rules: Some(vec![shape(scope, &listener, priority, &rule)]) })
}

pub async fn modify(call: Call, input: ModifyRuleInput) -> Result<ModifyRuleOutput, ApiError> {
    let scope = call.scope();
    let arn = input.rule_arn.unwrap_or_default();
    let conditions = input.conditions.map(conditions::parse).transpose()?;
    let actions = input.actions.map(actions::parse).transpose()?;
    if input.reset_transforms == Some(true)
        && input.transforms.as_ref().is_some_and(|given| !given.is_empty())
    {
        return Err(validation("You can either set transforms or reset them, not both"));
    }
    let transforms = match (input.reset_transforms, input.transforms) {
        (Some(true), _) => Some(Vec::new()),
        (_, given) => given.map(conditions::parse_transforms).transpose()?,
    };
    let shown = call
        .services
        .state
        .transact(|tx| {
            let (found, priority) = get(tx, scope, &arn)?;
            let mut listener = (*found).clone();
            let Some(priority) = priority else {
                return Err(not_permitted(format!("Default rule '{arn}' cannot be modified")));
            };
            let Some(rule) = listener.rules.get_mut(&priority) else { return Err(rule_not_found(&arn)) };
            if let Some(conditions) = &conditions {
                rule.conditions.clone_from(conditions);
            }
            if let Some(actions) = &actions {
                rule.actions.clone_from(actions);
            }
            if let Some(transforms) = &transforms {
                rule.transforms.clone_from(transforms);
            }
            let rule = rule.clone();
            put(tx, scope, listener.clone())?;
            Ok(shape(scope, &listener, priority, &rule))
        })
        .await?;
    Ok(ModifyRuleOutput { rules: Some(vec![shown]) })
}

pub async fn delete(call: Call, input: DeleteRuleInput) -> Result<DeleteRuleOutput, ApiError> {
    let scope = call.scope();
    let arn = input.rule_arn.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let (found, priority) = get(tx, scope, &arn)?;
            let Some(priority) = priority else {
                return Err(not_permitted(format!("Default rule '{arn}' cannot be deleted")));
            };
            let mut listener = (*found).clone();
            listener.rules.remove(&priority);
            tx.put(scope, &listener.key(), listener);
            Ok(())
        })
        .await?;
    Ok(DeleteRuleOutput {})
}

pub async fn set_priorities(
    call: Call,
    input: SetRulePrioritiesInput,
) -> Result<SetRulePrioritiesOutput, ApiError> {
    let scope = call.scope();
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    for pair in input.rule_priorities.unwrap_or_default() {
        let (Some(arn), Some(priority)) = (pair.rule_arn, pair.priority) else {
            return Err(validation("A rule ARN and a priority must be specified"));
        };
        if wanted.insert(arn.clone(), priority.unsigned_abs()).is_some() {
            return Err(validation(format!("Rule '{arn}' is specified more than once")));
        }
    }
    if wanted.is_empty() {
        return Err(validation("A rule priority must be specified"));
    }
    let rules = call
        .services
        .state
        .transact(|tx| {
            let mut touched: BTreeMap<String, Listener> = BTreeMap::new();
            let mut moved: Vec<(String, u32, Rule)> = Vec::new();
            for (arn, to) in &wanted {
                let (found, from) = get(tx, scope, arn)?;
                let Some(from) = from else {
                    return Err(not_permitted(format!("Priority of default rule '{arn}' cannot be changed")));
                };
                let listener = touched.entry(found.key()).or_insert_with(|| (*found).clone());
                let Some(rule) = listener.rules.remove(&from) else { return Err(rule_not_found(arn)) };
                moved.push((found.key(), *to, rule));
            }
            // All have left their places before the first takes a new one.
            let mut places = BTreeSet::new();
            let mut shown = Vec::new();
            for (key, to, rule) in moved {
                let Some(listener) = touched.get_mut(&key) else { continue };
                if !places.insert((key.clone(), to)) || listener.rules.contains_key(&to) {
                    return Err(priority_in_use(to));
                }
                shown.push(shape(scope, listener, to, &rule));
                listener.rules.insert(to, rule);
            }
            for (key, listener) in touched {
                tx.put(scope, &key, listener);
            }
            Ok(shown)
        })
        .await?;
    Ok(SetRulePrioritiesOutput { rules: Some(rules) })
}

pub async fn describe(call: Call, input: DescribeRulesInput) -> Result<DescribeRulesOutput, ApiError> {
    let scope = call.scope();
    let arns = input.rule_arns.unwrap_or_default();
    let view = call.services.state.view();
    let rules: Vec<elbv2::Rule> = match &input.listener_arn {
        Some(_) if !arns.is_empty() => {
            return Err(validation("Rule ARNs and a listener ARN cannot be specified at the same time"));
        }
        None if arns.is_empty() => {
            return Err(validation("You must specify either listener rule ARNs or a listener ARN"));
        }
        Some(arn) => {
            let listener = listeners::see(&view, scope, arn)?;
            let ordered =
                listener.rules.iter().map(|(priority, rule)| shape(scope, &listener, *priority, rule));
            ordered.chain([default_shape(scope, &listener)]).collect()
        }
        None => {
            let shown = arns.iter().map(|arn| match see(&view, scope, arn)? {
                (listener, None) => Ok(default_shape(scope, &listener)),
                (listener, Some(priority)) => match listener.rules.get(&priority) {
                    Some(rule) => Ok(shape(scope, &listener, priority, rule)),
                    None => Err(rule_not_found(arn)),
                },
            });
            shown.collect::<Result<_, ApiError>>()?
        }
    };
    let list = format!("rules {}", input.listener_arn.unwrap_or_default());
    // Their order is not that of a name: they are counted.
    let numbered = rules.into_iter().enumerate();
    let page =
        page(&call, &list, numbered, |(number, _)| format!("{number:06}"), input.marker, input.page_size)?;
    Ok(DescribeRulesOutput {
        rules: Some(page.items.into_iter().map(|(_, rule)| rule).collect()),
        next_marker: page.next_token,
    })
}

fn shape(scope: &Scope, listener: &Listener, priority: u32, rule: &Rule) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(listener.rule_arn(scope, &rule.id)),
        priority: Some(priority.to_string()),
        conditions: Some(conditions::shapes(&rule.conditions)),
        actions: Some(actions::shapes(&rule.actions)),
        transforms: Some(conditions::transform_shapes(&rule.transforms)).filter(|all| !all.is_empty()),
        is_default: Some(false),
    }
}

fn default_shape(scope: &Scope, listener: &Listener) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(listener.rule_arn(scope, &listener.default_rule_id)),
        priority: Some("default".to_owned()),
        conditions: Some(Vec::new()),
        actions: Some(actions::shapes(&listener.default_actions)),
        transforms: None,
        is_default: Some(true),
    }
}
