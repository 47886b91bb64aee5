//! Users, groups and keys.

use aws_shapes_iam as api;
use aws_shapes_iam::StatusType;

use super::{ALLOW_S3, Fixture, NOW, refused, text};
use crate::services::iam::{attachments, groups, inline, keys, logins, users};

#[tokio::test]
async fn names_are_unique_without_regard_to_case() {
    let fixture = Fixture::new().await;
    let bob = fixture.user("bob").await;
    assert_eq!(bob.arn.as_deref(), Some("arn:aws:iam::000000000000:user/bob"));
    assert!(bob.user_id.is_some_and(|id| id.starts_with("AIDA") && id.len() == 21));
    let input = api::CreateUserRequest { user_name: text("Bob"), ..Default::default() };
    refused(
        users::create(fixture.call(), input).await,
        "EntityAlreadyExists",
        "User with name Bob already exists.",
    );
    let input = api::GetUserRequest { user_name: text("alice") };
    refused(
        users::get(fixture.call(), input).await,
        "NoSuchEntity",
        "The user with name alice cannot be found.",
    );
}

#[tokio::test]
async fn lists_go_on_behind_a_marker() {
    let fixture = Fixture::new().await;
    for name in ["carl", "Anna", "bert"] {
        fixture.user(name).await;
    }
    let (mut seen, mut marker) = (Vec::new(), None);
    loop {
        let input = api::ListUsersRequest { max_items: Some(2), marker, ..Default::default() };
        let page = users::list(fixture.call(), input).await.unwrap();
        seen.extend(page.users.unwrap().into_iter().filter_map(|user| user.user_name));
        assert_eq!(page.is_truncated, Some(page.marker.is_some()));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["Anna", "bert", "carl"]);
    let input = api::ListUsersRequest { marker: text("made-up"), ..Default::default() };
    refused(users::list(fixture.call(), input).await, "ValidationError", "Invalid Marker.");
}

#[tokio::test]
async fn a_key_stands_for_its_user_while_it_is_active() {
    let fixture = Fixture::new().await;
    fixture.user("bob").await;
    let key = fixture.key("bob").await.access_key_id.unwrap();
    assert!(key.starts_with("AKIA") && key.len() == 20);
    let arn = |key: &str| fixture.signer(key, NOW).map(|principal| principal.arn);
    assert_eq!(arn(&key).as_deref(), Some("arn:aws:iam::000000000000:user/bob"));

    let rename = api::UpdateUserRequest {
        user_name: text("bob"),
        new_user_name: text("rob"),
        new_path: text("/ops/"),
    };
    users::update(fixture.call(), rename).await.unwrap();
    assert_eq!(arn(&key).as_deref(), Some("arn:aws:iam::000000000000:user/ops/rob"));

    let set = |status| api::UpdateAccessKeyRequest {
        user_name: text("rob"),
        access_key_id: text(&key),
        status: Some(status),
    };
    keys::update(fixture.call(), set(StatusType::Inactive)).await.unwrap();
    assert_eq!(arn(&key), None);
    keys::update(fixture.call(), set(StatusType::Active)).await.unwrap();
    assert!(arn(&key).is_some());

    // Asked without a name, the caller is meant.
    let own = fixture.call_by(fixture.signer(&key, NOW).unwrap(), NOW);
    let listed = keys::list(own, api::ListAccessKeysRequest::default()).await.unwrap();
    assert_eq!(listed.access_key_metadata.unwrap()[0].access_key_id.as_deref(), Some(key.as_str()));

    fixture.key("rob").await;
    let third = api::CreateAccessKeyRequest { user_name: text("rob") };
    refused(
        keys::create(fixture.call(), third).await,
        "LimitExceeded",
        "Cannot exceed quota for AccessKeysPerUser: 2",
    );
    let delete = api::DeleteAccessKeyRequest { user_name: text("rob"), access_key_id: text(&key) };
    keys::delete(fixture.call(), delete.clone()).await.unwrap();
    assert_eq!(arn(&key), None);
    let message = format!("The Access Key with id {key} cannot be found.");
    refused(keys::delete(fixture.call(), delete).await, "NoSuchEntity", &message);
}

#[tokio::test]
async fn the_account_has_keys_of_its_own() {
    let fixture = Fixture::new().await;
    let made = keys::create(fixture.call(), api::CreateAccessKeyRequest::default()).await.unwrap();
    let id = made.access_key.unwrap().access_key_id.unwrap();
    let principal = fixture.signer(&id, NOW).unwrap();
    assert_eq!((&*principal.arn, &*principal.user_id), ("arn:aws:iam::000000000000:root", "000000000000"));
}

#[tokio::test]
async fn a_user_is_deleted_when_nothing_hangs_on_it() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    let bob = || text("bob");
    fixture.user("bob").await;
    let group = api::CreateGroupRequest { group_name: text("ops"), path: None };
    groups::create(call(), group).await.unwrap();
    let member = api::AddUserToGroupRequest { group_name: text("ops"), user_name: bob() };
    groups::add_user(call(), member).await.unwrap();
    let policy_arn = text("arn:aws:iam::aws:policy/ReadOnlyAccess");
    let attach = api::AttachUserPolicyRequest { user_name: bob(), policy_arn: policy_arn.clone() };
    attachments::attach_user(call(), attach).await.unwrap();
    let (policy_name, policy_document) = (text("s3"), text(ALLOW_S3));
    let put = api::PutUserPolicyRequest { user_name: bob(), policy_name, policy_document };
    inline::put_user(call(), put).await.unwrap();
    let key = fixture.key("bob").await.access_key_id;
    let login = api::CreateLoginProfileRequest {
        user_name: bob(),
        password: text("long enough"),
        ..Default::default()
    };
    logins::create(call(), login).await.unwrap();

    let delete = || users::delete(call(), api::DeleteUserRequest { user_name: bob() });
    let must = |what: &str| format!("Cannot delete entity, must {what} first.");
    refused(delete().await, "DeleteConflict", &must("remove users from group"));
    let leave = api::RemoveUserFromGroupRequest { group_name: text("ops"), user_name: bob() };
    groups::remove_user(call(), leave).await.unwrap();
    refused(delete().await, "DeleteConflict", &must("detach all policies"));
    let detach = api::DetachUserPolicyRequest { user_name: bob(), policy_arn };
    attachments::detach_user(call(), detach).await.unwrap();
    refused(delete().await, "DeleteConflict", &must("delete policies"));
    let drop = api::DeleteUserPolicyRequest { user_name: bob(), policy_name: text("s3") };
    inline::delete_user(call(), drop).await.unwrap();
    refused(delete().await, "DeleteConflict", &must("delete access keys"));
    let drop = api::DeleteAccessKeyRequest { user_name: bob(), access_key_id: key };
    keys::delete(call(), drop).await.unwrap();
    refused(delete().await, "DeleteConflict", &must("delete login profile"));
    let drop = api::DeleteLoginProfileRequest { user_name: bob() };
    logins::delete(call(), drop).await.unwrap();
    delete().await.unwrap();
    refused(delete().await, "NoSuchEntity", "The user with name bob cannot be found.");
}

#[tokio::test]
async fn groups_keep_their_members_under_a_new_name() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    fixture.user("bob").await;
    let group = api::CreateGroupRequest { group_name: text("ops"), path: None };
    groups::create(call(), group).await.unwrap();
    let member = api::AddUserToGroupRequest { group_name: text("ops"), user_name: text("bob") };
    groups::add_user(call(), member).await.unwrap();
    let rename = api::UpdateGroupRequest {
        group_name: text("ops"),
        new_group_name: text("operators"),
        new_path: None,
    };
    groups::update(call(), rename).await.unwrap();
    let get = |name: &str| {
        groups::get(call(), api::GetGroupRequest { group_name: text(name), ..Default::default() })
    };
    refused(get("ops").await, "NoSuchEntity", "The group with name ops cannot be found.");
    let users = get("operators").await.unwrap().users.unwrap();
    assert_eq!(users[0].user_name.as_deref(), Some("bob"));
    let of = api::ListGroupsForUserRequest { user_name: text("bob"), ..Default::default() };
    let listed = groups::list_for_user(call(), of).await.unwrap().groups.unwrap();
    assert_eq!(listed[0].group_name.as_deref(), Some("operators"));
    refused(
        groups::delete(call(), api::DeleteGroupRequest { group_name: text("operators") }).await,
        "DeleteConflict",
        "Cannot delete entity, must remove users from group first.",
    );
}

#[tokio::test]
async fn tags_are_told_apart_without_regard_to_case() {
    let fixture = Fixture::new().await;
    fixture.user("bob").await;
    let tag = |pairs: &[(&str, &str)]| {
        let tag = |(key, value): &(&str, &str)| api::Tag { key: text(key), value: text(value) };
        let tags = Some(pairs.iter().map(tag).collect());
        users::tag(fixture.call(), api::TagUserRequest { user_name: text("bob"), tags })
    };
    tag(&[("Team", "a"), ("cost", "1")]).await.unwrap();
    tag(&[("team", "b")]).await.unwrap();
    refused(
        tag(&[("x", "1"), ("X", "2")]).await,
        "InvalidInput",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    );
    let untag = api::UntagUserRequest { user_name: text("bob"), tag_keys: Some(vec!["COST".to_owned()]) };
    users::untag(fixture.call(), untag).await.unwrap();
    let list = api::ListUserTagsRequest { user_name: text("bob"), ..Default::default() };
    let tags = users::list_tags(fixture.call(), list).await.unwrap().tags.unwrap();
    assert_eq!(tags, [api::Tag { key: text("team"), value: text("b") }]);
}
