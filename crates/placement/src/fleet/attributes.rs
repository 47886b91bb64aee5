//! What is derived from the facts of instances, which seldom change, and kept until they do: columns of attribute values,
//! and the sets of instances for which a test holds.

use std::{collections::HashMap, sync::Arc};

use super::{Fleet, Instance};
use crate::bits::Bits;

/// Sets and columns that are kept; beyond it all are forgotten, and made again when asked for. Bounds what requests
/// with ever new expressions take.
const MOST_KEPT: usize = 512;

/// The values of one attribute over all slots.
#[derive(Debug)]
pub(crate) struct Column {
    /// The number of each slot's value; instances without the attribute share a number.
    pub values: Vec<u32>,
    /// How many registered instances have each.
    pub population: Vec<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Columns(HashMap<String, Arc<Column>>);

/// The instances for which a test holds, by the test's text.
#[derive(Debug, Default)]
pub(crate) struct Truths(HashMap<String, Bits>);

impl Fleet {
    /// The facts of some instance have changed.
    pub(super) fn forget_facts(&mut self) {
        self.columns.0.clear();
        self.truths.0.clear();
    }

    /// Makes the attribute's column, unless it is there.
    pub(crate) fn prepare_column(&mut self, attribute: &str) {
        if self.columns.0.contains_key(attribute) {
            return;
        }
        if self.columns.0.len() >= MOST_KEPT {
            self.columns.0.clear();
        }
        let mut numbers: HashMap<Option<&str>, u32> = HashMap::new();
        let values = self.instances.iter().map(|instance| {
            let value = instance.as_ref().and_then(|instance| {
                instance.attributes.get(attribute).map(|value| value.as_deref().unwrap_or_default())
            });
            let next = numbers.len() as u32;
            *numbers.entry(value).or_insert(next)
        });
        let values: Vec<u32> = values.collect();
        let mut population = vec![0; numbers.len().max(1)];
        for slot in self.registered.iter() {
            population[values[slot] as usize] += 1;
        }
        self.columns.0.insert(attribute.to_owned(), Arc::new(Column { values, population }));
    }

    /// A column that was prepared.
    pub(crate) fn column(&self, attribute: &str) -> Option<Arc<Column>> {
        self.columns.0.get(attribute).cloned()
    }

    /// The registered instances for which `holds` is true, which must depend on their facts alone. `key` tells tests apart.
    pub(crate) fn kept(&mut self, key: &str, holds: impl Fn(&Instance) -> bool) -> &Bits {
        if !self.truths.0.contains_key(key) {
            if self.truths.0.len() >= MOST_KEPT {
                self.truths.0.clear();
            }
            let bits =
                Bits::of(self.instances.len(), |slot| self.instances[slot].as_ref().is_some_and(&holds));
            self.truths.0.insert(key.to_owned(), bits);
        }
        &self.truths.0[key]
    }
}
