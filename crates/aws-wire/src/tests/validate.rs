use std::collections::BTreeSet;

use aws_schema::{Kind, Shape, StructureTable};

use super::{ecs, form, services};
use crate::limits::MAX_VIOLATIONS;
use crate::validate::compiles;

fn violations(request: &super::Request) -> String {
    let routed = request.route().unwrap();
    match crate::validate(routed.operation.input, &request.decode().unwrap()) {
        Ok(()) => String::new(),
        Err(violations) => violations.message(),
    }
}

fn iam(call: &str) -> String {
    violations(&form("iam", &format!("Version=2010-05-08&Action={call}")))
}

#[test]
fn messages_are_those_of_aws() {
    for (call, wanted) in [
        ("GetRole&RoleName=fine_name", ""),
        (
            "GetRole",
            "1 validation error detected: Value null at 'roleName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "GetRole&RoleName=",
            "2 validation errors detected: Value '' at 'roleName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+; Value '' at 'roleName' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "ListRoles&MaxItems=0",
            "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "ListPolicies&Scope=Some",
            "1 validation error detected: Value 'Some' at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [All, AWS, Local]",
        ),
        (
            "TagRole&RoleName=r&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Value=x",
            "1 validation error detected: Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null",
        ),
    ] {
        assert_eq!(iam(call), wanted, "{call}");
    }
}

#[test]
fn items_of_lists_are_reported_on_the_list() {
    let message = iam("UntagRole&RoleName=r&TagKeys.member.1=ok&TagKeys.member.2=");
    assert_eq!(
        message,
        "1 validation error detected: Value '[ok, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+]"
    );
}

#[test]
fn secrets_are_not_repeated() {
    let message = iam("CreateLoginProfile&UserName=u&Password=");
    assert!(message.contains("Value at 'password' failed"), "{message}");
}

#[test]
fn messages_are_bounded() {
    let long = "x".repeat(100_000);
    assert!(iam(&format!("GetRole&RoleName={long}")).len() < 1_000);
    let tags: String = (1..500).map(|index| format!("&Tags.member.{index}.Value=x")).collect();
    let request = form("iam", &format!("Version=2010-05-08&Action=TagRole{tags}"));
    let routed = request.route().unwrap();
    let violations = crate::validate(routed.operation.input, &request.decode().unwrap()).unwrap_err();
    assert_eq!(violations.0.len(), MAX_VIOLATIONS);
    assert_eq!(violations.body(routed.service).code, "ValidationError");
}

#[test]
fn every_service_has_its_code() {
    let violations = |request: &super::Request| {
        let routed = request.route().unwrap();
        let value = crate::decode(&routed, &request.head(), &request.body).unwrap();
        crate::validate(routed.operation.input, &value).unwrap_err().body(routed.service)
    };
    let missing = violations(&form("ec2", "Action=DeleteVpc&Version=2016-11-15"));
    assert_eq!(
        (&*missing.code, &*missing.message),
        ("MissingParameter", "The request must contain the parameter vpcId")
    );
    assert_eq!(violations(&ecs("DescribeTasks", "{}")).code, "InvalidParameterException");
}

#[test]
fn lengths_are_in_characters() {
    let sixty_four = "é".repeat(64);
    let table = aws_shapes_iam::CreateUserRequest::TABLE;
    let user = |name: &str| aws_shapes_iam::CreateUserRequest {
        user_name: Some(name.to_owned()),
        ..Default::default()
    };
    let message = crate::validate(table, &user(&sixty_four).into_value()).unwrap_err().message();
    assert!(message.contains("pattern") && !message.contains("length"), "{message}");
}

/// What `regex` cannot express passes unchecked: these are all, so that none joins them unseen.
#[test]
fn patterns_that_are_not_checked() {
    let mut found = BTreeSet::new();
    for service in services() {
        for operation in service.operations {
            collect(&Kind::Structure(operation.input), &mut BTreeSet::new(), &mut found);
        }
    }
    assert!(found.len() >= 50, "{}", found.len());
    let unchecked: Vec<_> = found.into_iter().filter(|pattern| !compiles(pattern)).collect();
    assert_eq!(unchecked, [r"[0-9A-Za-z\.\-_]*(?<!\.)", r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$"]);
}

fn collect(kind: &Kind, seen: &mut BTreeSet<*const StructureTable>, found: &mut BTreeSet<&'static str>) {
    match kind {
        Kind::String(table) => found.extend(table.pattern),
        Kind::List(table) => collect(&table.item, seen, found),
        Kind::Map(table) => {
            found.extend(table.key.pattern);
            collect(&table.value, seen, found);
        }
        Kind::Structure(table) if seen.insert(std::ptr::from_ref(*table)) => {
            for member in table.members {
                collect(&member.kind, seen, found);
            }
        }
        _ => {}
    }
}
