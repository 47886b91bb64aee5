//! Answers as text. botocore's parser is lenient about element names that other SDKs insist on.

use aws_schema::{Operation, Protocol, Shape, Timestamp};

use crate::{encode_response, event_stream};

fn answer<O: Operation>(
    protocol: Protocol,
    service: &'static aws_schema::ServiceTable,
    output: O::Output,
) -> String {
    let response = encode_response(protocol, service, O::TABLE, &output.into_value(), "id-1");
    assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
    String::from_utf8(response.body().to_vec()).unwrap()
}

#[test]
fn ec2_lists_have_items() {
    use aws_shapes_ec2::{DescribeVpcs, DescribeVpcsResult, SERVICE, Tag, Vpc};
    let tag = Tag { key: Some("a".to_owned()), value: Some("<1>\r".to_owned()) };
    let vpc = Vpc {
        vpc_id: Some("vpc-1".to_owned()),
        tags: Some(vec![tag]),
        is_default: Some(true),
        ..Vpc::default()
    };
    let output = DescribeVpcsResult { vpcs: Some(vec![vpc]), next_token: None };
    assert_eq!(
        answer::<DescribeVpcs>(Protocol::Ec2Query, SERVICE, output),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id-1</requestId>\
         <vpcSet><item><isDefault>true</isDefault><tagSet><item><key>a</key><value>&lt;1&gt;&#xD;</value></item></tagSet>\
         <vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>"
    );
}

#[test]
fn ec2_calls_without_output_return_true() {
    let text =
        answer::<aws_shapes_ec2::DeleteVpc>(Protocol::Ec2Query, aws_shapes_ec2::SERVICE, aws_schema::Unit);
    assert!(text.contains("<requestId>id-1</requestId><return>true</return></DeleteVpcResponse>"), "{text}");
}

#[test]
fn query_answers_are_wrapped() {
    use aws_shapes_iam::{GetUser, GetUserResponse, SERVICE, Tag, User};
    let user = User {
        user_name: Some("u".to_owned()),
        create_date: Some(Timestamp(1_700_000_000.0)),
        tags: Some(vec![Tag { key: Some("k".to_owned()), value: Some(String::new()) }]),
        ..User::default()
    };
    assert_eq!(
        answer::<GetUser>(Protocol::Query, SERVICE, GetUserResponse { user: Some(user) }),
        "<GetUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetUserResult><User>\
         <CreateDate>2023-11-14T22:13:20Z</CreateDate><Tags><member><Key>k</Key><Value></Value></member></Tags>\
         <UserName>u</UserName></User></GetUserResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>\
         </GetUserResponse>"
    );
}

#[test]
fn json_answers() {
    use aws_shapes_ecs::{Cluster, CreateCluster, CreateClusterResponse, SERVICE};
    let cluster = Cluster {
        cluster_name: Some("a\"\u{1}".to_owned()),
        running_tasks_count: Some(0),
        ..Cluster::default()
    };
    assert_eq!(
        answer::<CreateCluster>(
            Protocol::AwsJson11,
            SERVICE,
            CreateClusterResponse { cluster: Some(cluster) }
        ),
        "{\"cluster\":{\"clusterName\":\"a\\\"\\u0001\",\"runningTasksCount\":0}}"
    );
}

#[test]
fn an_event_is_framed() {
    let initial = event_stream::encode_initial_response(
        Protocol::AwsJson11,
        aws_shapes_logs::StartLiveTail::TABLE,
        &aws_shapes_logs::StartLiveTailResponse::default().into_value(),
    )
    .unwrap();
    assert_eq!(&initial[..4], (initial.len() as u32).to_be_bytes());
    assert!(initial.ends_with(&crate::text::crc32(&initial[..initial.len() - 4]).to_be_bytes()));
    let text = String::from_utf8_lossy(&initial).into_owned();
    assert!(text.contains(":event-type\u{7}\u{0}\u{10}initial-response") && text.contains("{}"), "{text:?}");
}

#[test]
fn an_event_that_the_stream_lacks_is_not_sent() {
    let event = aws_shapes_logs::LiveTailSessionStart::default().into_value();
    let encode = |name: &str| {
        event_stream::encode_event(Protocol::AwsJson11, aws_shapes_logs::StartLiveTail::TABLE, name, &event)
    };
    assert!(encode("sessionStart").is_some());
    assert!(encode("nothing").is_none());
}

#[test]
fn documents_are_read_back() {
    use aws_shapes_ecs::Cluster;
    let value =
        Cluster { cluster_name: Some("c".to_owned()), tags: Some(vec![]), ..Cluster::default() }.into_value();
    let text = crate::document::to_json(Cluster::TABLE, &value);
    assert_eq!(crate::document::from_json(Cluster::TABLE, &text), Ok(value));
    assert!(crate::document::from_json(Cluster::TABLE, b"{\"clusterName\": 1}").is_err());
}
