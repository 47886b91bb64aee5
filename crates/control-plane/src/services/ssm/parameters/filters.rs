//! Which parameters a list shows: the filters of DescribeParameters and GetParametersByPath. The texts of the errors are AWS's.

use aws_shapes_ssm::{ParameterStringFilter, ParametersFilter, errors};

use super::{
    errors::invalid,
    names,
    records::{Parameter, Version},
};
use crate::gateway::ApiError;

/// Filters that are right; all of them have to hold.
#[derive(Debug, Default)]
pub struct Filters(Vec<Filter>);

#[derive(Debug)]
struct Filter {
    key: Key,
    relation: Relation,
    values: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    Name,
    Kind,
    Encryption,
    Path,
    Label,
    Tier,
    DataType,
    Tag(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

impl Filters {
    /// Of DescribeParameters.
    ///
    /// # Errors
    /// `InvalidFilterKey`, `InvalidFilterOption`, `InvalidFilterValue`, `ValidationException`.
    pub fn of_list(
        given: Vec<ParameterStringFilter>,
        old: Vec<ParametersFilter>,
    ) -> Result<Filters, ApiError> {
        if !given.is_empty() && !old.is_empty() {
            return Err(invalid("You can use either Filters or ParameterFilters in a single request."));
        }
        let old = old.into_iter().map(|filter| {
            let key = filter.key.map(|key| key.as_str().to_owned()).unwrap_or_default();
            let relation = if key == "Name" { Relation::BeginsWith } else { Relation::Equals };
            Filter { key: key_of(&key), relation, values: filter.values.unwrap_or_default() }
        });
        let mut all: Vec<Filter> = old.collect();
        for filter in given {
            if filter.key.as_deref() == Some("Label") {
                return Err(bad_key("Label", "Path, Name, Type, KeyId, Tier"));
            }
            add(&mut all, filter)?;
        }
        Ok(Filters(all))
    }

    /// Of GetParametersByPath.
    ///
    /// # Errors
    /// As for a list.
    pub fn of_path(given: Vec<ParameterStringFilter>) -> Result<Filters, ApiError> {
        let mut all = Vec::new();
        for filter in given {
            let key = filter.key.clone().unwrap_or_default();
            if matches!(key.as_str(), "Name" | "Path" | "Tier") {
                return Err(bad_key(&key, "Type, KeyId"));
            }
            add(&mut all, filter)?;
        }
        Ok(Filters(all))
    }

    /// The labels that are asked for.
    pub fn label(&self) -> Option<&[String]> {
        self.0.iter().find(|filter| filter.key == Key::Label).map(|filter| filter.values.as_slice())
    }

    /// Whether a parameter is shown, with this version of it.
    pub fn matches(&self, parameter: &Parameter, version: &Version) -> bool {
        self.0.iter().all(|filter| filter.matches(parameter, version))
    }
}

impl Filter {
    fn matches(&self, parameter: &Parameter, version: &Version) -> bool {
        let any = |text: &str| self.values.iter().any(|value| self.relation.holds(text, value));
        match &self.key {
            Key::Name if self.relation == Relation::Contains => any(&rooted(&parameter.name)),
            // With and without the first slash is the same here.
            Key::Name => {
                let name = rooted(&parameter.name);
                self.values.iter().any(|value| self.relation.holds(&name, &rooted(value)))
            }
            Key::Kind => any(version.kind.shape().as_str()),
            Key::Encryption => version.key_id.as_deref().is_some_and(any),
            Key::Path => {
                let recursive = self.relation == Relation::Recursive;
                self.values.iter().any(|path| is_under(&parameter.name, path, recursive))
            }
            Key::Label => version.labels.iter().any(|label| self.values.contains(label)),
            Key::Tier => any(version.tier.shape().as_str()),
            Key::DataType => any(&version.data_type),
            Key::Tag(key) => {
                parameter.tags.get(key).is_some_and(|value| self.values.is_empty() || any(value))
            }
        }
    }
}

impl Relation {
    fn holds(self, text: &str, value: &str) -> bool {
        match self {
            Relation::Equals => text == value,
            Relation::BeginsWith => text.starts_with(value),
            Relation::Contains => text.contains(value),
            // Of paths, which are compared by their parts.
            Relation::OneLevel | Relation::Recursive => false,
        }
    }
}

fn rooted(name: &str) -> String {
    format!("/{}", name.trim_start_matches('/'))
}

/// Whether `name` lies under `path`: right under it, or anywhere.
pub fn is_under(name: &str, path: &str, recursive: bool) -> bool {
    let (name, path) = (rooted(name), path.trim_end_matches('/'));
    let rest = name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|rest| recursive || !rest.contains('/'))
}

/// The model's pattern lets nothing else through.
fn key_of(text: &str) -> Key {
    match text {
        "Name" => Key::Name,
        "Type" => Key::Kind,
        "KeyId" => Key::Encryption,
        "Path" => Key::Path,
        "Label" => Key::Label,
        "Tier" => Key::Tier,
        "DataType" => Key::DataType,
        other => Key::Tag(other.strip_prefix("tag:").unwrap_or(other).to_owned()),
    }
}

fn bad_key(key: &str, valid: &str) -> ApiError {
    let message =
        format!("The following filter key is not valid: {key}. Valid filter keys include: [{valid}].");
    ApiError::new(&errors::INVALID_FILTER_KEY, message)
}

fn bad_option(option: &str, valid: &str) -> ApiError {
    let message =
        format!("The following filter option is not valid: {option}. Valid options include: [{valid}].");
    ApiError::new(&errors::INVALID_FILTER_OPTION, message)
}

fn add(all: &mut Vec<Filter>, given: ParameterStringFilter) -> Result<(), ApiError> {
    let text = given.key.unwrap_or_default();
    let (key, values) = (key_of(&text), given.values.unwrap_or_default());
    if values.is_empty() && !matches!(key, Key::Tag(_)) {
        let message = format!("The following filter values are missing : null for filter key {text}.");
        return Err(ApiError::new(&errors::INVALID_FILTER_VALUE, message));
    }
    if all.iter().any(|other| other.key == key) {
        let message = format!(
            "The following filter is duplicated in the request: {text}. A request can contain only one occurrence of a specific filter."
        );
        return Err(ApiError::new(&errors::INVALID_FILTER_KEY, message));
    }
    let relation = match (&key, given.option.as_deref()) {
        (Key::Path, None | Some("OneLevel")) => Relation::OneLevel,
        (Key::Path, Some("Recursive")) => Relation::Recursive,
        (Key::Path, Some(other)) => return Err(bad_option(other, "Recursive, OneLevel")),
        (_, None | Some("Equals")) => Relation::Equals,
        (_, Some("BeginsWith")) => Relation::BeginsWith,
        (Key::Name, Some("Contains")) => Relation::Contains,
        (_, Some(other)) => return Err(bad_option(other, "BeginsWith, Equals")),
    };
    if key == Key::Path {
        values.iter().try_for_each(|path| check_path(path))?;
    }
    one_of(&key, Key::Tier, &values, &["Standard", "Advanced", "Intelligent-Tiering"])?;
    if relation == Relation::Equals {
        one_of(&key, Key::Kind, &values, &["String", "StringList", "SecureString"])?;
    }
    all.push(Filter { key, relation, values });
    Ok(())
}

fn check_path(path: &str) -> Result<(), ApiError> {
    let lower = path.to_ascii_lowercase();
    if lower.starts_with("/aws") || lower.starts_with("/ssm") {
        return Err(invalid(
            "Filters for common parameters can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). When using global parameters, \
             please specify within a global namespace.",
        ));
    }
    names::check_path(path)
}

fn one_of(key: &Key, concerned: Key, values: &[String], valid: &[&str]) -> Result<(), ApiError> {
    if *key != concerned {
        return Ok(());
    }
    match values.iter().find(|value| !valid.contains(&value.as_str())) {
        None => Ok(()),
        Some(value) => Err(ApiError::new(
            &errors::INVALID_FILTER_OPTION,
            format!(
                "The following filter value is not valid: {value}. Valid values include: [{}].",
                valid.join(", ")
            ),
        )),
    }
}
