//! Which circumstances policies ask about: the keys of their conditions, and the variables in their texts.

use std::{collections::BTreeSet, sync::Arc};

use aws_shapes_iam::{
    GetContextKeysForCustomPolicyRequest, GetContextKeysForPolicyResponse,
    GetContextKeysForPrincipalPolicyRequest,
};
use state_store::View;
use vocabulary::{Arn, Scope};

use super::{
    errors, names, policies,
    policy_document::{self, PolicyDocument, Use},
    records::{self, Entity, Group, Permissions, Role, User},
};
use crate::gateway::{ApiError, Call};

pub fn collect(document: &PolicyDocument, keys: &mut BTreeSet<String>) {
    for statement in &document.statements {
        keys.extend(statement.conditions.iter().map(|condition| condition.key.clone()));
        let values = statement.conditions.iter().flat_map(|condition| &condition.values);
        let resources = statement.resources.iter().flat_map(|resources| &resources.members);
        for text in values.chain(resources) {
            keys.extend(variables(text));
        }
    }
}

/// `aws:username` of `arn:aws:s3:::home/${aws:username, 'nobody'}/*`
fn variables(text: &str) -> impl Iterator<Item = String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    let names = names.map(|(name, _)| name.split(',').next().unwrap_or(name).trim().to_owned());
    // `${*}`, `${?}` and `${$}` stand for the characters themselves.
    names.filter(|name| name.contains(':'))
}

fn of_texts(texts: &[String], keys: &mut BTreeSet<String>) -> Result<(), ApiError> {
    for text in texts {
        let document = policy_document::parse(text, Use::Inline);
        collect(&document.map_err(|error| errors::invalid_input(error.to_string()))?, keys);
    }
    Ok(())
}

fn answer(keys: BTreeSet<String>) -> GetContextKeysForPolicyResponse {
    GetContextKeysForPolicyResponse { context_key_names: Some(keys.into_iter().collect()) }
}

pub async fn custom(
    _: Call,
    input: GetContextKeysForCustomPolicyRequest,
) -> Result<GetContextKeysForPolicyResponse, ApiError> {
    let mut keys = BTreeSet::new();
    of_texts(&input.policy_input_list.unwrap_or_default(), &mut keys)?;
    Ok(answer(keys))
}

/// The policies of the user, group or role that an ARN names; a user has those of its groups, too.
fn held(view: &View, scope: &Scope, arn: &str) -> Result<Vec<Permissions>, ApiError> {
    let invalid = || {
        errors::invalid_input(format!(
            "Invalid Entity Arn: {arn} does not clearly define entity type and name."
        ))
    };
    let parsed: Arn = arn.parse().map_err(|_| invalid())?;
    let (kind, path) = parsed.resource().split_once('/').ok_or_else(invalid)?;
    let name = names::last_segment(path);
    if parsed.account() != scope.account.as_str() {
        return Err(User::missing(name));
    }
    match kind {
        "user" => {
            let user = records::see::<User>(view, scope, name)?;
            let groups = view.scan::<Group>(scope).filter(|(_, group)| user.groups.contains(&group.id));
            let mut held: Vec<Permissions> = groups.map(|(_, group)| group.permissions.clone()).collect();
            held.push(user.permissions.clone());
            Ok(held)
        }
        "group" => Ok(vec![records::see::<Group>(view, scope, name)?.permissions.clone()]),
        "role" => Ok(vec![records::see::<Role>(view, scope, name)?.permissions.clone()]),
        _ => Err(invalid()),
    }
}

pub async fn principal(
    call: Call,
    input: GetContextKeysForPrincipalPolicyRequest,
) -> Result<GetContextKeysForPolicyResponse, ApiError> {
    let scope = names::of(&call);
    let view = call.services.state.view();
    let mut keys = BTreeSet::new();
    of_texts(&input.policy_input_list.unwrap_or_default(), &mut keys)?;
    for permissions in held(&view, &scope, &input.policy_source_arn.unwrap_or_default())? {
        let attached = permissions.attached.iter().filter_map(|arn| policies::seen(&view, &scope, arn));
        let documents: Vec<String> = attached
            .filter_map(|policy: Arc<records::Policy>| {
                policy.versions.get(&policy.default_version).map(|version| version.document.clone())
            })
            .chain(permissions.inline.values().cloned())
            .collect();
        of_texts(&documents, &mut keys)?;
    }
    Ok(answer(keys))
}
