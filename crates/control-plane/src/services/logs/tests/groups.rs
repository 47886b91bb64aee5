//! Groups and streams: made, listed in pages, tagged, deleted, made again.

use aws_shapes_logs as api;

use super::{DAY, Fixture, NOW, refused, scope, text};
use crate::services::logs::{groups, policies, retention, streams, tags};

#[tokio::test]
async fn a_group_is_described_as_aws_does() {
    let fixture = Fixture::new().await;
    fixture.group("/ecs/web").await;
    fixture.stream("/ecs/web", "s").await;
    fixture.put("/ecs/web", "s", &[(NOW, "12345")]).await.unwrap();
    let input =
        api::PutRetentionPolicyRequest { log_group_name: text("/ecs/web"), retention_in_days: Some(7) };
    groups::put_retention(fixture.call(), input).await.unwrap();
    let shown = groups::describe(fixture.call(), Default::default()).await.unwrap().log_groups.unwrap();
    assert_eq!(
        shown,
        [api::LogGroup {
            arn: text("arn:aws:logs:us-east-1:000000000000:log-group:/ecs/web:*"),
            log_group_arn: text("arn:aws:logs:us-east-1:000000000000:log-group:/ecs/web"),
            creation_time: Some(NOW),
            deletion_protection_enabled: Some(false),
            log_group_class: Some(api::LogGroupClass::Standard),
            log_group_name: text("/ecs/web"),
            metric_filter_count: Some(0),
            retention_in_days: Some(7),
            stored_bytes: Some(5),
            ..Default::default()
        }]
    );
}

#[tokio::test]
async fn groups_are_found_by_prefix_and_pattern_in_pages() {
    let fixture = Fixture::new().await;
    for name in ["/aws/lambda/lower", "/aws/lambda/File", "/aws/events/Get", "/aws/lambda/file"] {
        fixture.group(name).await;
    }
    let describe = async |input: api::DescribeLogGroupsRequest| {
        let page = groups::describe(fixture.call(), input).await.unwrap();
        let names: Vec<String> =
            page.log_groups.unwrap().into_iter().map(|group| group.log_group_name.unwrap()).collect();
        (names, page.next_token)
    };
    let (all, token) = describe(Default::default()).await;
    assert_eq!(all, ["/aws/events/Get", "/aws/lambda/File", "/aws/lambda/file", "/aws/lambda/lower"]);
    assert_eq!(token, None);
    let (first, token) =
        describe(api::DescribeLogGroupsRequest { limit: Some(3), ..Default::default() }).await;
    assert_eq!(first, all[..3]);
    let (second, end) =
        describe(api::DescribeLogGroupsRequest { next_token: token, ..Default::default() }).await;
    assert_eq!((second.as_slice(), end), (&all[3..], None));
    let prefix =
        api::DescribeLogGroupsRequest { log_group_name_prefix: text("/aws/lambda/"), ..Default::default() };
    assert_eq!(describe(prefix.clone()).await.0, all[1..]);
    let pattern =
        api::DescribeLogGroupsRequest { log_group_name_pattern: text("File"), ..Default::default() };
    assert_eq!(describe(pattern).await.0, ["/aws/lambda/File"]);
    let both = api::DescribeLogGroupsRequest { log_group_name_pattern: text("x"), ..prefix };
    refused(
        groups::describe(fixture.call(), both).await,
        "InvalidParameterException",
        "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
    );
    let forged = api::DescribeLogGroupsRequest { next_token: text("invalid-token"), ..Default::default() };
    refused(
        groups::describe(fixture.call(), forged).await,
        "InvalidParameterException",
        "The specified nextToken is invalid.",
    );
    let listed = api::ListLogGroupsRequest {
        log_group_name_pattern: text("^/aws/events|lower"),
        ..Default::default()
    };
    let listed = groups::list(fixture.call(), listed).await.unwrap().log_groups.unwrap();
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn names_are_unique_and_must_exist() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    let group = api::CreateLogGroupRequest { log_group_name: text("g"), ..Default::default() };
    refused(
        groups::create(fixture.call(), group).await,
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    );
    let stream = api::CreateLogStreamRequest { log_group_name: text("g"), log_stream_name: text("s") };
    refused(
        streams::create(fixture.call(), stream.clone()).await,
        "ResourceAlreadyExistsException",
        "The specified log stream already exists",
    );
    let elsewhere = api::CreateLogStreamRequest { log_group_name: text("h"), ..stream };
    refused(
        streams::create(fixture.call(), elsewhere).await,
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    );
    let reserved = api::CreateLogGroupRequest { log_group_name: text("aws/x"), ..Default::default() };
    assert!(groups::create(fixture.call(), reserved).await.is_err());
    let secret = api::CreateLogGroupRequest {
        log_group_name: text("k"),
        kms_key_id: text("key"),
        ..Default::default()
    };
    assert_eq!(groups::create(fixture.call(), secret).await.unwrap_err().status, 501);
    let days = api::PutRetentionPolicyRequest { log_group_name: text("g"), retention_in_days: Some(2) };
    assert_eq!(
        groups::put_retention(fixture.call(), days).await.unwrap_err().code,
        "InvalidParameterException"
    );
}

#[tokio::test]
async fn streams_are_ordered_by_name_or_last_event_in_pages() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    for (stream, at) in [("a", NOW), ("b", NOW - 5), ("c", NOW - 10)] {
        fixture.stream("g", stream).await;
        fixture.put("g", stream, &[(at, "x")]).await.unwrap();
    }
    fixture.stream("g", "silent").await;
    let check = async |order_by: Option<api::OrderBy>, descending: bool, expected: &[&str]| {
        let mut input = api::DescribeLogStreamsRequest {
            log_group_name: text("g"),
            limit: Some(3),
            order_by,
            descending: Some(descending),
            ..Default::default()
        };
        let mut names = Vec::new();
        loop {
            let page = streams::describe(fixture.call(), input.clone()).await.unwrap();
            names.extend(page.log_streams.unwrap().into_iter().map(|stream| stream.log_stream_name.unwrap()));
            input.next_token = page.next_token;
            if input.next_token.is_none() {
                break;
            }
        }
        assert_eq!(names, expected);
    };
    check(None, false, &["a", "b", "c", "silent"]).await;
    check(None, true, &["silent", "c", "b", "a"]).await;
    check(Some(api::OrderBy::LastEventTime), false, &["silent", "c", "b", "a"]).await;
    check(Some(api::OrderBy::LastEventTime), true, &["a", "b", "c", "silent"]).await;

    let by_arn = api::DescribeLogStreamsRequest {
        log_group_identifier: text("arn:aws:logs:us-east-1:000000000000:log-group:g:*"),
        log_stream_name_prefix: text("si"),
        ..Default::default()
    };
    let shown = streams::describe(fixture.call(), by_arn.clone()).await.unwrap().log_streams.unwrap();
    assert_eq!(
        shown,
        [api::LogStream {
            arn: text("arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:silent"),
            creation_time: Some(NOW),
            log_stream_name: text("silent"),
            stored_bytes: Some(0),
            ..Default::default()
        }]
    );
    let both = api::DescribeLogStreamsRequest { log_group_name: text("g"), ..by_arn };
    refused(
        streams::describe(fixture.call(), both).await,
        "ValidationException",
        "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
    );
}

#[tokio::test]
async fn a_deleted_group_leaves_nothing_to_its_successor() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        fixture.group("g").await;
        fixture.stream("g", "s").await;
        fixture.put("g", "s", &[(NOW, "x")]).await.unwrap();
        let shown = groups::describe(fixture.call(), Default::default()).await.unwrap().log_groups.unwrap();
        assert_eq!(shown[0].stored_bytes, Some(1));
        groups::delete(fixture.call(), api::DeleteLogGroupRequest { log_group_name: text("g") })
            .await
            .unwrap();
        assert_eq!(fixture.logs().telemetry.groups(), []);
    }
    fixture.group("g").await;
    let input = api::DescribeLogStreamsRequest { log_group_name: text("g"), ..Default::default() };
    assert_eq!(streams::describe(fixture.call(), input).await.unwrap().log_streams.unwrap(), []);
}

#[tokio::test]
async fn an_interrupted_deletion_is_invisible_and_swept_up() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    fixture.put("g", "s", &[(NOW, "old")]).await.unwrap();
    // The crash: the group's record went, the rest stayed.
    let gone = |tx: &mut state_store::Tx| {
        tx.delete::<super::super::Group>(&scope(), "g");
        Ok::<_, crate::gateway::ApiError>(())
    };
    fixture.logs().state.transact(gone).await.unwrap();
    fixture.group("g").await;
    refused(
        fixture.put("g", "s", &[(NOW, "x")]).await,
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    );
    fixture.stream("g", "kept").await;
    fixture.put("g", "kept", &[(NOW, "new")]).await.unwrap();
    let now = vocabulary::Timestamp::from_millis(NOW);
    let outcome = retention::sweep(fixture.logs(), now).await.unwrap();
    assert_eq!((outcome.files_removed, outcome.events_deleted), (0, 1));
    let left = fixture.logs().state.read(|view| view.count_all::<super::super::Stream>());
    assert_eq!(left, 1);
    let again = retention::sweep(fixture.logs(), now).await.unwrap();
    assert_eq!(again, Default::default());
}

#[tokio::test]
async fn retention_hides_at_once_and_removes_when_swept() {
    let mut fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    fixture.put("g", "s", &[(NOW, "early")]).await.unwrap();
    fixture.now = NOW + 2 * DAY;
    fixture.put("g", "s", &[(NOW + 2 * DAY, "late")]).await.unwrap();
    let input = api::PutRetentionPolicyRequest { log_group_name: text("g"), retention_in_days: Some(1) };
    groups::put_retention(fixture.call(), input).await.unwrap();
    let input = api::FilterLogEventsRequest { log_group_name: text("g"), ..Default::default() };
    let events = super::super::read::filter(fixture.call(), input).await.unwrap().events.unwrap();
    assert_eq!(events.len(), 1);
    let now = vocabulary::Timestamp::from_millis(fixture.now);
    let outcome = retention::sweep(fixture.logs(), now).await.unwrap();
    assert_eq!(outcome.files_removed, 1);
}

#[tokio::test]
async fn protected_groups_stay() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    let protect = |enabled| api::PutLogGroupDeletionProtectionRequest {
        log_group_identifier: text("g"),
        deletion_protection_enabled: Some(enabled),
    };
    groups::put_deletion_protection(fixture.call(), protect(true)).await.unwrap();
    let delete = api::DeleteLogGroupRequest { log_group_name: text("g") };
    assert_eq!(groups::delete(fixture.call(), delete.clone()).await.unwrap_err().code, "ValidationException");
    groups::put_deletion_protection(fixture.call(), protect(false)).await.unwrap();
    groups::delete(fixture.call(), delete).await.unwrap();
}

#[tokio::test]
async fn tags_are_the_same_through_both_apis() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    let arn = text("arn:aws:logs:us-east-1:000000000000:log-group:g");
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    };
    let input = api::TagLogGroupRequest { log_group_name: text("g"), tags: pairs(&[("a", "1"), ("b", "2")]) };
    tags::tag_group(fixture.call(), input).await.unwrap();
    let input = api::TagResourceRequest { resource_arn: arn.clone(), tags: pairs(&[("b", "3"), ("c", "4")]) };
    tags::tag(fixture.call(), input).await.unwrap();
    let input = api::UntagResourceRequest { resource_arn: arn.clone(), tag_keys: Some(vec!["a".to_owned()]) };
    tags::untag(fixture.call(), input).await.unwrap();
    let expected = pairs(&[("b", "3"), ("c", "4")]);
    let of_group = api::ListTagsLogGroupRequest { log_group_name: text("g") };
    assert_eq!(tags::list_of_group(fixture.call(), of_group).await.unwrap().tags, expected);
    let of_resource = api::ListTagsForResourceRequest { resource_arn: arn };
    assert_eq!(tags::list(fixture.call(), of_resource).await.unwrap().tags, expected);
    let foreign = api::ListTagsForResourceRequest {
        resource_arn: text("arn:aws:logs:eu-west-1:000000000000:log-group:g"),
    };
    assert_eq!(tags::list(fixture.call(), foreign).await.unwrap_err().code, "InvalidParameterException");
    let many = (0..51).map(|number| (format!("k{number}"), String::new())).collect();
    let input = api::TagResourceRequest {
        resource_arn: text("arn:aws:logs:us-east-1:000000000000:log-group:g"),
        tags: Some(many),
    };
    assert_eq!(tags::tag(fixture.call(), input).await.unwrap_err().code, "TooManyTagsException");
}

#[tokio::test]
async fn resource_policies_are_kept_up_to_ten() {
    let fixture = Fixture::new().await;
    let put = async |name: &str, document: &str| {
        let input = api::PutResourcePolicyRequest {
            policy_name: text(name),
            policy_document: text(document),
            ..Default::default()
        };
        policies::put(fixture.call(), input).await
    };
    for number in 0..10 {
        put(&format!("p{number}"), "{}").await.unwrap();
    }
    refused(put("one-more", "{}").await, "LimitExceededException", "Resource limit exceeded.");
    let updated = put("p3", r#"{"Version":"2012-10-17"}"#).await.unwrap().resource_policy.unwrap();
    assert_eq!(updated.policy_scope, Some(api::PolicyScope::Account));
    assert!(put("p4", "not json").await.is_err());
    let delete = api::DeleteResourcePolicyRequest { policy_name: text("p0"), ..Default::default() };
    policies::delete(fixture.call(), delete.clone()).await.unwrap();
    refused(
        policies::delete(fixture.call(), delete).await,
        "ResourceNotFoundException",
        "Policy with name [p0] does not exist.",
    );
    let shown =
        policies::describe(fixture.call(), Default::default()).await.unwrap().resource_policies.unwrap();
    assert_eq!(shown.len(), 9);
}
