//! Custom attributes of container instances.

use super::{super::attributes, *};

fn attribute(target: &str, name: &str, value: Option<&str>) -> ecs::Attribute {
    ecs::Attribute {
        name: text(name),
        value: value.map(str::to_owned),
        target_type: Some(ecs::TargetType::ContainerInstance),
        target_id: text(target),
    }
}

async fn put(fixture: &Fixture, given: Vec<ecs::Attribute>) -> Result<Vec<ecs::Attribute>, ApiError> {
    let input = ecs::PutAttributesRequest { attributes: Some(given), ..Default::default() };
    Ok(attributes::put(fixture.call(), input).await?.attributes.unwrap())
}

async fn names(fixture: &Fixture, name: Option<&str>, value: Option<&str>) -> Vec<String> {
    let input = ecs::ListAttributesRequest {
        attribute_name: name.map(str::to_owned),
        attribute_value: value.map(str::to_owned),
        target_type: Some(ecs::TargetType::ContainerInstance),
        ..Default::default()
    };
    let answer = attributes::list(fixture.call(), input).await.unwrap();
    answer.attributes.unwrap().into_iter().map(|attribute| attribute.name.unwrap()).collect()
}

#[tokio::test]
async fn attributes_are_put_found_and_deleted() {
    let fixture = fixture().await;
    let arn = super::instance::register(&fixture).await.container_instance_arn.unwrap();
    let put_them =
        vec![attribute(&arn, "stack", Some("blue")), attribute(&last(&Some(arn.clone())), "rack", None)];
    let shown = put(&fixture, put_them).await.unwrap();
    assert!(shown.iter().all(|attribute| attribute.target_id.as_ref() == Some(&arn)));
    assert_eq!(names(&fixture, None, None).await, ["rack", "stack"]);
    assert_eq!(names(&fixture, Some("stack"), None).await, ["stack"]);
    assert_eq!(names(&fixture, Some("stack"), Some("green")).await, [""; 0]);
    put(&fixture, vec![attribute(&arn, "stack", Some("green"))]).await.unwrap();
    assert_eq!(names(&fixture, Some("stack"), Some("green")).await, ["stack"]);
    let on_instance = super::instance::describe(&fixture, &arn).await.attributes.unwrap();
    assert!(on_instance.iter().any(|attribute| attribute.value.as_deref() == Some("green")));
    let input = ecs::DeleteAttributesRequest {
        attributes: Some(vec![attribute(&arn, "stack", None)]),
        ..Default::default()
    };
    attributes::delete(fixture.call(), input).await.unwrap();
    assert_eq!(names(&fixture, None, None).await, ["rack"]);
    let input = ecs::ListAttributesRequest { attribute_value: text("blue"), ..Default::default() };
    refused(attributes::list(fixture.call(), input).await, INVALID, "together with an attribute name");
}

#[tokio::test]
async fn an_instance_has_ten_at_most() {
    let fixture = fixture().await;
    let arn = super::instance::register(&fixture).await.container_instance_arn.unwrap();
    let ten = (0..10).map(|number| attribute(&arn, &format!("a{number}"), None)).collect();
    put(&fixture, ten).await.unwrap();
    let limit = "AttributeLimitExceededException";
    refused(put(&fixture, vec![attribute(&arn, "one-more", None)]).await, limit, "10 custom attributes");
    assert_eq!(names(&fixture, None, None).await.len(), 10);
    put(&fixture, vec![attribute(&arn, "a0", Some("anew"))]).await.unwrap();
}

#[tokio::test]
async fn names_values_and_targets_are_checked() {
    let fixture = fixture().await;
    let arn = super::instance::register(&fixture).await.container_instance_arn.unwrap();
    for (given, code, fragment) in [
        (attribute(&arn, "", None), INVALID, "attribute name"),
        (attribute(&arn, "a b", None), INVALID, "attribute name"),
        (attribute(&arn, &"n".repeat(129), None), INVALID, "attribute name"),
        (attribute(&arn, "name", Some("a!b")), INVALID, "attribute value"),
        (attribute(&arn, "name", Some(" a")), INVALID, "attribute value"),
        (attribute(&"0".repeat(32), "name", None), "TargetNotFoundException", "was not found"),
    ] {
        refused(put(&fixture, vec![given]).await, code, fragment);
    }
    refused(put(&fixture, vec![]).await, INVALID, "between 1 and 10 attributes");
    refused(
        put(&fixture, vec![attribute(&arn, "n", None); 11]).await,
        INVALID,
        "between 1 and 10 attributes",
    );
}
