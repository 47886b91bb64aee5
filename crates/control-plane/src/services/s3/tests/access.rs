use aws_schema::{Operation, Shape};
use aws_shapes_s3 as s3;

use super::with_bucket;
use crate::{
    authorization,
    gateway::{ApiError, Principal},
    services::{
        s3::{access::restrict, policies},
        testing::{Fixture, refused, text},
    },
};

const READABLE: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/public/*"}]}"#;

async fn set_policy(fixture: &Fixture, policy: &str) -> Result<(), ApiError> {
    let input =
        s3::PutBucketPolicyRequest { bucket: text("bucket"), policy: text(policy), ..Default::default() };
    policies::put(fixture.call(), input).await.map(drop)
}

async fn block_nothing(fixture: &Fixture) {
    let input = s3::DeletePublicAccessBlockRequest { bucket: text("bucket"), ..Default::default() };
    policies::delete_block(fixture.call(), input).await.unwrap();
}

fn may_get(fixture: &Fixture, principal: Principal, key: &str) -> Result<(), ApiError> {
    let input = s3::GetObjectRequest { bucket: text("bucket"), key: text(key), ..Default::default() };
    authorization::authorize(
        &fixture.call_as(principal),
        s3::SERVICE,
        s3::GetObject::TABLE,
        &input.into_value(),
    )
}

#[tokio::test]
async fn nobody_reads_what_no_policy_lets_everybody_read() {
    let fixture = with_bucket("bucket").await;
    refused(may_get(&fixture, Principal::nobody(), "public/a"), "AccessDenied", "");
    block_nothing(&fixture).await;
    set_policy(&fixture, READABLE).await.unwrap();
    may_get(&fixture, Principal::nobody(), "public/a").unwrap();
    refused(may_get(&fixture, Principal::nobody(), "private/a"), "AccessDenied", "");
}

#[tokio::test]
async fn the_root_of_another_account_needs_the_buckets_policy() {
    let fixture = with_bucket("bucket").await;
    let other = Principal::root(&"111111111111".parse().unwrap(), "x");
    refused(may_get(&fixture, other.clone(), "a"), "AccessDenied", "");
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}]}"#;
    set_policy(&fixture, policy).await.unwrap();
    may_get(&fixture, other, "a").unwrap();
    may_get(&fixture, fixture.call().principal.clone(), "a").unwrap();
}

#[tokio::test]
async fn a_public_policy_is_kept_out_unless_that_is_wanted() {
    let fixture = with_bucket("bucket").await;
    refused(set_policy(&fixture, READABLE).await, "AccessDenied", "BlockPublicPolicy");
    let fixed = READABLE.replace(
        r#""Resource""#,
        r#""Condition": {"StringEquals": {"aws:PrincipalAccount": "111111111111"}}, "Resource""#,
    );
    set_policy(&fixture, &fixed).await.unwrap();
    block_nothing(&fixture).await;
    set_policy(&fixture, READABLE).await.unwrap();
    let status = s3::GetBucketPolicyStatusRequest { bucket: text("bucket"), ..Default::default() };
    let status = policies::status(fixture.call(), status).await.unwrap();
    assert_eq!(status.policy_status.unwrap().is_public, Some(true));
    let nobody = |fixture: &Fixture| fixture.services.state.read(|view| restrict(view, "bucket", None));
    nobody(&fixture).unwrap();
    let block = s3::PutPublicAccessBlockRequest {
        bucket: text("bucket"),
        public_access_block_configuration: Some(s3::PublicAccessBlockConfiguration {
            restrict_public_buckets: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    policies::put_block(fixture.call(), block).await.unwrap();
    refused(nobody(&fixture), "AccessDenied", "");
    let own = fixture.call().principal.clone();
    fixture.services.state.read(|view| restrict(view, "bucket", Some(&own))).unwrap();
}

#[tokio::test]
async fn policies_are_about_their_own_bucket() {
    let fixture = with_bucket("bucket").await;
    for (policy, message) in [
        ("{", ""),
        (&READABLE.replace("bucket/public", "other/public"), "invalid resource"),
        (&READABLE.replace("s3:GetObject", "sqs:SendMessage"), "invalid action"),
        (&READABLE.replace(r#""Principal": "*","#, ""), "Principal"),
    ] {
        refused(set_policy(&fixture, policy).await, "MalformedPolicy", message);
    }
    let get = s3::GetBucketPolicyRequest { bucket: text("bucket"), ..Default::default() };
    refused(policies::get(fixture.call(), get).await, "NoSuchBucketPolicy", "");
}
