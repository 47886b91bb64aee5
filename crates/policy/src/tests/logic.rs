use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:queue";
const ANN: &str = "arn:aws:iam::111122223333:user/ann";
const ROLE: &str = "arn:aws:iam::111122223333:role/app";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/t1";

/// What decides about `sqs:SendMessage` on a queue of account 111122223333.
fn ask(principal: &Principal, policies: Policies<'_>) -> Decision {
    let (context, account) = (Context::new(), "111122223333".parse().unwrap());
    let request = Request {
        principal,
        action: "sqs:SendMessage",
        resource: QUEUE,
        resource_account: Some(&account),
        context: &context,
    };
    decide(&request, &policies)
}

fn verdict(principal: &Principal, policies: Policies<'_>) -> Verdict {
    ask(principal, policies).verdict()
}

use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};

#[test]
fn nothing_is_allowed_by_silence_and_a_deny_wins() {
    let (all, none, other) = (
        policy(&[allow(&["*"], &["*"])]),
        policy(&[deny(&["sqs:*"], &["*"])]),
        policy(&[allow(&["sqs:Receive*"], &["*"])]),
    );
    let identity =
        |policies: &[&Policy]| verdict(&user(), Policies { identity: policies, ..Policies::default() });
    assert_eq!(identity(&[]), ImplicitDeny);
    assert_eq!(identity(&[&other]), ImplicitDeny);
    assert_eq!(identity(&[&other, &all]), Allowed);
    assert_eq!(identity(&[&all, &none]), ExplicitDeny);
}

#[test]
fn what_is_not_named_is_meant_by_not_action_and_not_resource() {
    let mut but_reading = allow(&["sqs:Receive*"], &["*"]);
    but_reading.actions.negated = true;
    let mut but_this = allow(&["sqs:*"], &[QUEUE]);
    but_this.resources.as_mut().unwrap().negated = true;
    let by = |statement: Statement| {
        verdict(&user(), Policies { identity: &[&policy(&[statement])], ..Policies::default() })
    };
    assert_eq!(by(but_reading), Allowed);
    assert_eq!(by(but_this), ImplicitDeny);
}

#[test]
fn limits_take_away_and_give_nothing() {
    let (all, sending, reading) = (
        policy(&[allow(&["*"], &["*"])]),
        policy(&[allow(&["sqs:SendMessage"], &["*"])]),
        policy(&[allow(&["sqs:ReceiveMessage"], &["*"])]),
    );
    let limited = |identity: &Policy, boundary: Option<&Policy>, session: Option<&Policy>| {
        let (boundary, session) = (boundary.map(|one| [one]), session.map(|one| [one]));
        ask(
            &user(),
            Policies {
                identity: &[identity],
                boundary: boundary.as_ref().map(<[_; 1]>::as_slice),
                session: session.as_ref().map(<[_; 1]>::as_slice),
                ..Policies::default()
            },
        )
    };
    assert!(limited(&all, Some(&sending), Some(&sending)).is_allowed());
    assert_eq!(limited(&all, Some(&reading), None), Decision::NotAllowed(Kind::Boundary));
    assert_eq!(limited(&all, Some(&all), Some(&reading)), Decision::NotAllowed(Kind::Session));
    assert_eq!(limited(&reading, Some(&all), None), Decision::NotAllowed(Kind::Identity));
    let nothing: &[&Policy] = &[];
    let empty = Policies { identity: &[&all], session: Some(nothing), ..Policies::default() };
    assert_eq!(ask(&user(), empty), Decision::NotAllowed(Kind::Session));
}

#[test]
fn a_resources_policy_is_enough_within_the_account() {
    let reading = policy(&[allow(&["sqs:ReceiveMessage"], &["*"])]);
    let limit = [&reading];
    let by = |principal: &Principal, named: &str, limited: bool| {
        let resource = policy(&[to(&[named], allow(&["sqs:SendMessage"], &[QUEUE]))]);
        let limits = limited.then_some(limit.as_slice());
        verdict(
            principal,
            Policies { resource: Some(&resource), boundary: limits, session: limits, ..Policies::default() },
        )
    };
    for (principal, named, limited, expected) in [
        (user(), ANN, false, Allowed),
        (user(), ANN, true, Allowed),
        (user(), "*", false, Allowed),
        (user(), "*", true, ImplicitDeny),
        // The account is trusted to decide by itself.
        (user(), "111122223333", false, ImplicitDeny),
        (user(), "arn:aws:iam::111122223333:root", false, ImplicitDeny),
        (user(), "arn:aws:iam::111122223333:user/bob", false, ImplicitDeny),
        (session(), SESSION, true, Allowed),
        (session(), ROLE, false, Allowed),
        (session(), ROLE, true, ImplicitDeny),
        (session(), ANN, false, ImplicitDeny),
    ] {
        assert_eq!(by(&principal, named, limited), expected, "{principal:?} {named} {limited}");
    }
}

#[test]
fn across_accounts_both_sides_have_to_allow() {
    let stranger = Principal {
        account: Some("444455556666".parse().unwrap()),
        caller: Caller::User { arn: "arn:aws:iam::444455556666:user/eve".into() },
    };
    let own = policy(&[allow(&["sqs:*"], &["*"])]);
    for named in ["444455556666", "arn:aws:iam::444455556666:user/eve", "*"] {
        let resource = policy(&[to(&[named], allow(&["sqs:SendMessage"], &["*"]))]);
        let with = |identity: &[&Policy]| {
            verdict(&stranger, Policies { identity, resource: Some(&resource), ..Policies::default() })
        };
        assert_eq!(with(&[&own]), Allowed, "{named}");
        assert_eq!(with(&[]), ImplicitDeny, "{named}");
        let root = Principal::root("444455556666".parse().unwrap());
        let of_root = verdict(&root, Policies { resource: Some(&resource), ..Policies::default() });
        assert_eq!(of_root, if named.contains("user/") { ImplicitDeny } else { Allowed }, "{named}");
    }
    assert_eq!(verdict(&stranger, Policies { identity: &[&own], ..Policies::default() }), ImplicitDeny);
}

#[test]
fn the_root_is_allowed_all_but_what_a_resource_denies() {
    let root = Principal::root("111122223333".parse().unwrap());
    assert_eq!(ask(&root, Policies::default()), Decision::Allowed(By::Root));
    let resource = policy(&[to(&["*"], deny(&["sqs:*"], &["*"]))]);
    assert_eq!(verdict(&root, Policies { resource: Some(&resource), ..Policies::default() }), ExplicitDeny);
}

#[test]
fn a_key_or_a_role_is_used_only_as_its_own_policy_says() {
    let all = policy(&[allow(&["*"], &["*"])]);
    let by = |principal: &Principal, identity: &[&Policy], resource: Option<&Policy>| {
        verdict(principal, Policies { identity, resource, resource_decides: true, ..Policies::default() })
    };
    let account = policy(&[to(&["111122223333"], allow(&["*"], &["*"]))]);
    let ann = policy(&[to(&[ANN], allow(&["*"], &["*"]))]);
    let root = Principal::root("111122223333".parse().unwrap());
    assert_eq!(by(&user(), &[&all], None), ImplicitDeny);
    assert_eq!(by(&root, &[], None), ImplicitDeny);
    assert_eq!(by(&root, &[], Some(&ann)), ImplicitDeny);
    assert_eq!(by(&root, &[], Some(&account)), Allowed);
    assert_eq!(by(&user(), &[], Some(&account)), ImplicitDeny);
    assert_eq!(by(&user(), &[&all], Some(&account)), Allowed);
    assert_eq!(by(&user(), &[], Some(&ann)), Allowed);
}

#[test]
fn services_are_named_as_services() {
    let tasks = Principal::service("ecs-tasks.amazonaws.com");
    let by = |named: &str| {
        let resource = policy(&[to(&[named], allow(&["*"], &["*"]))]);
        verdict(&tasks, Policies { resource: Some(&resource), resource_decides: true, ..Policies::default() })
    };
    assert_eq!(by("ecs-tasks.amazonaws.com"), Allowed);
    assert_eq!(by("ec2.amazonaws.com"), ImplicitDeny);
    assert_eq!(by("*"), ImplicitDeny);
    let nobody = Principal { account: None, caller: Caller::Anonymous };
    let everyone = policy(&[to(&["*"], allow(&["*"], &["*"]))]);
    assert_eq!(verdict(&nobody, Policies { resource: Some(&everyone), ..Policies::default() }), Allowed);
    assert_eq!(verdict(&nobody, Policies { identity: &[&everyone], ..Policies::default() }), ImplicitDeny);
}

#[test]
fn not_principal_means_everybody_else() {
    let denying = |names: &[&str]| {
        let mut statement = to(names, deny(&["*"], &["*"]));
        statement.principals.as_mut().unwrap().negated = true;
        policy(&[statement, to(&["*"], allow(&["*"], &["*"]))])
    };
    let by =
        |resource: Policy| verdict(&user(), Policies { resource: Some(&resource), ..Policies::default() });
    assert_eq!(by(denying(&["arn:aws:iam::111122223333:user/bob"])), ExplicitDeny);
    assert_eq!(by(denying(&["111122223333"])), ExplicitDeny, "the account is not the user");
    assert_eq!(by(denying(&[ANN, "111122223333"])), Allowed);
}

#[test]
fn refusals_are_worded_as_aws_does() {
    let (context, principal) = (Context::new(), user());
    let request = Request {
        principal: &principal,
        action: "ecs:RunTask",
        resource: "*",
        resource_account: None,
        context: &context,
    };
    let refusal = |decision: Decision| decision.refusal(&request).unwrap();
    assert_eq!(
        refusal(Decision::NotAllowed(Kind::Identity)),
        "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: ecs:RunTask because no identity-based policy allows the ecs:RunTask action"
    );
    let denied = policy(&[allow(&["*"], &["*"]), deny(&["ecs:*"], &["*"])]);
    let decision = decide(&request, &Policies { identity: &[&denied], ..Policies::default() });
    assert!(
        refusal(decision.clone()).ends_with("ecs:RunTask with an explicit deny in an identity-based policy")
    );
    assert!(matches!(decision, Decision::Denied(Source { statement: 2, kind: Kind::Identity, .. })));
}
