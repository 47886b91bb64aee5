//! Names of parameters: which there may be, and which one a request means. Source: "Requirements and constraints for Parameter Store
//! parameter names" of the Systems Manager guide.

use aws_shapes_ssm::errors;
use state_store::View;
use vocabulary::{Arn, Scope};

use super::{
    errors::{invalid, not_found},
    records::{Parameter, arn},
};
use crate::gateway::ApiError;

/// The parts of a name between slashes.
const MOST_LEVELS: usize = 15;
/// Of the whole ARN.
const LONGEST_ARN: usize = 1011;

/// Secrets Manager's secrets, as parameters.
pub const SECRETS: &str = "/aws/reference/secretsmanager/";

/// Checks the name of a parameter to be made.
///
/// # Errors
/// `ValidationException`, `HierarchyLevelLimitExceededException`, `AccessDeniedException` for names that are AWS's own.
pub fn check(scope: &Scope, name: &str) -> Result<(), ApiError> {
    let bare = name.trim_start_matches('/').to_ascii_lowercase();
    if bare.starts_with("aws") || bare.starts_with("ssm") {
        let is_path = name.matches('/').count() > 1;
        if is_path && name.to_ascii_lowercase().starts_with("/aws") {
            let message = format!("No access to reserved parameter name: {name}.");
            return Err(ApiError::undeclared("AccessDeniedException", 400, message));
        }
        return Err(invalid(match is_path {
            false => "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
            true => {
                "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths \
                 divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_"
            }
        }));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    if name.is_empty() || name == "/" || name.ends_with('/') || !name.chars().all(allowed) {
        return Err(invalid(
            "Invalid parameter name. Please use alphanumeric characters along with these symbols [/._-] only.",
        ));
    }
    if name.trim_start_matches('/').split('/').count() > MOST_LEVELS {
        return Err(ApiError::new(
            &errors::HIERARCHY_LEVEL_LIMIT_EXCEEDED_EXCEPTION,
            format!(
                "A parameter hierarchy can have a maximum of {MOST_LEVELS} levels. For more information, see Requirements and constraints for parameter names in the AWS Systems Manager User Guide."
            ),
        ));
    }
    if arn(scope, name).len() > LONGEST_ARN {
        return Err(invalid(format!(
            "Parameter ARN exceeds the maximum length of {LONGEST_ARN} characters."
        )));
    }
    Ok(())
}

fn allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || "/._-".contains(character)
}

/// Checks a path to look under.
///
/// # Errors
/// `ValidationException`.
pub fn check_path(path: &str) -> Result<(), ApiError> {
    if path.starts_with('/') && !path.contains("//") && path.chars().all(allowed) {
        return Ok(());
    }
    Err(invalid(
        "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". \
         It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the following symbols: \
         . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the \
         forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_.",
    ))
}

/// The other way to write the name of a parameter that lies at the root: with a first slash and without one it is the same parameter.
pub fn twin(name: &str) -> Option<String> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let other = if bare.len() == name.len() { format!("/{name}") } else { bare.to_owned() };
    (!bare.contains('/')).then_some(other)
}

/// Which version of a parameter is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Newest,
    Version(String),
    Label(String),
}

/// What a request names: a parameter, and a version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// As it was made, or as an ARN has it: without the first slash.
    name: String,
    is_from_arn: bool,
    pub selector: Selector,
}

impl Reference {
    /// Of `NAME`, `NAME:VERSION`, `NAME:LABEL` or an ARN with one of these at its end.
    ///
    /// # Errors
    /// `ParameterNotFound` for what can name no parameter of this account and region.
    pub fn parse(scope: &Scope, asked: &str) -> Result<Reference, ApiError> {
        let (text, is_from_arn) = match asked.starts_with("arn:") {
            false => (asked, false),
            true => {
                let parsed: Arn = asked.parse().map_err(|_| not_found(asked))?;
                let own =
                    parsed.account() == scope.account.as_str() && parsed.region() == scope.region.as_str();
                let rest = asked.split_once(":parameter/").map(|(_, rest)| rest);
                let rest = rest.filter(|_| own && parsed.service() == "ssm");
                (rest.ok_or_else(|| not_found(asked))?, true)
            }
        };
        let (name, selector) = match text.split_once(':') {
            None => (text, Selector::Newest),
            Some((_, selector)) if selector.is_empty() || selector.contains(':') => {
                return Err(not_found(asked));
            }
            Some((name, selector)) if selector.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name, Selector::Version(selector.to_owned()))
            }
            Some((name, selector)) => (name, Selector::Label(selector.to_owned())),
        };
        Ok(Reference { name: name.to_owned(), is_from_arn, selector })
    }

    /// The name that the parameter has. An ARN does not say whether it begins with a slash, and at the root it means nothing ([`twin`]).
    pub fn name(&self, view: &View, scope: &Scope) -> String {
        if self.is_from_arn && self.name.contains('/') {
            return format!("/{}", self.name);
        }
        let there = |name: &str| view.get::<Parameter>(scope, name).is_some();
        match twin(&self.name) {
            Some(twin) if !there(&self.name) && (self.is_from_arn || there(&twin)) => twin,
            _ => self.name.clone(),
        }
    }

    /// `:3`, as the answer repeats it.
    pub fn shown_selector(&self) -> Option<String> {
        match &self.selector {
            Selector::Newest => None,
            Selector::Version(text) | Selector::Label(text) => Some(format!(":{text}")),
        }
    }

    /// The secret that is meant, for a name under [`SECRETS`]; with the selector.
    pub fn secret(&self) -> Option<&str> {
        self.name
            .strip_prefix(SECRETS)
            .or_else(|| self.name.strip_prefix(&SECRETS[1..]).filter(|_| self.is_from_arn))
    }
}
