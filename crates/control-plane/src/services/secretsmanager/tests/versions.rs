//! Versions and their stages; deleting.

use super::*;
use crate::services::testing::{HOUR, refused};

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const TWO: &str = "22222222-2222-2222-2222-222222222222";
const THREE: &str = "33333333-3333-3333-3333-333333333333";

async fn stages(fixture: &Fixture, version: &str) -> Vec<String> {
    let all = describe(fixture, "db").await.version_ids_to_stages.unwrap_or_default();
    all.get(version).cloned().unwrap_or_default()
}

async fn shift(fixture: &Fixture, stage: &str, from: Option<&str>, to: Option<&str>) -> Result<(), ApiError> {
    let input = secrets::UpdateSecretVersionStageRequest {
        secret_id: text("db"),
        version_stage: text(stage),
        remove_from_version_id: from.map(str::to_owned),
        move_to_version_id: to.map(str::to_owned),
    };
    super::super::stages::update(fixture.call(), input).await.map(drop)
}

#[tokio::test]
async fn current_and_previous_follow_each_other() {
    let fixture = Fixture::new().await;
    let made = create(&fixture, "db", "one").await;
    let first = made.version_id.unwrap();
    put(&fixture, "db", "two", Some(TWO), None).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "two");
    assert_eq!(get(&fixture, "db", None, Some("AWSPREVIOUS")).await.unwrap(), "one");
    put(&fixture, "db", "three", Some(THREE), None).await.unwrap();
    assert_eq!(get(&fixture, "db", None, Some("AWSPREVIOUS")).await.unwrap(), "two");
    assert_eq!(stages(&fixture, &first).await, [""; 0]);
    // What has no stage is not listed, and is there.
    assert_eq!(get(&fixture, "db", Some(&first), None).await.unwrap(), "one");
    refused(
        get(&fixture, "db", Some(&first), Some("AWSCURRENT")).await,
        "InvalidRequestException",
        "not associated",
    );
    refused(
        get(&fixture, "db", None, Some("mine")).await,
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: mine",
    );
    refused(
        get(&fixture, "none", None, None).await,
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    );
    // Back again.
    shift(&fixture, "AWSCURRENT", Some(THREE), Some(TWO)).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "two");
    assert_eq!(get(&fixture, "db", None, Some("AWSPREVIOUS")).await.unwrap(), "three");
    assert_eq!(stages(&fixture, TWO).await, ["AWSCURRENT"]);
}

#[tokio::test]
async fn a_stage_is_moved_only_by_those_who_know_where_it_is() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "one").await;
    put(&fixture, "db", "two", Some(TWO), Some(&["AWSPENDING", "mine"])).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "one");
    refused(
        shift(&fixture, "AWSCURRENT", None, Some(TWO)).await,
        "InvalidParameterException",
        "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version",
    );
    refused(
        shift(&fixture, "mine", Some(ONE), None).await,
        "InvalidParameterException",
        "Not a valid version",
    );
    shift(&fixture, "mine", Some(TWO), None).await.unwrap();
    assert_eq!(stages(&fixture, TWO).await, ["AWSPENDING"]);
    let current = describe(&fixture, "db").await.version_ids_to_stages.unwrap();
    let current = current.iter().find(|(_, held)| held.contains(&"AWSCURRENT".to_owned())).unwrap().0.clone();
    refused(
        shift(&fixture, "AWSCURRENT", Some(&current), None).await,
        "InvalidParameterException",
        "can't be completely removed",
    );
}

#[tokio::test]
async fn a_repeated_request_makes_no_second_version() {
    let fixture = Fixture::new().await;
    let creating = |value: &str| secrets::CreateSecretRequest {
        name: text("db"),
        secret_string: text(value),
        client_request_token: text(ONE),
        ..Default::default()
    };
    let first = writes::create(fixture.call(), creating("one")).await.unwrap();
    let again = writes::create(fixture.call(), creating("one")).await.unwrap();
    assert_eq!(first, again);
    refused(writes::create(fixture.call(), creating("two")).await, "ResourceExistsException", ONE);
    put(&fixture, "db", "two", Some(TWO), None).await.unwrap();
    put(&fixture, "db", "three", Some(THREE), None).await.unwrap();
    put(&fixture, "db", "two", Some(TWO), None).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "three", "nothing was moved again");
    refused(
        put(&fixture, "db", "other", Some(TWO), None).await,
        "ResourceExistsException",
        "You can't use ClientRequestToken",
    );
}

#[tokio::test]
async fn versions_without_a_stage_make_room() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "first").await;
    for round in 0..110 {
        put(&fixture, "db", &format!("value {round}"), None, None).await.unwrap();
        fixture.pass(1);
    }
    let list = |include| secrets::ListSecretVersionIdsRequest {
        secret_id: text("db"),
        include_deprecated: include,
        ..Default::default()
    };
    let used = reads::list_versions(fixture.call(), list(None)).await.unwrap().versions.unwrap();
    assert_eq!(used.len(), 2);
    let all = reads::list_versions(fixture.call(), list(Some(true))).await.unwrap();
    assert_eq!(all.versions.unwrap().len(), 100);
    assert_eq!(get(&fixture, "db", None, Some("AWSPREVIOUS")).await.unwrap(), "value 108");
}

fn deleting(window: Option<i64>, force: Option<bool>) -> secrets::DeleteSecretRequest {
    secrets::DeleteSecretRequest {
        secret_id: text("db"),
        recovery_window_in_days: window,
        force_delete_without_recovery: force,
    }
}

#[tokio::test]
async fn a_secret_can_be_taken_back_until_its_window_is_over() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "one").await;
    for (window, force) in [(Some(6), None), (Some(31), None), (Some(7), Some(true))] {
        let answer = deletion::delete(fixture.call(), deleting(window, force)).await;
        refused(answer, "InvalidParameterException", "");
    }
    deletion::delete(fixture.call(), deleting(Some(7), None)).await.unwrap();
    refused(get(&fixture, "db", None, None).await, "InvalidRequestException", "marked for deletion");
    let again = secrets::CreateSecretRequest { name: text("db"), ..Default::default() };
    refused(
        writes::create(fixture.call(), again).await,
        "InvalidRequestException",
        "already scheduled for deletion",
    );
    let restore = || secrets::RestoreSecretRequest { secret_id: text("db") };
    deletion::restore(fixture.call(), restore()).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "one");
    deletion::delete(fixture.call(), deleting(Some(7), None)).await.unwrap();
    fixture.pass(7 * 24 * HOUR);
    upkeep::run(&fixture.services, fixture.now()).await.unwrap();
    refused(deletion::restore(fixture.call(), restore()).await, "ResourceNotFoundException", "");
    let left = fixture.services.state.read(|view| view.scan_all::<records::SecretValue>().count());
    assert_eq!(left, 0, "its values are gone with it");
}

#[tokio::test]
async fn a_secret_of_the_same_name_is_another() {
    let fixture = Fixture::new().await;
    let first = create(&fixture, "db", "one").await.arn.unwrap();
    deletion::delete(fixture.call(), deleting(None, Some(true))).await.unwrap();
    deletion::delete(fixture.call(), deleting(None, Some(true))).await.unwrap();
    let second = create(&fixture, "db", "two").await.arn.unwrap();
    assert_ne!(first, second);
    assert_eq!(get(&fixture, &second, None, None).await.unwrap(), "two");
    assert_eq!(get(&fixture, &second[..second.len() - 7], None, None).await.unwrap(), "two");
    refused(get(&fixture, &first, None, None).await, "ResourceNotFoundException", "");
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let fixture = Fixture::new().await;
    for (name, description, tag) in
        [("prod/db", "the Main database", "prod"), ("prod/web", "", "prod"), ("test/db", "a copy", "test")]
    {
        let input = secrets::CreateSecretRequest {
            name: text(name),
            description: text(description),
            tags: Some(vec![secrets::Tag { key: text("stage"), value: text(tag) }]),
            ..Default::default()
        };
        writes::create(fixture.call(), input).await.unwrap();
        fixture.pass(1000);
    }
    use secrets::FilterNameStringType as Of;
    let names = async |filters: &[(Of, &[&str])], sort_order| {
        let filter = |(key, values): &(Of, &[&str])| secrets::Filter {
            key: Some(*key),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        };
        let (mut names, mut next_token) = (Vec::new(), None);
        loop {
            let input = secrets::ListSecretsRequest {
                filters: Some(filters.iter().map(filter).collect()),
                max_results: Some(2),
                next_token,
                sort_order,
                ..Default::default()
            };
            let page = filters::list(fixture.call(), input).await.unwrap();
            names.extend(page.secret_list.unwrap().into_iter().filter_map(|secret| secret.name));
            next_token = page.next_token;
            if next_token.is_none() {
                return names;
            }
        }
    };
    assert_eq!(names(&[], None).await, ["prod/db", "prod/web", "test/db"]);
    assert_eq!(names(&[], Some(secrets::SortOrderType::Desc)).await, ["test/db", "prod/web", "prod/db"]);
    assert_eq!(names(&[(Of::Name, &["prod/"])], None).await, ["prod/db", "prod/web"]);
    assert_eq!(names(&[(Of::Name, &["!prod/"])], None).await, ["test/db"]);
    assert_eq!(names(&[(Of::Description, &["main"])], None).await, ["prod/db"]);
    assert_eq!(names(&[(Of::TagValue, &["prod"]), (Of::Name, &["prod/w"])], None).await, ["prod/web"]);
    assert_eq!(names(&[(Of::All, &["Test"])], None).await, ["test/db"]);
}
