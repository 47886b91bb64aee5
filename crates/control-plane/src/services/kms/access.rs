//! Who may use a key: its policy first, and grants beside it.
//!
//! A key's policy decides: without a statement of it that names the caller or the account nothing is allowed, to the account's root
//! neither. Grants allow what they name to one principal; for the decision they are statements of the policy, their constraints its
//! conditions. What an operation asks for is told here rather than in authorization's table, because the key of a ciphertext stands
//! in the ciphertext, and an alias means its key. Source: "Key policies", "Grants" and "Condition keys" of the KMS developer guide.

use aws_schema::{OperationTable, Value};
use aws_shapes_kms as kms;
use policy::Context;
use serde_json::{Value as Json, json};
use state_store::View;
use vocabulary::Scope;

use super::{
    crypto::{self, EncryptionContext},
    names::{self, Found},
    records::{Alias, Grant, Key, Kind, alias_arn, key_arn},
    shapes,
};
use crate::{
    authorization::{
        Asked, Holder, Wish, authorize_with_resource_policy, input,
        resources::{Facts, ResourcePolicy},
    },
    gateway::{ApiError, Call},
    services::Services,
};

/// What authorization is told of a key (`key/ID`). Aliases have no policies.
pub fn facts(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let key = view.get::<Key>(scope, resource.strip_prefix("key/")?)?;
    let grants = view.scan_prefix::<Grant>(scope, &format!("{}/", key.id));
    let document = with_grants(&key.policy, grants.map(|(_, grant)| grant));
    let mut keys = vec![
        ("kms:KeyOrigin".to_owned(), "AWS_KMS".to_owned()),
        ("kms:KeySpec".to_owned(), shapes::spec(key.kind).to_string()),
        ("kms:KeyUsage".to_owned(), shapes::usage(key.kind).to_string()),
        ("kms:MultiRegion".to_owned(), "false".to_owned()),
    ];
    if let Kind::Mac(_) = key.kind {
        keys.push(("kms:MacAlgorithm".to_owned(), shapes::mac_algorithm(key.kind)));
    }
    Some(Facts {
        tags: key.tags.clone(),
        policy: Some(ResourcePolicy { document: document.into(), decides: true }),
        keys,
        ..Facts::default()
    })
}

/// The policy with statements for the grants.
fn with_grants<G: AsRef<Grant>>(policy: &str, grants: impl Iterator<Item = G>) -> String {
    let mut grants = grants.peekable();
    if grants.peek().is_none() {
        return policy.to_owned();
    }
    // It was a policy when it was stored.
    let Ok(mut document) = serde_json::from_str::<Json>(policy) else { return policy.to_owned() };
    let with_variables = document["Version"] == "2012-10-17";
    let mut all = match document["Statement"].take() {
        Json::Array(all) => all,
        one => vec![one],
    };
    all.extend(grants.flat_map(|grant| statements(grant.as_ref(), with_variables)));
    document["Statement"] = Json::Array(all);
    document.to_string()
}

/// Operations for which a grant's constraint on the encryption context counts.
const WITH_CONTEXT: &[&str] = &[
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
];

/// What a grant allows, as statements: what has an encryption context is constrained by it, the rest is not.
fn statements(grant: &Grant, with_variables: bool) -> Vec<Json> {
    let of = |operations: Vec<&String>, condition: Option<Json>| {
        let actions: Vec<String> = operations.iter().map(|operation| format!("kms:{operation}")).collect();
        let mut statement = json!({
            "Effect": "Allow",
            "Principal": { "AWS": grant.grantee },
            "Action": actions,
            "Resource": "*",
        });
        if let Some(condition) = condition {
            statement["Condition"] = condition;
        }
        (!actions.is_empty()).then_some(statement)
    };
    // A constraint is a text, not a pattern with variables.
    let literal = |text: &str| if with_variables { text.replace("${", "${$}{") } else { text.to_owned() };
    let (with, without): (Vec<&String>, Vec<&String>) =
        grant.operations.iter().partition(|operation| WITH_CONTEXT.contains(&operation.as_str()));
    let condition = grant.context_equals.as_ref().or(grant.context_subset.as_ref()).map(|pairs| {
        let values: serde_json::Map<String, Json> = pairs
            .iter()
            .map(|(key, value)| (format!("kms:EncryptionContext:{key}"), json!(literal(value))))
            .collect();
        let mut condition = json!({ "StringEquals": values });
        if grant.context_equals.is_some() {
            let names: Vec<&String> = pairs.keys().collect();
            condition["ForAllValues:StringEquals"] = json!({ "kms:EncryptionContextKeys": names });
        }
        condition
    });
    of(with, condition).into_iter().chain(of(without, None)).collect()
}

/// What an operation asks for. `keys`: the condition keys that its input sets, whatever the action.
pub fn asked(
    view: &View,
    call: &Call,
    operation: &OperationTable,
    given: &Value,
    keys: &[(String, Vec<String>)],
) -> Vec<Asked> {
    let scope = call.scope();
    let text = |member: &str| input::texts(operation.input, given, member).first().copied();
    let key = |text: &str| key_resource(view, scope, text);
    let ask = |action: &str, resources: Vec<String>, named: Option<&str>| {
        let mut keys = keys.to_vec();
        let mut set = |key: &str, value: String| keys.push((key.to_owned(), vec![value]));
        set("kms:CallerAccount", call.principal.account.to_string());
        if let Some(alias) = named.filter(|name| name.starts_with("alias/")) {
            set("kms:RequestAlias", alias.to_owned());
        }
        Asked { action: format!("kms:{action}"), resources, keys }
    };
    // One side of a ciphertext that is encrypted anew: with a context and a key of its own.
    let side = |action: &str, resource: String, context: &str, named: Option<&str>| {
        let mut asked = ask(action, vec![resource], named);
        asked.keys.extend(context_keys(&context_of(operation, given, context)));
        asked
    };
    match operation.name {
        // Decided by the grant itself.
        "RetireGrant" => Vec::new(),
        "Decrypt" => {
            let resource = text("KeyId").map(key).or_else(|| blob_key(operation, given));
            resource.map(|resource| ask("Decrypt", vec![resource], text("KeyId"))).into_iter().collect()
        }
        "ReEncrypt" => {
            let source = text("SourceKeyId").map(key).or_else(|| blob_key(operation, given));
            let from =
                |resource| side("ReEncryptFrom", resource, "SourceEncryptionContext", text("SourceKeyId"));
            let to = |resource| {
                side("ReEncryptTo", resource, "DestinationEncryptionContext", text("DestinationKeyId"))
            };
            let destination = text("DestinationKeyId").map(key).map(to);
            source.map(from).into_iter().chain(destination).collect()
        }
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            let name = text("AliasName").unwrap_or_default();
            let name = name.strip_prefix("alias/").unwrap_or(name);
            let mut resources = vec![alias_arn(scope, name)];
            // Both the key that had it and the one that gets it.
            let held = view.get::<Alias>(scope, name).map(|alias| key_arn(scope, &alias.key_id));
            resources.extend(held);
            resources.extend(text("TargetKeyId").map(key));
            resources.dedup();
            vec![ask(operation.name, resources, None)]
        }
        _ => match text("KeyId") {
            Some(id) if operation.name != "ListAliases" => vec![ask(operation.name, vec![key(id)], Some(id))],
            _ => vec![ask(operation.name, vec!["*".to_owned()], None)],
        },
    }
}

/// The ARN of the key that a text means; of one that is not there, what it would be.
fn key_resource(view: &View, scope: &Scope, text: &str) -> String {
    match names::see(view, scope, text) {
        Ok(found) => found.arn(),
        Err(_) => match names::parse(scope, text) {
            Ok(names::Named::Key(scope, id)) => key_arn(&scope, &id),
            Ok(names::Named::Alias(scope, name)) => alias_arn(&scope, &name),
            Err(_) => key_arn(scope, text),
        },
    }
}

/// The key that a ciphertext was made with.
fn blob_key(operation: &OperationTable, given: &Value) -> Option<String> {
    let Some((_, Value::Blob(blob))) = input::member(operation.input, given, "CiphertextBlob") else {
        return None;
    };
    crypto::header(blob).map(|header| key_arn(&header.scope, &header.key_id))
}

fn context_of(operation: &OperationTable, given: &Value, member: &str) -> EncryptionContext {
    let Some((_, Value::Map(pairs))) = input::member(operation.input, given, member) else {
        return EncryptionContext::new();
    };
    pairs.iter().filter_map(|(key, value)| Some((key.clone(), input::text(value)?.to_owned()))).collect()
}

/// The encryption context as condition keys.
fn context_keys(context: &EncryptionContext) -> Vec<(String, Vec<String>)> {
    let values =
        context.iter().map(|(key, value)| (format!("kms:EncryptionContext:{key}"), vec![value.clone()]));
    let names = ("kms:EncryptionContextKeys".to_owned(), context.keys().cloned().collect());
    values.chain(std::iter::once(names)).collect()
}

/// Somebody for whom a service of the platform uses keys.
#[derive(Debug, Clone)]
pub struct User<'a> {
    pub holder: &'a Holder,
    /// What holds of everything it asks for: [`Holder::context`], or that of its call.
    pub context: &'a Context,
    /// The service that uses the key in its name: `secretsmanager`. None where it does so itself, as an agent in a container.
    pub via: Option<&'static str>,
}

/// Whether the user may do `action` with the key, with this encryption context.
///
/// # Errors
/// `AccessDeniedException`.
pub fn check_user(
    services: &Services,
    user: &User<'_>,
    found: &Found,
    action: &str,
    encryption: &EncryptionContext,
) -> Result<(), ApiError> {
    let mut context = user.context.clone();
    if let Some(via) = user.via {
        context.set("kms:ViaService", format!("{via}.{}.amazonaws.com", found.scope.region));
        context.set("aws:ViaAWSService", "true");
    }
    if let Some(account) = &user.holder.principal.account {
        context.set("kms:CallerAccount", account.as_str());
    }
    for (key, values) in context_keys(encryption) {
        context.set_all(&key, values);
    }
    // A key that this very transaction makes is not in the tables yet; its policy is at hand.
    let policy = ResourcePolicy { document: found.key.policy.as_str().into(), decides: true };
    let fresh = services.state.read(|view| view.get::<Key>(&found.scope, &found.key.id).is_none());
    let arn = found.arn();
    let mut wish = Wish::new(action, &arn);
    if fresh {
        wish.policy = Some(&policy);
    }
    authorize_with_resource_policy(services, user.holder, &context, kms::SERVICE, &wish)
}
