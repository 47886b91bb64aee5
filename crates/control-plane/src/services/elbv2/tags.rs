//! Tags of load balancers, target groups, listeners, rules and trust stores, all by ARN.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, RemoveTagsInput, RemoveTagsOutput,
    errors,
};
use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    arns,
    errors::{
        listener_not_found, load_balancer_not_found, rule_not_found, target_group_not_found,
        trust_store_not_found, validation,
    },
    records::{Listener, LoadBalancer, TargetGroup},
    trust_stores::records::TrustStore,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// Resources of one request.
const MOST_RESOURCES: usize = 20;

/// The tags of a request that makes something.
///
/// # Errors
/// `DuplicateTagKeys`, `TooManyTags`, `ValidationError`.
pub fn given(tags: Option<Vec<elbv2::Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::Duplicate(_) => {
            ApiError::new(&errors::DUPLICATE_TAG_KEYS_EXCEPTION, "Tag keys must be unique")
        }
        InvalidTags::TooMany => {
            ApiError::new(&errors::TOO_MANY_TAGS_EXCEPTION, "The maximum number of tags has been reached")
        }
        other => validation(other.to_string()),
    }
}

/// As the API shows tags.
pub fn shapes(tags: &Tags) -> Vec<elbv2::Tag> {
    tags.iter()
        .map(|(key, value)| elbv2::Tag { key: Some(key.clone()), value: Some(value.clone()) })
        .collect()
}

/// What has tags.
enum Tagged {
    LoadBalancer(Arc<LoadBalancer>),
    TargetGroup(Arc<TargetGroup>),
    Listener(Arc<Listener>),
    DefaultRule(Arc<Listener>),
    Rule(Arc<Listener>, u32),
    TrustStore(Arc<TrustStore>),
}

impl Tagged {
    /// What the ARN names.
    fn find(
        scope: &Scope,
        arn: &str,
        load_balancer: impl FnOnce(&str) -> Option<Arc<LoadBalancer>>,
        target_group: impl FnOnce(&str) -> Option<Arc<TargetGroup>>,
        listener: impl FnOnce(&str) -> Option<Arc<Listener>>,
        trust_store: impl FnOnce(&str) -> Option<Arc<TrustStore>>,
    ) -> Result<Tagged, ApiError> {
        if arn.contains(":loadbalancer/") {
            let found = arns::key(scope, arn, "loadbalancer").and_then(load_balancer);
            return found.map(Tagged::LoadBalancer).ok_or_else(|| load_balancer_not_found(arn));
        }
        if arn.contains(":targetgroup/") {
            let found = arns::key(scope, arn, "targetgroup").and_then(target_group);
            return found.map(Tagged::TargetGroup).ok_or_else(|| target_group_not_found(arn));
        }
        if arn.contains(":listener/") {
            let found = arns::key(scope, arn, "listener").and_then(listener);
            return found.map(Tagged::Listener).ok_or_else(|| listener_not_found(arn));
        }
        if arn.contains(":listener-rule/") {
            let (key, id) = arns::rule_key(scope, arn).ok_or_else(|| rule_not_found(arn))?;
            let found = listener(key).ok_or_else(|| rule_not_found(arn))?;
            if found.default_rule_id == id {
                return Ok(Tagged::DefaultRule(found));
            }
            let priority = found.rules.iter().find(|(_, rule)| rule.id == id).map(|(priority, _)| *priority);
            return priority.map(|priority| Tagged::Rule(found, priority)).ok_or_else(|| rule_not_found(arn));
        }
        if arn.contains(":truststore/") {
            let found = arns::key(scope, arn, "truststore").and_then(trust_store);
            return found.map(Tagged::TrustStore).ok_or_else(|| trust_store_not_found(arn));
        }
        Err(validation(format!("'{arn}' is not a valid load balancing resource ARN")))
    }

    fn read(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Tagged, ApiError> {
        // Only one of the four is called.
        let tx = std::cell::RefCell::new(tx);
        Tagged::find(
            scope,
            arn,
            |key| tx.borrow_mut().get(scope, key),
            |key| tx.borrow_mut().get(scope, key),
            |key| tx.borrow_mut().get(scope, key),
            |key| tx.borrow_mut().get(scope, key),
        )
    }

    fn see(view: &View, scope: &Scope, arn: &str) -> Result<Tagged, ApiError> {
        Tagged::find(
            scope,
            arn,
            |key| view.get(scope, key),
            |key| view.get(scope, key),
            |key| view.get(scope, key),
            |key| view.get(scope, key),
        )
    }

    fn tags(&self) -> &Tags {
        static NONE: Tags = Tags::new();
        match self {
            Tagged::LoadBalancer(found) => &found.tags,
            Tagged::TargetGroup(found) => &found.tags,
            Tagged::Listener(found) => &found.tags,
            Tagged::DefaultRule(found) => &found.default_rule_tags,
            Tagged::Rule(found, priority) => found.rules.get(priority).map_or(&NONE, |rule| &rule.tags),
            Tagged::TrustStore(found) => &found.tags,
        }
    }

    fn write(self, tx: &mut Tx, scope: &Scope, tags: Tags) {
        match self {
            Tagged::LoadBalancer(found) => {
                tx.put(scope, &found.key(), LoadBalancer { tags, ..(*found).clone() });
            }
            Tagged::TargetGroup(found) => {
                tx.put(scope, &found.key(), TargetGroup { tags, ..(*found).clone() });
            }
            Tagged::Listener(found) => {
                tx.put(scope, &found.key(), Listener { tags, ..(*found).clone() });
            }
            Tagged::DefaultRule(found) => {
                tx.put(scope, &found.key(), Listener { default_rule_tags: tags, ..(*found).clone() });
            }
            Tagged::Rule(found, priority) => {
                let mut listener = (*found).clone();
                if let Some(rule) = listener.rules.get_mut(&priority) {
                    rule.tags = tags;
                }
                tx.put(scope, &listener.key(), listener);
            }
            Tagged::TrustStore(found) => {
                tx.put(scope, &found.key(), TrustStore { tags, ..(*found).clone() });
            }
        }
    }
}

fn check_count(arns: &[String]) -> Result<(), ApiError> {
    if arns.len() > MOST_RESOURCES {
        return Err(validation(format!("At most '{MOST_RESOURCES}' resources can be specified")));
    }
    Ok(())
}

pub async fn add(call: Call, input: AddTagsInput) -> Result<AddTagsOutput, ApiError> {
    let (arns, added) = (input.resource_arns.unwrap_or_default(), given(input.tags)?);
    check_count(&arns)?;
    call.services
        .state
        .transact(|tx| {
            for arn in &arns {
                let found = Tagged::read(tx, call.scope(), arn)?;
                let tags = tagging::merged(found.tags().clone(), added.clone()).map_err(refusal)?;
                found.write(tx, call.scope(), tags);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(AddTagsOutput {})
}

pub async fn remove(call: Call, input: RemoveTagsInput) -> Result<RemoveTagsOutput, ApiError> {
    let (arns, keys) = (input.resource_arns.unwrap_or_default(), input.tag_keys.unwrap_or_default());
    check_count(&arns)?;
    call.services
        .state
        .transact(|tx| {
            for arn in &arns {
                let found = Tagged::read(tx, call.scope(), arn)?;
                let mut tags = found.tags().clone();
                tags.retain(|key, _| !keys.contains(key));
                found.write(tx, call.scope(), tags);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(RemoveTagsOutput {})
}

pub async fn describe(call: Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
    let arns = input.resource_arns.unwrap_or_default();
    check_count(&arns)?;
    let view = call.services.state.view();
    let described = arns.iter().map(|arn| {
        let found = Tagged::see(&view, call.scope(), arn)?;
        Ok(elbv2::TagDescription { resource_arn: Some(arn.clone()), tags: Some(shapes(found.tags())) })
    });
    Ok(DescribeTagsOutput { tag_descriptions: Some(described.collect::<Result<_, ApiError>>()?) })
}
