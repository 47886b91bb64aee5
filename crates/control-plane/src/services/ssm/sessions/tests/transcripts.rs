//! What of a session is kept in a bucket, and in whose name.

use super::{
    super::{
        agent::{self, Asker},
        plan::{BucketLog, LogTo},
        transcript::{CannotKeep, MOST_OBJECT_BYTES, Transcript},
    },
    client::reached,
};
use crate::{
    gateway::Principal,
    services::{
        s3,
        testing::{Fixture, scope},
    },
};

/// A platform with the bucket `kept`.
async fn fixture() -> (Fixture, LogTo) {
    let fixture = Fixture::new().await;
    let input = aws_shapes_s3::CreateBucketRequest { bucket: Some("kept".into()), ..Default::default() };
    s3::create_bucket(fixture.call(), input).await.unwrap();
    let to = BucketLog { name: "kept".into(), prefix: None, encrypted: false };
    (fixture, LogTo { group: None, bucket: Some(to) })
}

#[tokio::test]
async fn of_what_never_ends_the_beginning_is_kept() {
    const PIECE: usize = 40_000;
    let (fixture, to) = fixture().await;
    let who = (&reached(), &Asker::of(&fixture.call()));
    let mut transcript = Transcript::open(&fixture.services, &scope(), who, &to, "s-1").await.unwrap();
    let pieces = MOST_OBJECT_BYTES as usize / PIECE;
    let piece = |number: usize| vec![b'a' + number as u8; PIECE];
    for number in 0..=pieces {
        transcript.push(&piece(number)).await;
    }
    // It would still fit.
    transcript.push(b"later").await;
    transcript.finish().await;
    let kept = s3::read_for_the_platform(&fixture.services, "kept", "s-1.log").await.unwrap();
    assert!(kept == (0..pieces).flat_map(piece).collect::<Vec<u8>>(), "{} bytes", kept.len());
}

#[tokio::test]
async fn without_a_role_the_caller_has_to_be_allowed_to_write() {
    let (fixture, to) = fixture().await;
    let root = fixture.call();
    let account = &root.principal.account;
    let user = Principal {
        account: account.clone(),
        arn: format!("arn:aws:iam::{account}:user/talker"),
        user_id: "AIDATALKER".into(),
        access_key: "AKIATALKER".into(),
    };
    let user = fixture.call_as(user);
    let open = async |asker: &Asker, session: &str| {
        Transcript::open(&fixture.services, &scope(), (&reached(), asker), &to, session).await
    };
    agent::authorize(&root, &reached(), Some(&to)).unwrap();
    open(&Asker::of(&root), "s-1").await.unwrap().finish().await;
    assert_eq!(s3::read_for_the_platform(&fixture.services, "kept", "s-1.log").await.unwrap(), "");

    let refusal = agent::authorize(&user, &reached(), Some(&to)).unwrap_err();
    assert_eq!(refusal.code, "AccessDenied");
    assert!(refusal.message.contains("s3:PutObject"), "{}", refusal.message);
    // It is asked about nothing else.
    agent::authorize(&user, &reached(), None).unwrap();
    let refusal = open(&Asker::of(&user), "s-2").await.err();
    assert!(matches!(refusal, Some(CannotKeep::Bucket { .. })), "{refusal:?}");
}
