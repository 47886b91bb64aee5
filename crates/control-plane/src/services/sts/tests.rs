use aws_shapes_ec2 as ec2;
use aws_shapes_sts as sts;

use super::messages;
use crate::{
    authorization::authorize,
    services::{
        iam::testing::user,
        testing::{Fixture, refused, text},
    },
};

#[tokio::test]
async fn a_refusal_of_ec2_is_decoded_for_its_own_account() {
    use aws_schema::{Operation, Shape};
    let fixture = Fixture::new().await;
    let denied = r#"{"Version":"2012-10-17","Statement":{"Sid":"No","Effect":"Deny","Action":"ec2:*","Resource":"*"}}"#;
    let ann = user(&fixture, "ann", &[denied]).await;
    let input = ec2::DescribeVpcsRequest::default().into_value();
    let error = authorize(&fixture.call_as(ann), ec2::SERVICE, ec2::DescribeVpcs::TABLE, &input).unwrap_err();
    let (_, encoded) = error.message.split_once("Encoded authorization failure message: ").unwrap();
    assert!(!error.message.contains("policy-0"), "what the policies are is told to nobody by the way");
    let ask = async |message: &str, account: &str| {
        let principal = crate::gateway::Principal::root(&account.parse().unwrap(), "test");
        let mut call = fixture.call_as(principal);
        let context = std::sync::Arc::get_mut(&mut call.context).unwrap();
        context.scope.account = account.parse().unwrap();
        let input = sts::DecodeAuthorizationMessageRequest { encoded_message: text(message) };
        messages::decode(call, input).await
    };
    let decoded = ask(encoded, "000000000000").await.unwrap().decoded_message.unwrap();
    let decoded: serde_json::Value = serde_json::from_str(&decoded).unwrap();
    assert_eq!(decoded["explicitDeny"], true);
    assert_eq!(decoded["matchedStatements"]["items"][0]["sid"], "No");
    assert_eq!(decoded["context"]["action"], "ec2:DescribeVpcs");
    for (message, account) in [(encoded, "111122223333"), ("text", "000000000000")] {
        refused(ask(message, account).await, "InvalidAuthorizationMessageException", "not a valid");
    }
}
