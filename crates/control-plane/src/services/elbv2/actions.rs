//! What a listener or rule does with a request: from the API's shapes into records and back.
//!
//! One action decides where a request goes. AWS lets authentication come before it; there is none here, and it is refused.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::errors;

use super::{
    errors::validation,
    records::{Action, Does, Redirect, WeightedGroup},
    targets::MOST_WEIGHT,
};
use crate::gateway::ApiError;

/// Target groups of one forward action.
pub const MOST_GROUPS: usize = 5;
/// A week: as long as a client may stay with a target group.
const MOST_STICKY_SECONDS: i32 = 604_800;
const CONTENT_TYPES: [&str; 5] =
    ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_LOAD_BALANCER_ACTION_EXCEPTION, message)
}

/// The actions of a request.
///
/// # Errors
/// `ValidationError`, `InvalidLoadBalancerAction`, `TooManyActions`, `TooManyTargetGroups`.
pub fn parse(given: Vec<elbv2::Action>) -> Result<Vec<Action>, ApiError> {
    let actions = given.into_iter().map(action).collect::<Result<Vec<_>, _>>()?;
    match actions.len() {
        0 => Err(validation("An action must be specified")),
        1 => Ok(actions),
        _ => Err(ApiError::new(
            &errors::TOO_MANY_ACTIONS_EXCEPTION,
            "You can specify only one action of the types 'forward', 'redirect' and 'fixed-response'",
        )),
    }
}

fn action(given: elbv2::Action) -> Result<Action, ApiError> {
    let Some(kind) = given.r#type else { return Err(validation("An action type must be specified")) };
    let fits = match kind {
        elbv2::ActionTypeEnum::Forward => {
            given.redirect_config.is_none() && given.fixed_response_config.is_none()
        }
        elbv2::ActionTypeEnum::Redirect => {
            given.forward_config.is_none() && given.fixed_response_config.is_none()
        }
        elbv2::ActionTypeEnum::FixedResponse => {
            given.forward_config.is_none() && given.redirect_config.is_none()
        }
        _ => true,
    };
    if !fits {
        return Err(invalid(format!("An action of the type '{kind}' has the configuration of another type")));
    }
    let does = match kind {
        elbv2::ActionTypeEnum::Forward => forward(given.target_group_arn, given.forward_config)?,
        elbv2::ActionTypeEnum::Redirect => redirect(given.redirect_config)?,
        elbv2::ActionTypeEnum::FixedResponse => fixed_response(given.fixed_response_config)?,
        elbv2::ActionTypeEnum::AuthenticateOidc
        | elbv2::ActionTypeEnum::AuthenticateCognito
        | elbv2::ActionTypeEnum::JwtValidation => {
            return Err(invalid(format!("Longshore does not support actions of the type '{kind}'")));
        }
    };
    Ok(Action { order: given.order, does })
}

fn forward(arn: Option<String>, config: Option<elbv2::ForwardActionConfig>) -> Result<Does, ApiError> {
    let config = config.unwrap_or_default();
    let tuples = config.target_groups.unwrap_or_default();
    let mut groups = Vec::new();
    for tuple in tuples {
        let Some(arn) = tuple.target_group_arn else {
            return Err(validation("A target group ARN must be specified"));
        };
        let weight = match tuple.weight {
            None => None,
            Some(weight) => {
                Some(u16::try_from(weight).ok().filter(|weight| *weight <= MOST_WEIGHT).ok_or_else(|| {
                    validation(format!(
                        "Target group weight '{weight}' must be between '0' and '{MOST_WEIGHT}'"
                    ))
                })?)
            }
        };
        if groups.iter().any(|group: &WeightedGroup| group.arn == arn) {
            return Err(validation(format!("Target group '{arn}' is specified more than once in an action")));
        }
        groups.push(WeightedGroup { arn, weight });
    }
    match (arn, groups.as_slice()) {
        (Some(arn), []) => groups.push(WeightedGroup { arn, weight: None }),
        (Some(arn), [group]) if group.arn == arn => {}
        (Some(_), _) => {
            return Err(validation(
                "You cannot specify both a target group ARN and a list of target groups in a forward action",
            ));
        }
        (None, []) => return Err(validation("A target group ARN must be specified")),
        (None, _) => {}
    }
    if groups.len() > MOST_GROUPS {
        return Err(ApiError::new(
            &errors::TOO_MANY_TARGET_GROUPS_EXCEPTION,
            format!("You can specify at most '{MOST_GROUPS}' target groups for an action"),
        ));
    }
    let sticky_seconds = match config.target_group_stickiness_config {
        Some(sticky) if sticky.enabled == Some(true) => match sticky.duration_seconds {
            Some(seconds @ 1..=MOST_STICKY_SECONDS) => Some(seconds.unsigned_abs()),
            _ => {
                return Err(validation(format!(
                    "Target group stickiness duration must be between '1' and '{MOST_STICKY_SECONDS}' seconds"
                )));
            }
        },
        _ => None,
    };
    Ok(Does::Forward { groups, sticky_seconds })
}

fn redirect(config: Option<elbv2::RedirectActionConfig>) -> Result<Does, ApiError> {
    let config = config.ok_or_else(|| invalid("A redirect action must have a redirect configuration"))?;
    let port = config.port.unwrap_or_else(|| "#{port}".to_owned());
    if port != "#{port}" && port.parse::<u16>().ok().is_none_or(|port| port == 0) {
        return Err(invalid(format!("The redirect port '{port}' must be between 1 and 65535, or #{{port}}")));
    }
    let path = config.path.unwrap_or_else(|| "/#{path}".to_owned());
    if !path.starts_with('/') {
        return Err(invalid(format!("The redirect path '{path}' must start with '/'")));
    }
    let redirect = Redirect {
        protocol: config.protocol.unwrap_or_else(|| "#{protocol}".to_owned()),
        host: config.host.unwrap_or_else(|| "#{host}".to_owned()),
        port,
        path,
        query: config.query.unwrap_or_else(|| "#{query}".to_owned()),
        permanent: match config.status_code {
            Some(elbv2::RedirectActionStatusCodeEnum::Http301) => true,
            Some(elbv2::RedirectActionStatusCodeEnum::Http302) => false,
            None => return Err(invalid("A redirect action must have a status code")),
        },
    };
    let parts = [&redirect.protocol, &redirect.host, &redirect.port, &redirect.path];
    if parts.map(String::as_str) == ["#{protocol}", "#{host}", "#{port}", "/#{path}"]
        && redirect.query == "#{query}"
    {
        return Err(invalid("The redirect configuration is not valid because it creates a loop."));
    }
    Ok(Does::Redirect(redirect))
}

fn fixed_response(config: Option<elbv2::FixedResponseActionConfig>) -> Result<Does, ApiError> {
    let config =
        config.ok_or_else(|| invalid("A fixed-response action must have a fixed-response configuration"))?;
    let code = config.status_code.unwrap_or_default();
    let status = code.parse().map_err(|_| invalid(format!("The status code '{code}' is not valid")))?;
    if let Some(given) = config.content_type.as_deref().filter(|given| !given.is_empty())
        && !CONTENT_TYPES.contains(&given)
    {
        return Err(invalid(format!(
            "The ContentType must be one of: {}",
            CONTENT_TYPES.map(|one| format!("'{one}'")).join(", ")
        )));
    }
    let content_type = config.content_type.filter(|given| !given.is_empty());
    Ok(Does::FixedResponse { status, content_type, body: config.message_body })
}

/// As the API shows actions.
pub fn shapes(actions: &[Action]) -> Vec<elbv2::Action> {
    actions.iter().map(shape).collect()
}

fn shape(action: &Action) -> elbv2::Action {
    let mut shown = elbv2::Action { order: action.order, ..elbv2::Action::default() };
    match &action.does {
        Does::Forward { groups, sticky_seconds } => {
            shown.r#type = Some(elbv2::ActionTypeEnum::Forward);
            if let [group] = groups.as_slice() {
                shown.target_group_arn = Some(group.arn.clone());
            }
            let tuples = groups.iter().map(|group| elbv2::TargetGroupTuple {
                target_group_arn: Some(group.arn.clone()),
                weight: Some(i32::from(group.weight.unwrap_or(1))),
            });
            shown.forward_config = Some(elbv2::ForwardActionConfig {
                target_groups: Some(tuples.collect()),
                target_group_stickiness_config: Some(elbv2::TargetGroupStickinessConfig {
                    enabled: Some(sticky_seconds.is_some()),
                    duration_seconds: sticky_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
                }),
            });
        }
        Does::Redirect(redirect) => {
            shown.r#type = Some(elbv2::ActionTypeEnum::Redirect);
            shown.redirect_config = Some(elbv2::RedirectActionConfig {
                protocol: Some(redirect.protocol.clone()),
                host: Some(redirect.host.clone()),
                port: Some(redirect.port.clone()),
                path: Some(redirect.path.clone()),
                query: Some(redirect.query.clone()),
                status_code: Some(if redirect.permanent {
                    elbv2::RedirectActionStatusCodeEnum::Http301
                } else {
                    elbv2::RedirectActionStatusCodeEnum::Http302
                }),
            });
        }
        Does::FixedResponse { status, content_type, body } => {
            shown.r#type = Some(elbv2::ActionTypeEnum::FixedResponse);
            shown.fixed_response_config = Some(elbv2::FixedResponseActionConfig {
                status_code: Some(status.to_string()),
                content_type: content_type.clone(),
                message_body: body.clone(),
            });
        }
    }
    shown
}
