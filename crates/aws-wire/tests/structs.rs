//! Every imported operation's input and output survives the way through its generated struct: no member is lost,
//! swapped or of another type.

#[path = "botocore/generate.rs"]
mod generate;

use aws_schema::{Operation, Protocol, Shape, Value};
use generate::{Generator, Purpose};

fn check<O: Operation>() {
    for round in 0..6 {
        through::<O::Input>(O::TABLE.name, round);
        through::<O::Output>(O::TABLE.name, round);
    }
}

fn through<S: Shape>(operation: &str, round: u64) {
    let purpose = Purpose { protocol: Protocol::AwsJson11, request: true };
    let value = Generator::new(operation, round, purpose).structure(S::TABLE);
    let back = S::from_value(value.clone())
        .unwrap_or_else(|error| panic!("{operation}, {}: {error}", S::TABLE.name))
        .into_value();
    assert_eq!(sorted(back), sorted(value), "{operation}, {}", S::TABLE.name);
}

/// Structs keep maps sorted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(entries)
        }
        Value::List(items) => Value::List(items.into_iter().map(sorted).collect()),
        Value::Structure(members) => {
            Value::Structure(members.into_iter().map(|member| member.map(sorted)).collect())
        }
        other => other,
    }
}

macro_rules! services {
    ($d:tt $($test:ident: $krate:ident, $all:ident;)*) => {$(
        #[test]
        fn $test() {
            macro_rules! each {
                ($d($d operation:ident)*) => { $d(check::<$krate::$d operation>();)* };
            }
            $krate::$all!(each);
        }
    )*};
}

services! { $
    ecs: aws_shapes_ecs, ecs_operations;
    ecr: aws_shapes_ecr, ecr_operations;
    ecr_public: aws_shapes_ecr_public, ecr_public_operations;
    sts: aws_shapes_sts, sts_operations;
    iam: aws_shapes_iam, iam_operations;
    ec2: aws_shapes_ec2, ec2_operations;
    logs: aws_shapes_logs, logs_operations;
    elbv2: aws_shapes_elbv2, elbv2_operations;
    elb: aws_shapes_elb, elb_operations;
    acm: aws_shapes_acm, acm_operations;
    cloudwatch: aws_shapes_cloudwatch, cloudwatch_operations;
    secretsmanager: aws_shapes_secretsmanager, secretsmanager_operations;
    kms: aws_shapes_kms, kms_operations;
    ssm: aws_shapes_ssm, ssm_operations;
    cloudtrail: aws_shapes_cloudtrail, cloudtrail_operations;
}
