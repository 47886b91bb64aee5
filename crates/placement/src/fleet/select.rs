//! Which instances an expression selects: sets, combined as the expression combines its tests.

use super::Fleet;
use crate::{
    bits::Bits,
    query::{Condition, Expression, Subject, Test, date, version},
};

impl Fleet {
    /// The ids of the registered instances for which the expression holds, ascending.
    pub fn select(&mut self, expression: &Expression) -> Vec<&str> {
        let bits = self.matching(expression);
        let mut ids: Vec<&str> = bits.iter().map(|slot| self.ids[slot].as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// As [`Fleet::select`], as a set.
    pub(crate) fn matching(&mut self, expression: &Expression) -> Bits {
        match expression {
            Expression::Not(inner) => self.matching(inner).missing_from(&self.registered),
            Expression::All(parts) => {
                let mut found = self.registered.clone();
                for part in parts {
                    found.keep(&self.matching(part));
                }
                found
            }
            Expression::Any(parts) => {
                let mut found = Bits::none(self.slots());
                for part in parts {
                    found.add(&self.matching(part));
                }
                found
            }
            Expression::Test(test) => self.passing(test),
        }
    }

    fn passing(&mut self, test: &Test) -> Bits {
        let slots = self.slots();
        let mut holds = match &test.subject {
            Subject::TaskGroup => self.hosting(&test.condition),
            Subject::RunningTasksCount => {
                let parse = |given: &str| given.parse::<u32>().ok();
                Bits::of(slots, |slot| test.condition.holds_for(&self.running[slot], parse))
            }
            Subject::AgentConnected => {
                let (yes, no) =
                    (test.condition.holds_for_text("true"), test.condition.holds_for_text("false"));
                Bits::of(slots, |slot| if self.connected.contains(slot) { yes } else { no })
            }
            _ => {
                let key = format!("{:?} {:?}", test.subject, test.condition);
                self.kept(&key, |instance| fact_holds(test, instance)).clone()
            }
        };
        holds.keep(&self.registered);
        if test.negated { holds.missing_from(&self.registered) } else { holds }
    }

    /// Instances that host wanted tasks of a group for which the condition holds.
    fn hosting(&self, condition: &Condition) -> Bits {
        let mut found = Bits::none(self.slots());
        let mut add = |name: &str| {
            for (slot, _) in self.groups.get(name).into_iter().flat_map(|group| &group.on) {
                found.insert(*slot);
            }
        };
        match condition {
            Condition::Equals(name) => add(name),
            Condition::In(names) => names.iter().for_each(|name| add(name)),
            other => {
                self.groups.keys().filter(|name| other.holds_for_text(name)).for_each(|name| add(name));
            }
        }
        found
    }
}

/// Whether the test, its negation aside, holds for what is registered of the instance.
fn fact_holds(test: &Test, instance: &super::Instance) -> bool {
    match &test.subject {
        Subject::Attribute(name) => instance
            .attributes
            .get(name)
            .is_some_and(|value| test.condition.holds_for_text(value.as_deref().unwrap_or_default())),
        Subject::Ec2InstanceId => {
            instance.ec2_instance_id.as_deref().is_some_and(|id| test.condition.holds_for_text(id))
        }
        Subject::AgentVersion => instance
            .agent_version
            .as_deref()
            .and_then(version)
            .is_some_and(|own| test.condition.holds_for(&own, version)),
        Subject::RegisteredAt => {
            let seconds = |time: vocabulary::Timestamp| time.as_millis().div_euclid(1000);
            let parse = |given: &str| date(given).map(seconds);
            test.condition.holds_for(&seconds(instance.registered_at), parse)
        }
        Subject::TaskGroup | Subject::RunningTasksCount | Subject::AgentConnected => false,
    }
}
