//! Internet gateways. What they and the routes to them bring about is in [`routing`](super::routing).

use std::sync::Arc;

use aws_schema::{Operation, OperationTable, Shape, ShapeError, StructureTable, Unit, Value};
use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    AttachInternetGatewayRequest, CreateInternetGatewayRequest, CreateInternetGatewayResult,
    DeleteInternetGatewayRequest, DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult,
    DetachInternetGatewayRequest,
};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::{
    errors::{dependency, error, gateway_not_found, invalid_value, vpc_not_found},
    filters::{Filtered, Filters, chosen, one},
    networks, page,
    records::{InternetGateway, Vpc},
    routing, tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// As many as there can be VPCs, and some to prepare.
const MOST_GATEWAYS: usize = 250;

fn existing(tx: &mut Tx, scope: &Scope, id: &str) -> Result<InternetGateway, ApiError> {
    tx.get::<InternetGateway>(scope, id).map(Arc::unwrap_or_clone).ok_or_else(|| gateway_not_found(id))
}

pub async fn create(
    call: Call,
    input: CreateInternetGatewayRequest,
) -> Result<CreateInternetGatewayResult, ApiError> {
    let scope = call.scope();
    let tags = tags::specified("internet-gateway", input.tag_specifications)?;
    let gateway = call
        .services
        .state
        .transact(|tx| {
            if tx.view().scan::<InternetGateway>(scope).count() >= MOST_GATEWAYS {
                return Err(error(
                    "InternetGatewayLimitExceeded",
                    "The maximum number of internet gateways has been reached.",
                ));
            }
            let id = format!("igw-{}", call.services.ids().hex(17));
            let gateway = InternetGateway { id, vpc_id: None, tags: tags.clone() };
            tx.put(scope, &gateway.id, gateway.clone());
            Ok(gateway)
        })
        .await?;
    Ok(CreateInternetGatewayResult { internet_gateway: Some(shape(scope, &gateway)) })
}

pub async fn attach(call: Call, input: AttachInternetGatewayRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.internet_gateway_id.unwrap_or_default();
    let vpc_id = input.vpc_id.unwrap_or_default();
    networks::ensure_default(&call.services, scope).await?;
    call.services
        .state
        .transact(|tx| {
            let mut gateway = existing(tx, scope, &id)?;
            tx.get::<Vpc>(scope, &vpc_id).ok_or_else(|| vpc_not_found(&vpc_id))?;
            if let Some(attached) = &gateway.vpc_id {
                return Err(error(
                    "Resource.AlreadyAssociated",
                    format!("resource {id} is already attached to network {attached}"),
                ));
            }
            if !tx.by_index::<InternetGateway>(scope, "vpc", &vpc_id).is_empty() {
                return Err(invalid_value(format!(
                    "Network {vpc_id} already has an internet gateway attached"
                )));
            }
            gateway.vpc_id = Some(vpc_id.clone());
            routing::changing(tx, scope, &vpc_id, |tx| {
                tx.put(scope, &id, gateway);
                Ok(())
            })
        })
        .await?;
    Ok(Unit)
}

pub async fn detach(call: Call, input: DetachInternetGatewayRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.internet_gateway_id.unwrap_or_default();
    let vpc_id = input.vpc_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut gateway = existing(tx, scope, &id)?;
            if gateway.vpc_id.as_deref() != Some(vpc_id.as_str()) {
                return Err(error(
                    "Gateway.NotAttached",
                    format!("resource {id} is not attached to network {vpc_id}"),
                ));
            }
            if routing::has_public_tasks(tx, scope, |interface| interface.vpc_id == vpc_id) {
                return Err(dependency(format!(
                    "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
                )));
            }
            gateway.vpc_id = None;
            tx.put(scope, &id, gateway);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

pub async fn delete(call: Call, input: DeleteInternetGatewayRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.internet_gateway_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            if existing(tx, scope, &id)?.vpc_id.is_some() {
                return Err(dependency(format!(
                    "The internetGateway '{id}' has dependencies and cannot be deleted."
                )));
            }
            tx.delete::<InternetGateway>(scope, &id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

struct Shown<'a>(&'a Scope, &'a InternetGateway);

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let attached = || self.1.vpc_id.iter();
        match name {
            "internet-gateway-id" => one(&self.1.id),
            "owner-id" => one(&self.0.account),
            "attachment.vpc-id" => Some(attached().cloned().collect()),
            "attachment.state" => Some(attached().map(|_| "available".to_owned()).collect()),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.1.tags
    }
}

/// The operation of that name, except that attachments are `available`: EC2 says so, clients wait for it, and the model of the
/// API does not know the word.
pub struct DescribeInternetGateways;

impl Operation for DescribeInternetGateways {
    type Input = DescribeInternetGatewaysRequest;
    type Output = Described;
    const TABLE: &'static OperationTable = ec2::DescribeInternetGateways::TABLE;
}

#[derive(Debug, Clone, PartialEq)]
pub struct Described(pub DescribeInternetGatewaysResult);

impl Shape for Described {
    const TABLE: &'static StructureTable = DescribeInternetGatewaysResult::TABLE;

    fn from_value(mut value: Value) -> Result<Self, ShapeError> {
        rename_states(&mut value, "attached");
        DescribeInternetGatewaysResult::from_value(value).map(Described)
    }

    fn into_value(self) -> Value {
        let mut value = self.0.into_value();
        rename_states(&mut value, "available");
        value
    }
}

fn rename_states(result: &mut Value, state: &str) {
    fn member<'a>(of: &'a mut Value, table: &StructureTable, name: &str) -> Option<&'a mut Value> {
        let at = table.members.iter().position(|member| member.name == name)?;
        match of {
            Value::Structure(members) => members.get_mut(at)?.as_mut(),
            _ => None,
        }
    }
    fn items<'a>(of: &'a mut Value, table: &StructureTable, name: &str) -> &'a mut [Value] {
        match member(of, table, name) {
            Some(Value::List(items)) => items,
            _ => &mut [],
        }
    }
    for gateway in items(result, DescribeInternetGatewaysResult::TABLE, "InternetGateways") {
        for attachment in items(gateway, ec2::InternetGateway::TABLE, "Attachments") {
            if let Some(found) = member(attachment, ec2::InternetGatewayAttachment::TABLE, "State") {
                *found = Value::String(state.to_owned());
            }
        }
    }
}

pub async fn describe(call: Call, input: DescribeInternetGatewaysRequest) -> Result<Described, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let view = call.services.state.view();
    let is_shown = |gateway: &InternetGateway| filters.match_all(&Shown(scope, gateway));
    let found = chosen(&view, scope, input.internet_gateway_ids, gateway_not_found, is_shown)?;
    let key = |gateway: &Arc<InternetGateway>| gateway.id.clone();
    let page = page(&call, "internet-gateways", found, key, input.next_token, input.max_results)?;
    Ok(Described(DescribeInternetGatewaysResult {
        internet_gateways: Some(page.items.iter().map(|gateway| shape(scope, gateway)).collect()),
        next_token: page.next_token,
    }))
}

fn shape(scope: &Scope, gateway: &InternetGateway) -> ec2::InternetGateway {
    let attachments = gateway.vpc_id.iter().map(|vpc_id| ec2::InternetGatewayAttachment {
        state: Some(ec2::AttachmentStatus::Attached),
        vpc_id: Some(vpc_id.clone()),
    });
    ec2::InternetGateway {
        attachments: Some(attachments.collect()),
        internet_gateway_id: Some(gateway.id.clone()),
        owner_id: Some(scope.account.to_string()),
        tags: Some(tags::shape(&gateway.tags)),
    }
}
