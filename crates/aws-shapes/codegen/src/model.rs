//! The trimmed model, as far as the generator looks at it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// An enum with more values than this stays a `String`: EC2's instance types would be a thousand variants.
const LARGEST_ENUM: usize = 80;

/// A parsed `models/SERVICE.json`.
pub struct Model<'a> {
    pub service: &'a str,
    pub metadata: &'a Value,
    pub operation_names: Vec<&'a str>,
    pub operations: BTreeMap<&'a str, &'a Value>,
    /// Bindings of REST operations that are not imported.
    pub routes: BTreeMap<&'a str, &'a Value>,
    pub shapes: BTreeMap<&'a str, &'a Value>,
    /// Structure → members that must be boxed because the structure contains itself through them.
    boxed: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Model<'a> {
    pub fn parse(json: &'a Value) -> Result<Self, String> {
        let object = |key: &str| -> Result<BTreeMap<&'a str, &'a Value>, String> {
            let entries = json[key].as_object().ok_or_else(|| format!("no {key}"))?;
            Ok(entries.iter().map(|(name, value)| (name.as_str(), value)).collect())
        };
        let operation_names = json["operationNames"].as_array().ok_or("no operationNames")?;
        let mut model = Model {
            service: json["service"].as_str().ok_or("no service")?,
            metadata: &json["metadata"],
            operation_names: operation_names.iter().filter_map(Value::as_str).collect(),
            operations: object("operations")?,
            routes: json["routes"].as_object().map_or_else(BTreeMap::new, |routes| {
                routes.iter().map(|(name, http)| (name.as_str(), http)).collect()
            }),
            shapes: object("shapes")?,
            boxed: BTreeSet::new(),
        };
        model.operation_names.sort_unstable();
        model.check_references()?;
        model.boxed = model.find_boxed();
        Ok(model)
    }

    /// Metadata text.
    pub fn meta(&self, key: &str) -> Option<&'a str> {
        self.metadata[key].as_str()
    }

    pub fn type_of(&self, shape: &str) -> &'a str {
        self.shapes.get(shape).and_then(|shape| shape["type"].as_str()).unwrap_or("")
    }

    pub fn is_structure(&self, shape: &str) -> bool {
        self.type_of(shape) == "structure" && !flag(self.shapes[shape], "document")
    }

    /// The values of a shape that becomes a Rust enum.
    pub fn enum_values(&self, shape: &str) -> Option<Vec<String>> {
        let values = strings(&self.shapes.get(shape)?["enum"]);
        (!values.is_empty() && values.len() <= LARGEST_ENUM).then_some(values)
    }

    /// A structure's members sorted by name.
    pub fn members(&self, shape: &str) -> Vec<(&'a str, &'a Value)> {
        let mut members: Vec<_> = self.shapes[shape]["members"]
            .as_object()
            .into_iter()
            .flat_map(Map::iter)
            .map(|(name, reference)| (name.as_str(), reference))
            .collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        members
    }

    pub fn is_boxed(&self, structure: &'a str, member: &'a str) -> bool {
        self.boxed.contains(&(structure, member))
    }

    /// Shape names of the errors that any operation or event stream declares.
    pub fn errors(&self) -> BTreeSet<&'a str> {
        let mut errors: BTreeSet<&str> = self
            .operations
            .values()
            .flat_map(|operation| operation["errors"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        errors
            .extend(self.shapes.iter().filter(|(_, shape)| flag(shape, "exception")).map(|(name, _)| *name));
        errors
    }

    fn check_references(&self) -> Result<(), String> {
        let known = |reference: &Value, whose: &str| match reference["shape"].as_str() {
            Some(name) if self.shapes.contains_key(name) => Ok(()),
            Some(name) => Err(format!("{whose} refers to the missing shape {name}")),
            None => Err(format!("{whose} has a reference without a shape")),
        };
        for (name, shape) in &self.shapes {
            for (member, reference) in shape["members"].as_object().into_iter().flat_map(Map::iter) {
                known(reference, &format!("{name}.{member}"))?;
            }
            let parts: &[&str] = match shape["type"].as_str() {
                Some("list") => &["member"],
                Some("map") => &["key", "value"],
                _ => &[],
            };
            for part in parts {
                known(&shape[part], name)?;
            }
        }
        Ok(())
    }

    /// A member is boxed when its structure can be reached again from its target through structures alone:
    /// lists and maps already put their contents elsewhere.
    fn find_boxed(&self) -> BTreeSet<(&'a str, &'a str)> {
        let mut boxed = BTreeSet::new();
        for &name in self.shapes.keys().filter(|name| self.is_structure(name)) {
            for (member, reference) in self.members(name) {
                let target = target(reference);
                if self.is_structure(target) && self.contains_directly(target, name) {
                    boxed.insert((name, member));
                }
            }
        }
        boxed
    }

    fn contains_directly(&self, from: &'a str, wanted: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![from];
        while let Some(name) = pending.pop() {
            if name == wanted {
                return true;
            }
            if seen.insert(name) && self.is_structure(name) {
                pending.extend(self.members(name).into_iter().map(|(_, reference)| target(reference)));
            }
        }
        false
    }
}

/// The shape that a reference names; references are checked when the model is parsed.
pub fn target(reference: &Value) -> &str {
    reference["shape"].as_str().unwrap_or("")
}

pub fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or(false)
}

pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
