//! Buckets: made, listed, looked at, taken away when they are empty.

use std::sync::Arc;

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use sha2::{Digest, Sha256};
use vocabulary::{AccountId, Region};

use super::{
    bucket, errors,
    names::{bucket_arn, check_bucket},
    owned_as_expected,
    records::{Bucket, Object, PublicAccessBlock, Upload},
    required, tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

/// Of one account, as on AWS.
const MOST_BUCKETS: usize = 10_000;
const MOST_LISTED: usize = 10_000;
/// The region whose buckets have no location constraint.
const FIRST_REGION: &str = "us-east-1";

pub async fn create(call: Call, input: s3::CreateBucketRequest) -> Result<s3::CreateBucketOutput, ApiError> {
    let name = required(input.bucket)?;
    check_bucket(&name)?;
    let grants = [
        &input.grant_full_control,
        &input.grant_read,
        &input.grant_read_acp,
        &input.grant_write,
        &input.grant_write_acp,
    ];
    let ownership = input.object_ownership.as_ref().map(|ownership| ownership.as_str());
    if grants.iter().any(|grant| grant.is_some())
        || input.acl.as_ref().is_some_and(|acl| acl.as_str() != "private")
        || ownership.is_some_and(|ownership| ownership != "BucketOwnerEnforced")
    {
        return Err(ApiError::undeclared(
            "InvalidBucketAclWithObjectOwnership",
            400,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(errors::not_implemented("object locks"));
    }
    if input.bucket_namespace.as_ref().is_some_and(|namespace| namespace.as_str() != "global") {
        return Err(errors::not_implemented("bucket namespaces of accounts"));
    }
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.location.is_some() || configuration.bucket.is_some() {
        return Err(errors::not_implemented("directory buckets"));
    }
    let region =
        region_of(&call.scope().region, configuration.location_constraint.as_ref().map(|one| one.as_str()))?;
    let pairs = configuration.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let tags = tags::of_a_bucket(pairs)?;
    let made = Bucket {
        name: name.clone(),
        owner: call.scope().account.clone(),
        region,
        created_at: call.now(),
        tags,
        policy: None,
        public_access: Some(PublicAccessBlock::ALL),
    };
    let scope = global();
    call.services
        .state
        .transact(|tx| {
            if let Some(there) = tx.get::<Bucket>(&scope, &name) {
                return match there.owner == made.owner {
                    false => Err(errors::bucket_exists()),
                    // As ever in the first region: making it again does nothing.
                    true if made.region.as_str() == FIRST_REGION && there.region == made.region => Ok(()),
                    true => Err(errors::bucket_owned()),
                };
            }
            let owned = tx.view().scan::<Bucket>(&scope).filter(|(_, bucket)| bucket.owner == made.owner);
            if owned.count() >= MOST_BUCKETS {
                return Err(errors::too_many_buckets());
            }
            tx.put(&scope, &name, made.clone());
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(s3::CreateBucketOutput { location: Some(format!("/{name}")), bucket_arn: Some(bucket_arn(&name)) })
}

/// Where a bucket comes to lie: what it says has to be the region that is asked, except in the first one, which asks for all.
fn region_of(asked: &Region, constraint: Option<&str>) -> Result<Region, ApiError> {
    match (asked.as_str(), constraint.filter(|constraint| !constraint.is_empty())) {
        (FIRST_REGION, None) => Ok(asked.clone()),
        (FIRST_REGION, Some(FIRST_REGION)) => Err(errors::invalid_location()),
        (FIRST_REGION, Some("EU")) => "eu-west-1".parse().map_err(|_| errors::invalid_location()),
        (FIRST_REGION, Some(other)) => other.parse().map_err(|_| errors::invalid_location()),
        (_, None) => Err(errors::illegal_location()),
        (asked_name, Some(other)) if asked_name == other => Ok(asked.clone()),
        (_, Some(other)) => Err(errors::location_of_another_region(other)),
    }
}

pub async fn head(call: Call, input: s3::HeadBucketRequest) -> Result<s3::HeadBucketOutput, ApiError> {
    let found = find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    Ok(s3::HeadBucketOutput {
        bucket_region: Some(found.region.to_string()),
        bucket_arn: Some(bucket_arn(&found.name)),
        access_point_alias: Some(false),
        ..Default::default()
    })
}

pub async fn list(call: Call, input: s3::ListBucketsRequest) -> Result<s3::ListBucketsOutput, ApiError> {
    const LIST: &str = "s3 buckets";
    let owner = &call.scope().account;
    let most = match input.max_buckets {
        None => MOST_LISTED,
        Some(number) => {
            usize::try_from(number).ok().filter(|number| (1..=MOST_LISTED).contains(number)).ok_or_else(
                || errors::invalid_argument("Argument max-buckets must be an integer between 1 and 10000"),
            )?
        }
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let region = input.bucket_region.as_deref();
    let page = call.services.state.read(|view| {
        let all = view.scan_prefix::<Bucket>(&global(), &prefix);
        let own = all.map(|(_, bucket)| bucket).filter(|bucket| {
            bucket.owner == *owner && region.is_none_or(|region| region == bucket.region.as_str())
        });
        let key = |bucket: &Arc<Bucket>| bucket.name.clone();
        call.services.page_tokens.page(LIST, own, key, input.continuation_token.as_deref(), most)
    });
    let page = page.map_err(|_| errors::invalid_argument("The continuation token provided is incorrect"))?;
    let show = |bucket: &Arc<Bucket>| s3::Bucket {
        name: Some(bucket.name.clone()),
        creation_date: Some(ShapeTime::from_millis(bucket.created_at.as_millis())),
        bucket_region: Some(bucket.region.to_string()),
        bucket_arn: Some(bucket_arn(&bucket.name)),
    };
    Ok(s3::ListBucketsOutput {
        buckets: Some(page.items.iter().map(show).collect()),
        owner: Some(owner_of(owner)),
        continuation_token: page.next_token,
        prefix: input.prefix,
    })
}

/// Only an empty one goes; with it go uploads that were never completed.
pub async fn delete(call: Call, input: s3::DeleteBucketRequest) -> Result<aws_schema::Unit, ApiError> {
    let name = required(input.bucket)?;
    let (scope, prefix) = (global(), format!("{name}/"));
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Bucket>(&scope, &name).ok_or_else(errors::no_such_bucket)?;
            owned_as_expected(&found, input.expected_bucket_owner.as_deref())?;
            if tx.view().scan_prefix::<Object>(&scope, &prefix).next().is_some()
                || !tx.scan_prefix::<Object>(&scope, &prefix).is_empty()
            {
                return Err(errors::bucket_not_empty());
            }
            tx.delete::<Bucket>(&scope, &name);
            Ok::<_, ApiError>(())
        })
        .await?;
    let left: Vec<Arc<Upload>> = call
        .services
        .state
        .read(|view| view.scan_prefix::<Upload>(&scope, &prefix).map(|(_, upload)| upload).collect());
    for upload in left {
        // What fails here is swept: a part of no upload, an upload of no bucket.
        if let Err(error) = super::uploads::forget(&call.services, &upload).await {
            tracing::warn!(%error, bucket = name, "an upload of a deleted bucket is left for later");
        }
    }
    Ok(aws_schema::Unit)
}

pub async fn location(
    call: Call,
    input: s3::GetBucketLocationRequest,
) -> Result<s3::GetBucketLocationOutput, ApiError> {
    let found = find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    let region = found.region.as_str();
    Ok(s3::GetBucketLocationOutput {
        location_constraint: (region != FIRST_REGION)
            .then(|| s3::BucketLocationConstraint::parse(region))
            .flatten(),
    })
}

/// Never switched on: nothing is said.
pub async fn versioning(
    call: Call,
    input: s3::GetBucketVersioningRequest,
) -> Result<s3::GetBucketVersioningOutput, ApiError> {
    find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    Ok(Default::default())
}

/// Every object is encrypted under a key of this installation.
pub async fn encryption(
    call: Call,
    input: s3::GetBucketEncryptionRequest,
) -> Result<s3::GetBucketEncryptionOutput, ApiError> {
    find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    let rule = s3::ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(s3::ServerSideEncryptionByDefault {
            sse_algorithm: Some(s3::ServerSideEncryption::Aes256),
            ..Default::default()
        }),
        bucket_key_enabled: Some(false),
        ..Default::default()
    };
    Ok(s3::GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(s3::ServerSideEncryptionConfiguration {
            rules: Some(vec![rule]),
        }),
    })
}

/// The owner of the bucket owns what is in it, and there are no lists of access.
pub async fn ownership(
    call: Call,
    input: s3::GetBucketOwnershipControlsRequest,
) -> Result<s3::GetBucketOwnershipControlsOutput, ApiError> {
    find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    let rule = s3::OwnershipControlsRule { object_ownership: Some(s3::ObjectOwnership::BucketOwnerEnforced) };
    Ok(s3::GetBucketOwnershipControlsOutput {
        ownership_controls: Some(s3::OwnershipControls { rules: Some(vec![rule]) }),
    })
}

pub async fn access_list(
    call: Call,
    input: s3::GetBucketAclRequest,
) -> Result<s3::GetBucketAclOutput, ApiError> {
    let found = find(&call, input.bucket, input.expected_bucket_owner.as_deref())?;
    let owner = owner_of(&found.owner);
    Ok(s3::GetBucketAclOutput { grants: Some(vec![full_control(&owner)]), owner: Some(owner) })
}

fn find(call: &Call, name: Option<String>, expected_owner: Option<&str>) -> Result<Arc<Bucket>, ApiError> {
    let name = required(name)?;
    call.services.state.read(|view| bucket(view, &name, expected_owner))
}

/// The canonical user of an account: 64 hexadecimal digits that follow from its number.
pub fn owner_of(account: &AccountId) -> s3::Owner {
    let id = hex::encode(Sha256::digest(format!("canonical user of {account}")));
    s3::Owner { id: Some(id), ..Default::default() }
}

pub fn full_control(owner: &s3::Owner) -> s3::Grant {
    s3::Grant {
        grantee: Some(s3::Grantee {
            r#type: Some(s3::Type::CanonicalUser),
            id: owner.id.clone(),
            ..Default::default()
        }),
        permission: Some(s3::Permission::FullControl),
    }
}
