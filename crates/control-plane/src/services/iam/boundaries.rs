//! Permissions boundaries of users and roles. They are kept and shown; nothing is authorized by them yet.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use state_store::Tx;
use vocabulary::Scope;

use super::{
    errors, names, policies,
    records::{self, Holder, Role, User},
};
use crate::gateway::{ApiError, Call};

/// What can have a boundary.
pub trait Bounded: Holder {
    fn with_boundary(&self, boundary: Option<String>) -> Self;
}

impl Bounded for User {
    fn with_boundary(&self, boundary: Option<String>) -> User {
        User { boundary, ..self.clone() }
    }
}

impl Bounded for Role {
    fn with_boundary(&self, boundary: Option<String>) -> Role {
        Role { boundary, ..self.clone() }
    }
}

/// Checks that `boundary` is a policy that is there.
///
/// # Errors
/// `InvalidInput`, `NoSuchEntity`.
pub fn check(tx: &mut Tx, scope: &Scope, boundary: Option<&String>) -> Result<(), ApiError> {
    let Some(arn) = boundary else { return Ok(()) };
    if policies::PolicyArn::parse(arn).is_none() {
        return Err(errors::invalid_input(format!("ARN {arn} is not valid.")));
    }
    if policies::exists(tx, scope, arn) {
        return Ok(());
    }
    Err(errors::no_such_entity(format!("Scope ARN: {arn} does not exist or is not attachable.")))
}

pub fn shape(boundary: Option<&String>) -> Option<iam::AttachedPermissionsBoundary> {
    boundary.map(|arn| iam::AttachedPermissionsBoundary {
        permissions_boundary_type: Some(iam::PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

/// Sets or, with none, removes the boundary of the user or role named `name`.
///
/// # Errors
/// `NoSuchEntity`, `UnmodifiableEntity`, `InvalidInput`.
pub async fn set<T: Bounded>(call: &Call, name: &str, boundary: Option<String>) -> Result<Unit, ApiError> {
    let scope = names::of(call);
    call.services
        .state
        .transact(|tx| {
            let holder = records::get::<T>(tx, &scope, name)?;
            holder.changeable()?;
            check(tx, &scope, boundary.as_ref())?;
            tx.put(&scope, &names::key(name), holder.with_boundary(boundary.clone()));
            Ok(Unit)
        })
        .await
}
