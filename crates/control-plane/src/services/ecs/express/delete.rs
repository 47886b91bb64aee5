//! DeleteExpressGatewayService, and the removal of what was made for services that are gone.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{DeleteExpressGatewayServiceRequest, DeleteExpressGatewayServiceResponse};
use vocabulary::{Scope, Timestamp};

use super::{find, infrastructure, key_of, records::Express, show};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    services::{
        Services,
        ecs::services::{
            self,
            names::service_not_active,
            records::{Service, ServiceStatus},
        },
    },
};

pub async fn delete(
    call: Call,
    input: DeleteExpressGatewayServiceRequest,
) -> Result<DeleteExpressGatewayServiceResponse, ApiError> {
    let scope = call.scope();
    let key = key_of(scope, input.service_arn.as_deref())?;
    let found = call.services.state.read(|view| find(view, scope, &key))?;
    if found.deleted {
        return Err(service_not_active());
    }
    let deleted = call
        .services
        .state
        .transact(|tx| {
            let there = tx.get::<Express>(scope, &key).ok_or_else(service_not_active)?;
            let deleted = Express { deleted: true, updated_at: call.now(), ..(*there).clone() };
            tx.put(scope, &key, deleted.clone());
            Ok::<_, ApiError>(deleted)
        })
        .await?;
    if deleted.complete {
        stop(&call, &deleted).await?;
    }
    let view = call.services.state.view();
    let shown = show::shape(&view, &call, &deleted, false);
    Ok(DeleteExpressGatewayServiceResponse { service: Some(shown) })
}

/// Deletes its ECS service, unless that is under way.
async fn stop(call: &Call, express: &Express) -> Result<(), ApiError> {
    let there = call.services.state.read(|view| view.get::<Service>(call.scope(), &express.key()));
    if there.is_some_and(|service| service.status == ServiceStatus::Active) {
        let input = ecs::DeleteServiceRequest {
            cluster: Some(express.cluster.clone()),
            service: Some(express.name.clone()),
            force: Some(true),
        };
        services::delete::delete(call.clone(), input).await?;
    }
    Ok(())
}

/// Removes what was made for services that are gone.
///
/// # Errors
/// The first; the others are gone through all the same.
pub async fn sweep(services: &Arc<Services>, now: Timestamp) -> Result<(), ApiError> {
    let all: Vec<(Scope, Arc<Express>)> = services
        .state
        .read(|view| view.scan_all::<Express>().map(|found| (found.scope, found.value)).collect());
    let mut outcome = Ok(());
    for (scope, express) in all {
        let context = Context {
            principal: Principal::root(&scope.account, "ecs.amazonaws.com"),
            scope,
            request_id: "express".to_owned(),
            now,
            host: String::new(),
            origin: Default::default(),
        };
        let call = Call { services: Arc::clone(services), context: Arc::new(context) };
        outcome = outcome.and(sweep_one(&call, &express).await);
    }
    outcome
}

/// Whether its ECS service is there, though it may be on its way out.
fn is_served(call: &Call, express: &Express) -> bool {
    let service = call.services.state.read(|view| view.get::<Service>(call.scope(), &express.key()));
    service.is_some_and(|service| service.status != ServiceStatus::Inactive)
}

/// Removes what was made for a service that is gone, and in the end its record.
///
/// # Errors
/// What could not be removed, such as a group that is still in use: the next attempt goes on there.
pub async fn sweep_one(call: &Call, express: &Express) -> Result<(), ApiError> {
    if !express.deleted && !express.complete {
        return Ok(());
    }
    // One that was never complete has no ECS service of its own.
    if express.complete && is_served(call, express) {
        return if express.deleted { stop(call, express).await } else { Ok(()) };
    }
    let (scope, key) = (call.scope(), express.key());
    // One that is being made is about to find the load balancer.
    let shares = |other: &Express| {
        let making = !other.complete && !other.deleted;
        other.key() != key
            && (other.made.load_balancer.is_some() || making)
            && other.made.subnets == express.made.subnets
    };
    let shared =
        call.services.state.read(|view| view.scan::<Express>(scope).any(|(_, other)| shares(&other)));
    let mut made = express.made.clone();
    let outcome = infrastructure::remove(call, express, &mut made, shared).await;
    call.services
        .state
        .transact(|tx| {
            let Some(there) = tx.get::<Express>(scope, &key) else { return Ok(()) };
            // What was made of it meanwhile goes next time.
            if there.suffix != express.suffix
                || there.complete != express.complete
                || there.made != express.made
            {
                return Ok(());
            }
            match outcome {
                Ok(()) => _ = tx.delete::<Express>(scope, &key),
                Err(ref error) => {
                    let refusal = error.code.starts_with("AccessDenied").then(|| error.message.clone());
                    let left = Express { made: made.clone(), deleted: true, refusal, ..(*there).clone() };
                    tx.put(scope, &key, left);
                }
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    match outcome {
        // The last interfaces go in a moment.
        Err(error) if error.code.starts_with("DependencyViolation") => Ok(()),
        outcome => outcome,
    }
}
