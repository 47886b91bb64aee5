//! PutParameter: a new parameter, or a new version of one.
//!
//! What a new version does not say it takes from the one before: type, description, pattern, tier, key, policies.

use std::sync::Arc;

use aws_shapes_ssm::{ParameterTier, PutParameterRequest, PutParameterResult, errors};
use regex::RegexBuilder;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    errors::invalid,
    names, policies,
    policies::Policy,
    records::{Kind, Parameter, Tier, Value, Version, version_id, versions_of},
    secure, tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// Versions that are kept of a parameter.
pub const MOST_VERSIONS: usize = 100;
/// Parameters of a tier in an account's region.
const MOST_STANDARD: usize = 10_000;
const MOST_ADVANCED: usize = 100_000;
/// Characters of a value.
const STANDARD_LENGTH: usize = 4096;
const ADVANCED_LENGTH: usize = 8192;
/// Bounds what a pattern may take to compile; far more than any of 1,024 characters that somebody wrote needs.
const PATTERN_BYTES: usize = 1 << 20;

/// A request that is right in itself.
struct Asked {
    name: String,
    value: String,
    kind: Option<Kind>,
    tier: Option<ParameterTier>,
    overwrite: bool,
    data_type: Option<String>,
    description: Option<String>,
    allowed_pattern: Option<String>,
    key_id: Option<String>,
    policies: Option<Vec<Policy>>,
    tags: Tags,
}

pub async fn put(call: Call, input: PutParameterRequest) -> Result<PutParameterResult, ApiError> {
    let asked = check(&call, input)?;
    let services = Arc::clone(&call.services);
    services.state.transact(|tx| write(tx, &call, &asked)).await
}

fn check(call: &Call, input: PutParameterRequest) -> Result<Asked, ApiError> {
    let (name, value) = (input.name.unwrap_or_default(), input.value.unwrap_or_default());
    if value.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.",
        ));
    }
    let overwrite = input.overwrite.unwrap_or(false);
    let given_tags = input.tags.unwrap_or_default();
    if overwrite && !given_tags.is_empty() {
        return Err(invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. \
             To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    names::check(call.scope(), &name)?;
    if value.contains("{{") {
        return Err(invalid(
            "Parameter value can't nest another parameter. Do not use \"{{}}\" in the value.",
        ));
    }
    check_data_type(input.data_type.as_deref())?;
    let policies = input.policies.map(|text| policies::parse(&text, call.now())).transpose()?;
    Ok(Asked {
        kind: input.r#type.map(Kind::from),
        tier: input.tier,
        data_type: input.data_type,
        description: input.description,
        allowed_pattern: input.allowed_pattern,
        key_id: input.key_id,
        tags: tags::given(given_tags)?,
        name,
        value,
        overwrite,
        policies,
    })
}

fn check_data_type(given: Option<&str>) -> Result<(), ApiError> {
    match given {
        None | Some("text") => Ok(()),
        // There are neither images nor integrations that a value could be checked against.
        Some(what @ ("aws:ec2:image" | "aws:ssm:integration")) => Err(ApiError::undeclared(
            "NotImplemented",
            501,
            format!("Longshore does not implement parameters of the data type {what}."),
        )),
        Some(other) => Err(invalid(format!(
            "The following data type is not supported: {other} (Data type names are all lowercase.)"
        ))),
    }
}

fn write(tx: &mut Tx, call: &Call, asked: &Asked) -> Result<PutParameterResult, ApiError> {
    let scope = call.scope();
    let twin = names::twin(&asked.name).filter(|twin| tx.get::<Parameter>(scope, twin).is_some());
    let name = twin.as_ref().unwrap_or(&asked.name);
    let there = tx.get::<Parameter>(scope, name);
    if there.is_some() && !asked.overwrite {
        return Err(ApiError::new(
            &errors::PARAMETER_ALREADY_EXISTS,
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
        ));
    }
    let before = match &there {
        None => None,
        Some(there) => tx.get::<Version>(scope, &version_id(name, there.version)),
    };
    let before = before.as_deref();
    let kind = kind(asked, before)?;
    let policies = match &asked.policies {
        Some(given) => given.clone(),
        None => before.map(|before| policies::carried_over(&before.policies)).unwrap_or_default(),
    };
    let tier = tier(tx.view(), scope, asked, before, !policies.is_empty())?;
    policies::need_advanced(&policies, tier == Tier::Advanced)?;
    let allowed_pattern =
        given_or(&asked.allowed_pattern, before.and_then(|before| before.allowed_pattern.clone()));
    if let Some(pattern) = allowed_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        check_pattern(pattern, &asked.value)?;
    }
    let mut version = Version {
        version: there.as_ref().map_or(1, |there| there.version + 1),
        kind,
        value: Value::Plain(asked.value.clone()),
        tier,
        data_type: asked.data_type.clone().unwrap_or_else(|| "text".to_owned()),
        description: given_or(&asked.description, before.and_then(|before| before.description.clone())),
        allowed_pattern,
        key_id: None,
        policies,
        modified_at: call.now(),
        modified_by: call.principal.arn.clone(),
        labels: Default::default(),
    };
    if kind == Kind::SecureString {
        let key = given_or(&asked.key_id, before.and_then(|before| before.key_id.clone()));
        let key = key.unwrap_or_else(|| secure::DEFAULT_KEY.to_owned());
        version.value = Value::Encrypted(secure::encrypt(tx, call, &key, name, &asked.value)?);
        version.key_id = Some(key);
    }
    make_room(tx, scope, name)?;
    let number = version.version;
    tx.put(scope, &version_id(name, number), version);
    let tags = there.map_or_else(|| asked.tags.clone(), |there| there.tags.clone());
    tx.put(scope, name, Parameter { name: name.clone(), version: number, tier, tags });
    Ok(PutParameterResult { tier: Some(tier.shape()), version: Some(number) })
}

fn given_or(given: &Option<String>, before: Option<String>) -> Option<String> {
    given.clone().or(before)
}

fn kind(asked: &Asked, before: Option<&Version>) -> Result<Kind, ApiError> {
    let kind = asked.kind.or(before.map(|before| before.kind));
    let kind = kind.ok_or_else(|| invalid("A parameter type is required when you create a parameter."))?;
    if before.is_some_and(|before| before.kind != kind) {
        return Err(ApiError::new(
            &errors::HIERARCHY_TYPE_MISMATCH_EXCEPTION,
            "Parameter Store doesn't support changing a parameter type in a hierarchy. For example, you can't change a parameter from a \
             String type to a SecureString type. You must create a new, unique parameter.",
        ));
    }
    if asked.key_id.is_some() && kind != Kind::SecureString {
        return Err(invalid("KeyId is required for SecureString type parameter only."));
    }
    Ok(kind)
}

fn tier(
    view: &View,
    scope: &Scope,
    asked: &Asked,
    before: Option<&Version>,
    has_policies: bool,
) -> Result<Tier, ApiError> {
    let was = before.map(|before| before.tier);
    let length = asked.value.chars().count();
    let number = |tier: Tier| view.scan::<Parameter>(scope).filter(|(_, one)| one.tier == tier).count();
    let tier = match asked.tier {
        Some(ParameterTier::Advanced) => Tier::Advanced,
        Some(ParameterTier::Standard) if was == Some(Tier::Advanced) => {
            return Err(invalid(
                "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the \
                 standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.",
            ));
        }
        Some(ParameterTier::Standard) => Tier::Standard,
        Some(ParameterTier::IntelligentTiering) => {
            let advanced = length > STANDARD_LENGTH
                || has_policies
                || was == Some(Tier::Advanced)
                || (was.is_none() && number(Tier::Standard) >= MOST_STANDARD);
            if advanced { Tier::Advanced } else { Tier::Standard }
        }
        None => was.unwrap_or(Tier::Standard),
    };
    let (longest, most) = match tier {
        Tier::Standard => (STANDARD_LENGTH, MOST_STANDARD),
        Tier::Advanced => (ADVANCED_LENGTH, MOST_ADVANCED),
    };
    if length > longest {
        return Err(invalid(match tier {
            Tier::Standard => format!(
                "Standard tier parameters support a maximum parameter value of {longest} characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
            ),
            Tier::Advanced => {
                format!("Advanced tier parameters support a maximum parameter value of {longest} characters.")
            }
        }));
    }
    if was != Some(tier) && number(tier) >= most {
        return Err(ApiError::new(
            &errors::PARAMETER_LIMIT_EXCEEDED,
            "You have exceeded the number of parameters for this AWS account. Delete one or more parameters and try again.",
        ));
    }
    Ok(tier)
}

fn check_pattern(pattern: &str, value: &str) -> Result<(), ApiError> {
    let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build().map_err(|error| {
        let message = "The request doesn't meet the regular expression requirement.";
        ApiError::new(&errors::INVALID_ALLOWED_PATTERN_EXCEPTION, message).caused_by(error)
    })?;
    if compiled.is_match(value) {
        return Ok(());
    }
    let message = format!("Parameter value, cannot be validated against allowedPattern: {pattern}");
    Err(ApiError::new(&errors::PARAMETER_PATTERN_MISMATCH_EXCEPTION, message))
}

/// Takes the oldest version away when there are as many as there may be.
fn make_room(tx: &mut Tx, scope: &Scope, name: &str) -> Result<(), ApiError> {
    let view = tx.view().clone();
    let versions = view.scan_prefix::<Version>(scope, &versions_of(name));
    let (number, oldest) =
        versions.fold((0, None), |(number, oldest), found| (number + 1, oldest.or(Some(found))));
    let Some((id, oldest)) = oldest.filter(|_| number >= MOST_VERSIONS) else { return Ok(()) };
    if !oldest.labels.is_empty() {
        return Err(ApiError::new(
            &errors::PARAMETER_MAX_VERSION_LIMIT_EXCEEDED,
            format!(
                "You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. Version {}, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.",
                oldest.version
            ),
        ));
    }
    tx.delete::<Version>(scope, id);
    Ok(())
}
