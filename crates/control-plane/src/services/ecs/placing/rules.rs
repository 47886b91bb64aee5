//! Constraints and strategies, from the API's words to the core's.

use aws_shapes_ecs as ecs;
use placement::{Constraint, MOST_CONSTRAINTS, MOST_STRATEGIES, RuleError, Strategy};

use crate::{
    gateway::ApiError,
    services::ecs::{names::invalid, providers, tasks::launch::Launch},
};

/// What binds and what is preferred.
#[derive(Debug, Default, PartialEq)]
pub struct Rules {
    pub constraints: Vec<Constraint>,
    pub strategies: Vec<Strategy>,
}

impl Rules {
    /// Those of a request or a service. Nothing is filled in.
    ///
    /// # Errors
    /// `InvalidParameterException` for the first that is wrong, and for too many.
    pub fn parse(
        constraints: &[ecs::PlacementConstraint],
        strategies: &[ecs::PlacementStrategy],
    ) -> Result<Rules, ApiError> {
        if constraints.len() > MOST_CONSTRAINTS {
            return Err(wrong(&RuleError::TooManyConstraints));
        }
        if strategies.len() > MOST_STRATEGIES {
            return Err(wrong(&RuleError::TooManyStrategies));
        }
        Ok(Rules {
            constraints: constraints.iter().map(constraint).collect::<Result<_, _>>()?,
            strategies: strategies.iter().map(strategy).collect::<Result<_, _>>()?,
        })
    }

    /// Those of a launch and its definition together, with the default strategies where there are none: spread for a
    /// service's tasks, random for others.
    pub(super) fn of(launch: &Launch<'_>) -> Result<Rules, ApiError> {
        let mut rules = Rules::parse(launch.constraints, launch.strategies)?;
        let defined = launch.definition.definition.0.placement_constraints.iter().flatten();
        for defined in defined {
            rules.constraints.push(of_definition(defined)?);
        }
        if rules.constraints.len() > MOST_CONSTRAINTS {
            return Err(wrong(&RuleError::TooManyConstraints));
        }
        if rules.strategies.is_empty() {
            rules.strategies = if launch.group().starts_with("service:") {
                Strategy::service_default()
            } else {
                vec![Strategy::Random]
            };
        }
        Ok(rules)
    }
}

/// A constraint of a task definition, which can only be `memberOf`.
///
/// # Errors
/// `InvalidParameterException`, also for an expression that cannot be read.
pub fn of_definition(given: &ecs::TaskDefinitionPlacementConstraint) -> Result<Constraint, ApiError> {
    Constraint::member_of(given.expression.as_deref()).map_err(|error| wrong(&error))
}

/// That an instance belongs to the capacity provider.
pub(super) fn of_provider(name: &str) -> Result<Constraint, ApiError> {
    Constraint::member_of(Some(&providers::constraint(name))).map_err(|error| wrong(&error))
}

fn constraint(given: &ecs::PlacementConstraint) -> Result<Constraint, ApiError> {
    let expression = given.expression.as_deref();
    match given.r#type {
        Some(ecs::PlacementConstraintType::DistinctInstance) => Constraint::distinct_instance(expression),
        Some(ecs::PlacementConstraintType::MemberOf) => Constraint::member_of(expression),
        None => return Err(invalid("The type of a placement constraint cannot be empty.")),
    }
    .map_err(|error| wrong(&error))
}

fn strategy(given: &ecs::PlacementStrategy) -> Result<Strategy, ApiError> {
    let field = given.field.as_deref();
    match given.r#type {
        Some(ecs::PlacementStrategyType::Spread) => Strategy::spread(field),
        Some(ecs::PlacementStrategyType::Binpack) => Strategy::binpack(field),
        Some(ecs::PlacementStrategyType::Random) => Ok(Strategy::Random),
        None => return Err(invalid("The type of a placement strategy cannot be empty.")),
    }
    .map_err(|error| wrong(&error))
}

fn wrong(error: &RuleError) -> ApiError {
    invalid(error.to_string())
}
