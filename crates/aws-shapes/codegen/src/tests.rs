use crate::{generate, names};

#[test]
fn field_names() {
    for (model, rust) in [
        ("launchType", "launch_type"),
        ("enableECSManagedTags", "enable_ecs_managed_tags"),
        ("containerInstanceArns", "container_instance_arns"),
        ("type", "r#type"),
        ("self", "self_"),
        ("VpcId", "vpc_id"),
        ("IPv6Addresses", "ipv6_addresses"),
        ("SourceARNs", "source_arns"),
        ("ARN", "arn"),
        ("awsvpcConfiguration", "awsvpc_configuration"),
        ("Ipv6CidrBlockSet", "ipv6_cidr_block_set"),
    ] {
        assert_eq!(names::field(model), rust, "{model}");
    }
}

#[test]
fn type_and_variant_names() {
    assert_eq!(names::type_name("Service"), "Service");
    assert_eq!(names::type_name("Option"), "OptionShape");
    assert_eq!(names::type_name("internalThing"), "InternalThing");
    assert_eq!(names::constant("ClusterNotFoundException"), "CLUSTER_NOT_FOUND_EXCEPTION");
    let values: Vec<String> =
        ["FARGATE_SPOT", "m5.large", "X86_64", "x86_64", "", "2020-01", "awsvpc", "Self"]
            .map(str::to_owned)
            .to_vec();
    assert_eq!(
        names::variants(&values),
        ["FargateSpot", "M5Large", "X8664", "X8664_", "Empty", "V202001", "Awsvpc", "Self_"]
    );
}

const RECURSIVE: &str = r#"{
    "service": "x", "metadata": {"apiVersion": "1", "endpointPrefix": "x", "serviceId": "X", "protocol": "json"},
    "operationNames": ["B", "A"],
    "operations": {"A": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "Tree"}}},
    "shapes": {
        "Tree": {"type": "structure", "members": {"next": {"shape": "Tree"}, "list": {"shape": "Trees"}, "leaf": {"shape": "Leaf"}}},
        "Trees": {"type": "list", "member": {"shape": "Tree"}},
        "Leaf": {"type": "structure", "members": {}}
    }
}"#;

#[test]
fn only_direct_recursion_is_boxed() {
    let code = generate(RECURSIVE).unwrap();
    assert!(code.contains("pub next: Option<Box<Tree>>,"), "{code}");
    assert!(code.contains("pub list: Option<Vec<Tree>>,"), "{code}");
    assert!(code.contains("pub leaf: Option<Leaf>,"), "{code}");
    assert!(code.contains(r#"operation_names: &["A", "B"]"#), "{code}");
}

#[test]
fn a_broken_model_is_refused() {
    let missing = RECURSIVE.replace(r#""Leaf": {"#, r#""Twig": {"#);
    assert!(generate(&missing).unwrap_err().contains("missing shape Leaf"));
    assert!(generate("{}").is_err());
    assert!(generate("[").is_err());
}
