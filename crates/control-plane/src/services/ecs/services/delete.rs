//! DeleteService: the tasks are stopped, then it is INACTIVE.

use aws_shapes_ecs::{DeleteServiceRequest, DeleteServiceResponse};

use super::{
    names as own,
    records::{Service, ServiceStatus, service_key},
    show,
};
use crate::{
    gateway::{ApiError, Call},
    services::ecs::names::{self, cluster_name, invalid},
};

pub async fn delete(call: Call, input: DeleteServiceRequest) -> Result<DeleteServiceResponse, ApiError> {
    let scope = call.scope().clone();
    let cluster = cluster_name(&scope, input.cluster.as_deref())?;
    let name = own::service_name(&scope, &cluster, input.service.as_deref().unwrap_or_default())?;
    let force = input.force == Some(true);
    let deleted = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, &scope, &cluster)?;
            let key = service_key(&cluster, &name);
            let found = tx
                .get::<Service>(&scope, &key)
                .filter(|service| service.status != ServiceStatus::Inactive)
                .ok_or_else(own::service_not_found)?;
            let mut service = (*found).clone();
            if service.status == ServiceStatus::Draining {
                return Ok::<_, ApiError>(service);
            }
            if !force && service.desired_count > 0 {
                return Err(invalid("The service cannot be stopped while it is scaled above 0."));
            }
            if !force && service.state.task_sets.iter().any(|set| set.scale_percent > 0.0) {
                return Err(invalid("The service cannot be stopped while its task sets are scaled above 0."));
            }
            service.status = ServiceStatus::Draining;
            service.desired_count = 0;
            service.deleted_at = Some(call.now());
            tx.put(&scope, &key, service.clone());
            Ok(service)
        })
        .await?;
    let shown = call.services.state.read(|view| show::service(view, &scope, &deleted, true));
    Ok(DeleteServiceResponse { service: Some(shown) })
}
