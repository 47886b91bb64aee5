//! The circumstances of a request, by condition key.

use std::collections::BTreeMap;

/// Condition keys and their values. Keys are told apart without regard to case; of the key `aws:PrincipalTag/Team` that holds for the
/// tag's name as well, as IAM documents it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<String, Vec<String>>,
}

impl Context {
    pub fn new() -> Context {
        Context::default()
    }

    /// Sets a key that has one value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Context {
        self.set(key, value);
        self
    }

    /// Sets a key that has one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Sets a key that has many values; a key without any is absent.
    pub fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        if values.is_empty() {
            self.values.remove(&key.to_ascii_lowercase());
        } else {
            self.values.insert(key.to_ascii_lowercase(), values);
        }
    }

    /// Every key, in lower case, with its values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }

    /// The values of a key, which is in lower case already.
    pub(crate) fn get(&self, lowercase_key: &str) -> &[String] {
        self.values.get(lowercase_key).map_or(&[], Vec::as_slice)
    }

    /// The value of a variable: of a key that has exactly one.
    pub(crate) fn variable(&self, lowercase_key: &str) -> Option<&str> {
        match self.get(lowercase_key) {
            [value] => Some(value),
            _ => None,
        }
    }
}
