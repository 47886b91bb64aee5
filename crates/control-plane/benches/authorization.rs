//! What it costs to authorize one request: `cargo bench -p control-plane --bench authorization`.
//!
//! A user with 200 managed policies of five statements (25 actions) each, in the store of a control plane. What is measured is all that stands
//! between a known caller and a handler: finding the caller's compiled policies, the request's actions and resources, tags and
//! policies of these, the circumstances, the decision. Aim: below 50 us.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    sync::Arc,
    time::Instant,
};

use aws_schema::{Operation, Shape};
use aws_shapes_ecs as ecs;
use control_plane::{
    Config, ControlPlane, authorization,
    gateway::{ApiError, Call, Context, Principal},
    services::iam::{
        names,
        records::{Permissions, Policy, User, Version},
    },
};
use vocabulary::{AccountId, Scope, Timestamp};

const POLICIES: usize = 200;
const ROUNDS: u32 = 20_000;
/// Policies written in one transaction.
const BATCH: usize = 50;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let directory = std::env::temp_dir().join(format!("longshore-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
        let config = Config { ephemeral: true, ..Config::local(scope.region.clone(), directory.clone()) };
        let plane = ControlPlane::start(config).await.expect("a control plane");
        let services = plane.services();
        let arns = policies(&services.state, &scope).await;
        let id = "AIDAAAAAAAAAAAAAAAAAA".to_owned();
        let user = User {
            name: "ann".to_owned(),
            path: "/".to_owned(),
            id: id.clone(),
            created_at: NOW,
            boundary: None,
            tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
            permissions: Permissions { attached: arns, inline: BTreeMap::new() },
            groups: BTreeSet::new(),
            login: None,
        };
        let global = names::global(&scope.account);
        let written = services.state.transact(|tx| {
            tx.put(&global, "ann", user.clone());
            Ok::<_, ApiError>(())
        });
        written.await.expect("a user");
        let call = Call {
            services,
            context: Arc::new(Context {
                scope: scope.clone(),
                principal: Principal {
                    account: scope.account.clone(),
                    arn: format!("arn:aws:iam::{}:user/ann", scope.account),
                    user_id: id,
                    access_key: "AKIAEXAMPLE".to_owned(),
                },
                request_id: "request".to_owned(),
                now: NOW,
                host: "localhost".to_owned(),
                origin: Default::default(),
            }),
        };
        for (name, family, allowed) in [("allowed", "web", true), ("refused", "other", false)] {
            let input =
                ecs::RunTaskRequest { task_definition: Some(format!("{family}:1")), ..Default::default() };
            let (input, table) = (input.into_value(), ecs::RunTask::TABLE);
            let ask = || authorization::authorize(&call, ecs::SERVICE, table, black_box(&input));
            let answer = ask();
            assert_eq!(answer.is_ok(), allowed, "{name}: {:?}", answer.err());
            let began = Instant::now();
            for _ in 0..ROUNDS {
                let _ = black_box(ask());
            }
            let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
            println!("RunTask with {POLICIES} policies, {name}: {each:.1} us a request");
        }
        plane.stop().await;
        let _ = std::fs::remove_dir_all(directory);
    });
}

/// The policies of the user; the last one allows what is asked.
async fn policies(state: &state_store::State, scope: &Scope) -> BTreeSet<String> {
    let services =
        ["ec2", "ecr", "logs", "events", "sqs", "sns", "kms", "ssm", "dynamodb", "lambda", "rds", "ecs"];
    let global = names::global(&scope.account);
    let made: Vec<(String, Policy)> = (0..POLICIES)
        .map(|number| {
            let service = services[number % services.len()];
            let statements: Vec<String> = (0..5)
                .map(|index| {
                    let actions: Vec<String> =
                        (0..5).map(|which| format!("\"{service}:Do{number}x{index}x{which}*\"")).collect();
                    let actions = actions.join(",");
                    format!(
                        r#"{{"Effect":"Allow","Action":[{actions}],"Resource":"arn:aws:{service}:*:{}:thing/${{aws:PrincipalTag/team}}/*"}}"#,
                        scope.account
                    )
                })
                .chain((number == POLICIES - 1).then(|| {
                    format!(
                        r#"{{"Effect":"Allow","Action":"ecs:RunTask","Resource":"arn:aws:ecs:*:{}:task-definition/web:*","Condition":{{"StringEquals":{{"aws:PrincipalTag/team":"blue"}}}}}}"#,
                        scope.account
                    )
                }))
                .collect();
            let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
            let name = format!("policy-{number}");
            let policy = Policy {
                name: name.clone(),
                path: "/".to_owned(),
                id: format!("ANPA{number:017}"),
                description: None,
                created_at: NOW,
                updated_at: NOW,
                tags: BTreeMap::new(),
                versions: BTreeMap::from([(1, Version { document, created_at: NOW })]),
                default_version: 1,
                next_version: 2,
            };
            (name, policy)
        })
        .collect();
    for batch in made.chunks(BATCH) {
        let written = state.transact(|tx| {
            for (name, policy) in batch {
                tx.put(&global, name, policy.clone());
            }
            Ok::<_, ApiError>(())
        });
        written.await.expect("policies");
    }
    made.iter().map(|(name, _)| format!("arn:aws:iam::{}:policy/{name}", scope.account)).collect()
}
