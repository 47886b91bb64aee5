//! Examples of each rule, in the terms of the IAM user guide; properties of all of them.

mod conditions;
mod logic;
mod patterns;
mod properties;
mod published;

use crate::*;

fn clause(members: &[&str]) -> Clause<String> {
    Clause { negated: false, members: members.iter().map(|&member| member.to_owned()).collect() }
}

fn statement(effect: Effect, actions: &[&str], resources: &[&str]) -> Statement {
    Statement {
        sid: None,
        effect,
        principals: None,
        actions: clause(actions),
        resources: Some(clause(resources)),
        conditions: Vec::new(),
    }
}

fn allow(actions: &[&str], resources: &[&str]) -> Statement {
    statement(Effect::Allow, actions, resources)
}

fn deny(actions: &[&str], resources: &[&str]) -> Statement {
    statement(Effect::Deny, actions, resources)
}

fn to(principals: &[&str], mut statement: Statement) -> Statement {
    let members = principals.iter().map(|&name| match name {
        "*" => NamedPrincipal::Anyone,
        name if name.ends_with(".amazonaws.com") => NamedPrincipal::Service(name.to_owned()),
        name => NamedPrincipal::Aws(name.to_owned()),
    });
    statement.principals = Some(Clause { negated: false, members: members.collect() });
    statement
}

fn policy(statements: &[Statement]) -> Policy {
    Policy::new("policy", LanguageVersion::V2012, statements).unwrap()
}

fn user() -> Principal {
    Principal {
        account: Some("111122223333".parse().unwrap()),
        caller: Caller::User { arn: "arn:aws:iam::111122223333:user/ann".into() },
    }
}

fn session() -> Principal {
    Principal {
        account: Some("111122223333".parse().unwrap()),
        caller: Caller::RoleSession {
            arn: "arn:aws:sts::111122223333:assumed-role/app/t1".into(),
            role_arn: "arn:aws:iam::111122223333:role/app".into(),
        },
    }
}
