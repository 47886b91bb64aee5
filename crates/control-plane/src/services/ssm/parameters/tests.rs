//! Parameter Store through its handlers.

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{
    DescribeParametersRequest, GetParameterHistoryRequest, GetParameterRequest, GetParametersByPathRequest,
    GetParametersRequest, LabelParameterVersionRequest, ParameterStringFilter, ParameterTier, ParameterType,
    PutParameterRequest, PutParameterResult, UnlabelParameterVersionRequest,
};

use super::{delete, describe, get, labels, put, tags};
use crate::{
    gateway::ApiError,
    services::testing::{Fixture, HOUR, refused, scope, text},
};

const INVALID: &str = "ValidationException";

fn request(name: &str, value: &str) -> PutParameterRequest {
    PutParameterRequest {
        name: text(name),
        value: text(value),
        r#type: Some(ParameterType::String),
        ..Default::default()
    }
}

fn overwriting(name: &str, value: &str) -> PutParameterRequest {
    PutParameterRequest { r#type: None, overwrite: Some(true), ..request(name, value) }
}

fn filter(key: &str, option: Option<&str>, values: &[&str]) -> ParameterStringFilter {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    ParameterStringFilter {
        key: text(key),
        option: option.map(str::to_owned),
        values: (!values.is_empty()).then_some(values),
    }
}

impl Fixture {
    async fn put(&self, input: PutParameterRequest) -> Result<PutParameterResult, ApiError> {
        put::put(self.call(), input).await
    }

    async fn get(&self, name: &str) -> Result<ssm::Parameter, ApiError> {
        let input = GetParameterRequest { name: text(name), ..Default::default() };
        Ok(get::get(self.call(), input).await?.parameter.unwrap())
    }

    async fn label(
        &self,
        name: &str,
        version: Option<i64>,
        labels: &[&str],
    ) -> Result<Vec<String>, ApiError> {
        let input = LabelParameterVersionRequest {
            name: text(name),
            parameter_version: version,
            labels: Some(labels.iter().map(|label| (*label).to_owned()).collect()),
        };
        Ok(labels::label(self.call(), input).await?.invalid_labels.unwrap())
    }

    async fn under(&self, path: &str, recursive: bool, filters: Vec<ParameterStringFilter>) -> Vec<String> {
        let input = GetParametersByPathRequest {
            path: text(path),
            recursive: Some(recursive),
            parameter_filters: Some(filters),
            ..Default::default()
        };
        let found = get::by_path(self.call(), input).await.unwrap().parameters.unwrap();
        found.into_iter().map(|parameter| parameter.name.unwrap()).collect()
    }

    async fn names_of(&self, filters: Vec<ParameterStringFilter>) -> Result<Vec<String>, ApiError> {
        let input = DescribeParametersRequest {
            parameter_filters: Some(filters),
            max_results: Some(50),
            ..Default::default()
        };
        let found = describe::describe(self.call(), input).await?.parameters.unwrap();
        Ok(found.into_iter().map(|parameter| parameter.name.unwrap()).collect())
    }
}

#[tokio::test]
async fn a_parameter_has_versions_and_an_arn() {
    let fixture = Fixture::new().await;
    let made = fixture.put(request("/app/color", "red")).await.unwrap();
    assert_eq!((made.version, made.tier), (Some(1), Some(ParameterTier::Standard)));
    refused(
        fixture.put(request("/app/color", "blue")).await,
        "ParameterAlreadyExists",
        "To overwrite this value, set the overwrite option in the request to true.",
    );
    assert_eq!(fixture.put(overwriting("/app/color", "blue")).await.unwrap().version, Some(2));
    let arn = scope().arn("ssm", "parameter/app/color").to_string();
    for (asked, value, selector) in [
        ("/app/color".to_owned(), "blue", None),
        (arn.clone(), "blue", None),
        ("/app/color:1".to_owned(), "red", text(":1")),
        (format!("{arn}:2"), "blue", text(":2")),
    ] {
        let found = fixture.get(&asked).await.unwrap();
        assert_eq!((found.value.as_deref(), found.selector), (Some(value), selector), "{asked}");
        assert_eq!((found.name.as_deref(), found.arn.as_deref()), (Some("/app/color"), Some(arn.as_str())));
    }
    refused(fixture.get("/app/none").await, "ParameterNotFound", "Parameter /app/none not found.");
    refused(fixture.get("/app/color:1:2").await, "ParameterNotFound", "");
    refused(
        fixture.get("/app/color:3").await,
        "ParameterVersionNotFound",
        "Systems Manager could not find version 3 of /app/color. Verify the version and try again.",
    );
    refused(fixture.get("/app/color:live").await, "ParameterVersionNotFound", "could not find label live");
    refused(fixture.get(&arn.replace("us-east-1", "eu-west-1")).await, "ParameterNotFound", "");
}

#[tokio::test]
async fn at_the_root_a_first_slash_means_nothing() {
    let fixture = Fixture::new().await;
    for (made, other) in [("/one", "one"), ("two", "/two")] {
        fixture.put(request(made, "x")).await.unwrap();
        let found = fixture.get(other).await.unwrap();
        assert_eq!((found.name.as_deref(), found.value.as_deref()), (Some(made), Some("x")));
        assert_eq!(fixture.get(&found.arn.unwrap()).await.unwrap().name.as_deref(), Some(made));
        refused(fixture.put(request(other, "y")).await, "ParameterAlreadyExists", "");
        assert_eq!(fixture.put(overwriting(other, "y")).await.unwrap().version, Some(2));
        assert_eq!(fixture.get(&format!("{made}:2")).await.unwrap().value.as_deref(), Some("y"));
        let input = ssm::DeleteParameterRequest { name: text(other) };
        delete::delete(fixture.call(), input).await.unwrap();
        refused(fixture.get(made).await, "ParameterNotFound", "");
    }
    // Below the root it is part of the name.
    fixture.put(request("/a/b", "x")).await.unwrap();
    refused(fixture.get("a/b").await, "ParameterNotFound", "");
}

#[tokio::test]
async fn names_are_checked() {
    let fixture = Fixture::new().await;
    let deep = "/a".repeat(16);
    let long = format!("/{}", "a".repeat(1000));
    for (name, code, message) in [
        ("aws_x", INVALID, "can't be prefixed with \"aws\" or \"ssm\""),
        ("/SSM/x/y", INVALID, "Parameter name: can't be prefixed with \"ssm\""),
        ("/AWS/x/y", "AccessDeniedException", "No access to reserved parameter name: /AWS/x/y."),
        ("a/b", INVALID, "must be a fully qualified name"),
        ("a b", INVALID, "symbols [/._-] only"),
        ("/a/", INVALID, "symbols [/._-] only"),
        (&deep, "HierarchyLevelLimitExceededException", "15 levels"),
        (&long, INVALID, "1011"),
    ] {
        refused(fixture.put(request(name, "x")).await, code, message);
    }
    fixture.put(request(&"/a".repeat(15), "x")).await.unwrap();
}

#[tokio::test]
async fn values_are_checked() {
    let fixture = Fixture::new().await;
    let ok = |change: fn(&mut PutParameterRequest)| {
        let mut input = request("p", "value");
        change(&mut input);
        input
    };
    for (input, code, message) in [
        (ok(|p| p.value = text("")), INVALID, "Member must have length greater than or equal to 1"),
        (ok(|p| p.r#type = None), INVALID, "A parameter type is required when you create a parameter."),
        (ok(|p| p.value = text("{{other}}")), INVALID, "can't nest another parameter"),
        (ok(|p| p.value = Some("x".repeat(4097))), INVALID, "Standard tier parameters support a maximum"),
        (ok(|p| p.key_id = text("k")), INVALID, "KeyId is required for SecureString type parameter only."),
        (ok(|p| p.data_type = text("odd")), INVALID, "The following data type is not supported: odd"),
        (ok(|p| p.data_type = text("aws:ec2:image")), "NotImplemented", "aws:ec2:image"),
        (ok(|p| p.allowed_pattern = text("[")), "InvalidAllowedPatternException", ""),
        (
            ok(|p| p.allowed_pattern = text("^[0-9]+$")),
            "ParameterPatternMismatchException",
            "Parameter value, cannot be validated against allowedPattern: ^[0-9]+$",
        ),
        (
            ok(|p| {
                p.overwrite = Some(true);
                p.tags = Some(vec![ssm::Tag { key: text("a"), value: text("b") }]);
            }),
            INVALID,
            "tags and overwrite can't be used together",
        ),
    ] {
        refused(fixture.put(input).await, code, message);
    }
    assert!(fixture.names_of(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_new_version_does_not_say_it_takes_from_the_old_one() {
    let fixture = Fixture::new().await;
    let first = PutParameterRequest {
        description: text("a number"),
        allowed_pattern: text("^[0-9]+$"),
        tags: Some(vec![ssm::Tag { key: text("team"), value: text("web") }]),
        ..request("n", "1")
    };
    fixture.put(first).await.unwrap();
    refused(fixture.put(overwriting("n", "x")).await, "ParameterPatternMismatchException", "");
    fixture.put(overwriting("n", "2")).await.unwrap();
    let other = PutParameterRequest { r#type: Some(ParameterType::StringList), ..overwriting("n", "3") };
    refused(fixture.put(other).await, "HierarchyTypeMismatchException", "");
    let shown = describe::describe(fixture.call(), Default::default()).await.unwrap().parameters.unwrap();
    let shown = &shown[0];
    assert_eq!((shown.description.as_deref(), shown.version), (Some("a number"), Some(2)));
    assert_eq!(shown.last_modified_user.as_deref(), Some("arn:aws:iam::000000000000:root"));
    assert_eq!(fixture.names_of(vec![filter("tag:team", None, &["web"])]).await.unwrap(), ["n"]);
}

#[tokio::test]
async fn tiers_only_go_up() {
    let fixture = Fixture::new().await;
    let tiered = |tier, overwrite, length: usize| PutParameterRequest {
        tier: Some(tier),
        overwrite: Some(overwrite),
        ..request("t", &"x".repeat(length))
    };
    let tier = |made: PutParameterResult| made.tier.unwrap();
    let small = fixture.put(tiered(ParameterTier::IntelligentTiering, false, 10)).await.unwrap();
    assert_eq!(tier(small), ParameterTier::Standard);
    let large = fixture.put(tiered(ParameterTier::IntelligentTiering, true, 5000)).await.unwrap();
    assert_eq!(tier(large), ParameterTier::Advanced);
    assert_eq!(tier(fixture.put(overwriting("t", "x")).await.unwrap()), ParameterTier::Advanced);
    refused(fixture.put(tiered(ParameterTier::Standard, true, 1)).await, INVALID, "You can't downgrade");
    refused(fixture.put(tiered(ParameterTier::Advanced, true, 8193)).await, INVALID, "8192 characters");
    assert_eq!(fixture.names_of(vec![filter("Tier", None, &["Advanced"])]).await.unwrap(), ["t"]);
}

#[tokio::test]
async fn a_hundred_versions_are_kept_and_labels_hold_the_oldest() {
    let fixture = Fixture::new().await;
    fixture.put(request("v", "0")).await.unwrap();
    for number in 1..100 {
        fixture.put(overwriting("v", &number.to_string())).await.unwrap();
    }
    fixture.label("v", Some(1), &["first"]).await.unwrap();
    refused(
        fixture.put(overwriting("v", "x")).await,
        "ParameterMaxVersionLimitExceeded",
        "Version 1, the oldest version, can't be deleted because it has a label associated with it.",
    );
    let input = UnlabelParameterVersionRequest {
        name: text("v"),
        parameter_version: Some(1),
        labels: Some(vec!["first".to_owned(), "other".to_owned()]),
    };
    let unlabelled = labels::unlabel(fixture.call(), input).await.unwrap();
    assert_eq!(unlabelled.removed_labels.unwrap(), ["first"]);
    assert_eq!(unlabelled.invalid_labels.unwrap(), ["other"]);
    assert_eq!(fixture.put(overwriting("v", "x")).await.unwrap().version, Some(101));
    refused(fixture.get("v:1").await, "ParameterVersionNotFound", "");

    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let input = GetParameterHistoryRequest { name: text("v"), next_token: token, ..Default::default() };
        let page = get::history(fixture.call(), input).await.unwrap();
        seen.extend(page.parameters.unwrap().into_iter().map(|version| version.version.unwrap()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, (2..=101).collect::<Vec<_>>());
    let input = ssm::DeleteParameterRequest { name: text("v") };
    delete::delete(fixture.call(), input.clone()).await.unwrap();
    refused(delete::delete(fixture.call(), input).await, "ParameterNotFound", "");
    assert_eq!(fixture.services.state.read(|view| view.count_all::<super::Version>()), 0);
}

#[tokio::test]
async fn a_label_is_on_one_version() {
    let fixture = Fixture::new().await;
    fixture.put(request("l", "one")).await.unwrap();
    fixture.put(overwriting("l", "two")).await.unwrap();
    assert_eq!(
        fixture.label("l", Some(1), &["live", "1st", "aws-x", "a b"]).await.unwrap(),
        ["1st", "aws-x", "a b"]
    );
    assert_eq!(fixture.get("l:live").await.unwrap().value.as_deref(), Some("one"));
    fixture.label("l", None, &["live"]).await.unwrap();
    assert_eq!(fixture.get("l:live").await.unwrap().value.as_deref(), Some("two"));
    let many: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(fixture.label("l", None, &many).await, "ParameterVersionLabelLimitExceeded", "maximum 10 labels");
    refused(fixture.label("l", Some(9), &["x"]).await, "ParameterVersionNotFound", "version 9");
    refused(fixture.label("none", None, &["x"]).await, "ParameterNotFound", "none");
    fixture.put(request("/p/l", "one")).await.unwrap();
    fixture.label("/p/l", None, &["live"]).await.unwrap();
    fixture.put(overwriting("/p/l", "two")).await.unwrap();
    assert_eq!(fixture.under("/p", false, vec![filter("Label", None, &["live"])]).await, ["/p/l"]);
    assert!(fixture.under("/p", false, vec![filter("Label", None, &["none"])]).await.is_empty());
}

#[tokio::test]
async fn paths_show_one_level_or_all() {
    let fixture = Fixture::new().await;
    for name in ["foo", "/foo/a", "/foo/b/c", "/foobar/x"] {
        fixture.put(request(name, "x")).await.unwrap();
    }
    assert_eq!(fixture.under("/", false, Vec::new()).await, ["foo"]);
    assert_eq!(fixture.under("/", true, Vec::new()).await, ["/foo/a", "/foo/b/c", "/foobar/x", "foo"]);
    assert_eq!(fixture.under("/foo", false, Vec::new()).await, ["/foo/a"]);
    assert_eq!(fixture.under("/foo/", true, Vec::new()).await, ["/foo/a", "/foo/b/c"]);
    let list = PutParameterRequest { r#type: Some(ParameterType::StringList), ..request("/foo/l", "a,b") };
    fixture.put(list).await.unwrap();
    assert_eq!(fixture.under("/foo", true, vec![filter("Type", None, &["StringList"])]).await, ["/foo/l"]);
    let begins = vec![filter("Type", Some("BeginsWith"), &["String"])];
    assert_eq!(fixture.under("/foo", true, begins).await.len(), 3);
    let by = |path: &str, token| GetParametersByPathRequest {
        path: text(path),
        recursive: Some(true),
        max_results: Some(2),
        next_token: token,
        ..Default::default()
    };
    let page = get::by_path(fixture.call(), by("/", None)).await.unwrap();
    assert_eq!(page.parameters.unwrap().len(), 2);
    assert!(page.next_token.is_some());
    refused(get::by_path(fixture.call(), by("/foo", page.next_token)).await, "InvalidNextToken", "");
    refused(get::by_path(fixture.call(), by("foo", None)).await, INVALID, "must begin with a forward slash");
}

#[tokio::test]
async fn filters_choose_among_all() {
    let fixture = Fixture::new().await;
    for name in ["param", "/param-2", "/tangent-3", "tangram-4", "/bar/one/two"] {
        fixture.put(request(name, "x")).await.unwrap();
    }
    for (one, expected) in [
        (filter("Name", None, &["/param"]), vec!["param"]),
        (filter("Name", None, &["param-2"]), vec!["/param-2"]),
        (filter("Name", Some("BeginsWith"), &["param"]), vec!["/param-2", "param"]),
        (filter("Name", Some("Contains"), &["/tan"]), vec!["/tangent-3", "tangram-4"]),
        (filter("Path", None, &["/bar/one"]), vec!["/bar/one/two"]),
        (filter("Path", Some("Recursive"), &["/bar"]), vec!["/bar/one/two"]),
        (filter("Path", None, &["/ba"]), vec![]),
        (
            filter("DataType", None, &["text"]),
            vec!["/bar/one/two", "/param-2", "/tangent-3", "param", "tangram-4"],
        ),
    ] {
        assert_eq!(fixture.names_of(vec![one.clone()]).await.unwrap(), expected, "{one:?}");
    }
    for (filters, code, message) in [
        (
            vec![filter("Label", None, &["x"])],
            "InvalidFilterKey",
            "Valid filter keys include: [Path, Name, Type, KeyId, Tier]",
        ),
        (
            vec![filter("Name", None, &[])],
            "InvalidFilterValue",
            "filter values are missing : null for filter key Name",
        ),
        (
            vec![filter("Name", None, &["a"]), filter("Name", None, &["b"])],
            "InvalidFilterKey",
            "duplicated in the request: Name",
        ),
        (
            vec![filter("Name", Some("option"), &["a"])],
            "InvalidFilterOption",
            "Valid options include: [BeginsWith, Equals]",
        ),
        (vec![filter("Path", Some("Equals"), &["/a"])], "InvalidFilterOption", "[Recursive, OneLevel]"),
        (vec![filter("Path", None, &["/aws"])], INVALID, "can't be prefixed with \"aws\" or \"ssm\""),
        (vec![filter("Path", None, &["/a//b"])], INVALID, "doesn't meet the parameter name requirements"),
        (
            vec![filter("Tier", None, &["x"])],
            "InvalidFilterOption",
            "[Standard, Advanced, Intelligent-Tiering]",
        ),
        (vec![filter("Type", None, &["x"])], "InvalidFilterOption", "[String, StringList, SecureString]"),
    ] {
        refused(fixture.names_of(filters).await, code, message);
    }
}

#[tokio::test]
async fn several_are_got_and_deleted_at_once() {
    let fixture = Fixture::new().await;
    for name in ["a", "b"] {
        fixture.put(request(name, name)).await.unwrap();
    }
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let input = GetParametersRequest { names: names(&["b", "a:1", "c", "a:7"]), ..Default::default() };
    let found = get::get_several(fixture.call(), input).await.unwrap();
    assert_eq!(found.parameters.unwrap().len(), 2);
    assert_eq!(found.invalid_parameters.unwrap(), ["c", "a:7"]);
    let input = GetParametersRequest { names: names(&["a", "a"]), ..Default::default() };
    refused(get::get_several(fixture.call(), input).await, INVALID, "Duplicate");
    let input = ssm::DeleteParametersRequest { names: names(&["a", "c"]) };
    let gone = delete::delete_several(fixture.call(), input).await.unwrap();
    assert_eq!((gone.deleted_parameters, gone.invalid_parameters), (names(&["a"]), names(&["c"])));
}

#[tokio::test]
async fn a_parameter_ends_when_its_policy_says_so() {
    let fixture = Fixture::new().await;
    let policies = |text: &str| PutParameterRequest {
        tier: Some(ParameterTier::Advanced),
        policies: Some(text.to_owned()),
        ..request("/e", "x")
    };
    let at = |hours: i64| {
        let seconds = (fixture.now().as_millis() + hours * HOUR) / 1000;
        let time = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let expiration = |hours| {
        format!(r#"{{"Type":"Expiration","Version":"1.0","Attributes":{{"Timestamp":"{}"}}}}"#, at(hours))
    };
    let notice =
        r#"{"Type":"ExpirationNotification","Version":"1.0","Attributes":{"Before":"2","Unit":"Hours"}}"#;
    let unchanged =
        r#"{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"1","Unit":"Days"}}"#;
    for (given, code) in [
        ("{}".to_owned(), "InvalidPolicyAttributeException"),
        (r#"[{"Type":"Odd","Version":"1.0","Attributes":{}}]"#.to_owned(), "InvalidPolicyTypeException"),
        (format!("[{}]", expiration(-1)), "InvalidPolicyAttributeException"),
        (format!("[{notice}]"), "IncompatiblePolicyException"),
        (format!("[{},{}]", expiration(1), expiration(2)), "IncompatiblePolicyException"),
    ] {
        refused(fixture.put(policies(&given)).await, code, "");
    }
    let given = format!("[{},{notice},{unchanged}]", expiration(30));
    refused(fixture.put(PutParameterRequest { tier: None, ..policies(&given) }).await, INVALID, "Advanced");
    fixture.put(policies(&given)).await.unwrap();
    let statuses = async || {
        let shown = describe::describe(fixture.call(), Default::default()).await.unwrap().parameters.unwrap();
        let policies = shown.into_iter().flat_map(|one| one.policies.unwrap());
        policies.map(|policy| policy.policy_status.unwrap()).collect::<Vec<_>>()
    };
    let carry_out = async || super::carry_out_policies(&fixture.services, fixture.now()).await.unwrap();
    carry_out().await;
    assert_eq!(statuses().await, ["Pending", "Pending", "Pending"]);
    fixture.pass(25 * HOUR);
    carry_out().await;
    assert_eq!(statuses().await, ["Pending", "Pending", "Finished"]);
    fixture.pass(4 * HOUR);
    carry_out().await;
    assert_eq!(statuses().await, ["Pending", "Finished", "Finished"]);
    fixture.put(overwriting("/e", "y")).await.unwrap();
    assert_eq!(statuses().await, ["Pending", "Finished", "Pending"]);
    fixture.pass(2 * HOUR);
    carry_out().await;
    refused(fixture.get("/e").await, "ParameterNotFound", "");
}

#[tokio::test]
async fn parameters_have_tags() {
    let fixture = Fixture::new().await;
    fixture.put(request("/t", "x")).await.unwrap();
    let tag = |key: &str| ssm::Tag { key: text(key), value: text("v") };
    let parameter = Some(ssm::ResourceTypeForTagging::Parameter);
    let add = |id: &str, tags: Vec<ssm::Tag>| ssm::AddTagsToResourceRequest {
        resource_type: parameter,
        resource_id: text(id),
        tags: Some(tags),
    };
    tags::add(fixture.call(), add("/t", vec![tag("a"), tag("b")])).await.unwrap();
    let input = ssm::RemoveTagsFromResourceRequest {
        resource_type: parameter,
        resource_id: text("/t"),
        tag_keys: Some(vec!["a".to_owned()]),
    };
    tags::remove(fixture.call(), input).await.unwrap();
    let list = ssm::ListTagsForResourceRequest { resource_type: parameter, resource_id: text("/t") };
    let shown = tags::list(fixture.call(), list.clone()).await.unwrap().tag_list.unwrap();
    assert_eq!(shown, [tag("b")]);
    refused(tags::add(fixture.call(), add("/none", vec![tag("a")])).await, "InvalidResourceId", "");
    let many = (0..51).map(|number| tag(&format!("k{number}"))).collect();
    refused(tags::add(fixture.call(), add("/t", many)).await, "TooManyTagsError", "");
    let document = ssm::ListTagsForResourceRequest {
        resource_type: Some(ssm::ResourceTypeForTagging::Document),
        ..list
    };
    refused(tags::list(fixture.call(), document).await, "InvalidResourceType", "");
}
