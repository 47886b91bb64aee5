//! Bucket policies, and what is kept from the public whatever they say.

use aws_schema::Unit;
use aws_shapes_s3 as s3;

use super::{
    access::is_public,
    bucket, errors,
    names::bucket_arn,
    owned_as_expected,
    records::{Bucket, PublicAccessBlock},
    required,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        iam::policy_document::{self, Use},
    },
};

/// As on AWS: 20 KiB.
const LONGEST_POLICY_BYTES: usize = 20 * 1024;

pub async fn put(call: Call, input: s3::PutBucketPolicyRequest) -> Result<Unit, ApiError> {
    let name = required(input.bucket)?;
    let text = input.policy.unwrap_or_default();
    if text.len() > LONGEST_POLICY_BYTES {
        return Err(ApiError::undeclared(
            "PolicyTooLarge",
            400,
            "The policy exceeds the maximum allowed document size.",
        ));
    }
    let document = policy_document::parse(&text, Use::Resource)
        .map_err(|error| errors::malformed_policy(error.to_string()))?;
    let (arn, inside) = (bucket_arn(&name), format!("{}/", bucket_arn(&name)));
    for statement in &document.statements {
        let resources = statement.resources.as_ref().filter(|resources| !resources.members.is_empty());
        let resources =
            resources.ok_or_else(|| errors::malformed_policy("Missing required field Resource"))?;
        if resources.members.iter().any(|resource| *resource != arn && !resource.starts_with(&inside)) {
            return Err(errors::malformed_policy("Policy has invalid resource"));
        }
        let about_s3 = |action: &String| action == "*" || action.to_ascii_lowercase().starts_with("s3:");
        if !statement.actions.members.iter().all(about_s3) {
            return Err(errors::malformed_policy("Policy has invalid action"));
        }
    }
    let public = is_public(&document);
    change(&call, &name, input.expected_bucket_owner.as_deref(), |found| {
        if public && found.public_access.is_some_and(|block| block.block_policy) {
            return Err(ApiError::undeclared(
                "AccessDenied",
                403,
                format!(
                    "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"{arn}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
                    call.principal.arn
                ),
            ));
        }
        Ok(Bucket { policy: Some(text.clone()), ..found.clone() })
    })
    .await
}

pub async fn get(
    call: Call,
    input: s3::GetBucketPolicyRequest,
) -> Result<s3::GetBucketPolicyOutput, ApiError> {
    let name = required(input.bucket)?;
    let found =
        call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()))?;
    let policy = found.policy.clone().ok_or_else(errors::no_such_policy)?;
    Ok(s3::GetBucketPolicyOutput { policy: Some(policy) })
}

pub async fn delete(call: Call, input: s3::DeleteBucketPolicyRequest) -> Result<Unit, ApiError> {
    let name = required(input.bucket)?;
    change(&call, &name, input.expected_bucket_owner.as_deref(), |found| {
        Ok(Bucket { policy: None, ..found.clone() })
    })
    .await
}

pub async fn status(
    call: Call,
    input: s3::GetBucketPolicyStatusRequest,
) -> Result<s3::GetBucketPolicyStatusOutput, ApiError> {
    let name = required(input.bucket)?;
    let found =
        call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()))?;
    let text = found.policy.as_deref().ok_or_else(errors::no_such_policy)?;
    let public = policy_document::parse(text, Use::Resource).is_ok_and(|document| is_public(&document));
    Ok(s3::GetBucketPolicyStatusOutput { policy_status: Some(s3::PolicyStatus { is_public: Some(public) }) })
}

pub async fn put_block(call: Call, input: s3::PutPublicAccessBlockRequest) -> Result<Unit, ApiError> {
    let name = required(input.bucket)?;
    let given = input.public_access_block_configuration.ok_or_else(errors::malformed_xml)?;
    let block = PublicAccessBlock {
        block_acls: given.block_public_acls.unwrap_or_default(),
        ignore_acls: given.ignore_public_acls.unwrap_or_default(),
        block_policy: given.block_public_policy.unwrap_or_default(),
        restrict_buckets: given.restrict_public_buckets.unwrap_or_default(),
    };
    change(&call, &name, input.expected_bucket_owner.as_deref(), |found| {
        Ok(Bucket { public_access: Some(block), ..found.clone() })
    })
    .await
}

pub async fn get_block(
    call: Call,
    input: s3::GetPublicAccessBlockRequest,
) -> Result<s3::GetPublicAccessBlockOutput, ApiError> {
    let name = required(input.bucket)?;
    let found =
        call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()))?;
    let block = found.public_access.ok_or_else(errors::no_public_access_block)?;
    Ok(s3::GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(s3::PublicAccessBlockConfiguration {
            block_public_acls: Some(block.block_acls),
            ignore_public_acls: Some(block.ignore_acls),
            block_public_policy: Some(block.block_policy),
            restrict_public_buckets: Some(block.restrict_buckets),
        }),
    })
}

pub async fn delete_block(call: Call, input: s3::DeletePublicAccessBlockRequest) -> Result<Unit, ApiError> {
    let name = required(input.bucket)?;
    change(&call, &name, input.expected_bucket_owner.as_deref(), |found| {
        Ok(Bucket { public_access: None, ..found.clone() })
    })
    .await
}

async fn change(
    call: &Call,
    name: &str,
    expected_owner: Option<&str>,
    changed: impl Fn(&Bucket) -> Result<Bucket, ApiError>,
) -> Result<Unit, ApiError> {
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Bucket>(&global(), name).ok_or_else(errors::no_such_bucket)?;
            owned_as_expected(&found, expected_owner)?;
            let changed = changed(&found)?;
            tx.put(&global(), name, changed);
            Ok::<_, ApiError>(Unit)
        })
        .await
}
