//! One decision over many policies: `cargo bench -p policy`.
//!
//! A principal with 200 policies of five statements, each with five actions of one of 40 services and two resources; of the statements
//! one in ten has a condition. What is asked is allowed by the last statement of the last policy, or by none.

use std::{hint::black_box, time::Instant};

use policy::{
    Caller, Clause, Condition, Context, Effect, LanguageVersion, Policies, Policy, Principal, Request,
    Statement, decide,
};

const POLICIES: usize = 200;
const ROUNDS: u32 = 20_000;

fn main() {
    let all: Vec<Policy> = (0..POLICIES).map(policy).collect();
    let identity: Vec<&Policy> = all.iter().collect();
    let account = "111122223333".parse().expect("an account");
    let arn = "arn:aws:iam::111122223333:user/ann".to_owned();
    let principal = Principal { account: Some(account), caller: Caller::User { arn } };
    let context = Context::new()
        .with("aws:username", "ann")
        .with("aws:SourceIp", "10.1.2.3")
        .with("aws:RequestedRegion", "us-east-1")
        .with("aws:PrincipalTag/team", "blue");
    for (name, action, allowed) in
        [("allowed by the last", "s39:Act999", true), ("allowed by none", "s39:Other", false)]
    {
        let request = Request {
            principal: &principal,
            action,
            resource: "arn:aws:s39:us-east-1:111122223333:thing/blue/1",
            resource_account: None,
            context: &context,
        };
        let policies = Policies { identity: &identity, ..Policies::default() };
        assert_eq!(decide(&request, &policies).is_allowed(), allowed, "{name}");
        let began = Instant::now();
        for _ in 0..ROUNDS {
            black_box(decide(black_box(&request), black_box(&policies)));
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
        println!("{POLICIES} policies, {name}: {each:.2} us a decision");
    }
}

fn policy(number: usize) -> Policy {
    let statements: Vec<Statement> = (0..5)
        .map(|index| {
            let (at, service) = (number * 5 + index, number % 40);
            let action = |which: usize| match which {
                0 => format!("s{service}:Describe{at}*"),
                1 => format!("s{service}:Act{}", at - at % 5 + 4),
                _ => format!("s{service}:Do{at}x{which}"),
            };
            let condition = Condition {
                quantifier: None,
                operator: "StringEquals".to_owned(),
                if_exists: false,
                key: "aws:PrincipalTag/team".to_owned(),
                values: vec!["blue".to_owned()],
            };
            Statement {
                sid: None,
                effect: Effect::Allow,
                principals: None,
                actions: Clause { negated: false, members: (0..5).map(action).collect() },
                resources: Some(Clause {
                    negated: false,
                    members: vec![
                        format!("arn:aws:s{service}:*:111122223333:other/{at}/*"),
                        format!("arn:aws:s{service}:*:111122223333:thing/${{aws:PrincipalTag/team}}/*"),
                    ],
                }),
                conditions: if at.is_multiple_of(10) { vec![condition] } else { Vec::new() },
            }
        })
        .collect();
    Policy::new(format!("policy-{number}"), LanguageVersion::V2012, &statements).expect("valid conditions")
}
