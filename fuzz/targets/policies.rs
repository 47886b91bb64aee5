//! Policy documents: read or refused in every use; what is read is decided on; wildcards of actions against their definition; a denial
//! that is added wins.
#![no_main]

#[path = "../private/mod.rs"]
mod private;

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::{glob, two};
use policy::{
    Caller, Clause, Context, Effect, LanguageVersion, Policies, Policy, Principal, Request, Statement,
    decide, statements,
};
use private::policy_document::{Use, parse};
use vocabulary::AccountId;

fn caller() -> Principal {
    let account = AccountId::local();
    let arn = format!("arn:aws:iam::{account}:user/web");
    Principal { account: Some(account), caller: Caller::User { arn } }
}

fn everything(effect: Effect) -> Statement {
    let all = || Clause { negated: false, members: vec!["*".to_owned()] };
    Statement {
        sid: None,
        effect,
        principals: None,
        actions: all(),
        resources: Some(all()),
        conditions: Vec::new(),
    }
}

/// An action's pattern decides as its definition does, whatever is done to be quick about it.
fn actions(pattern: &str, action: &str) {
    let one = Statement {
        actions: Clause { negated: false, members: vec![pattern.to_owned()] },
        ..everything(Effect::Allow)
    };
    let Ok(policy) = Policy::new("p", LanguageVersion::V2008, &[one]) else { return };
    let (principal, context) = (caller(), Context::new());
    let request = Request {
        principal: &principal,
        action,
        resource: "arn:aws:s3:::bucket/key",
        resource_account: None,
        context: &context,
    };
    let allowed = decide(&request, &Policies { identity: &[&policy], ..Policies::default() }).is_allowed();
    let letters = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
    // An action is always `SERVICE:NAME`.
    if action.split_once(':').is_some_and(|(service, _)| !service.is_empty()) {
        assert_eq!(allowed, glob(&letters(pattern), &letters(action), '*', '?'), "{pattern:?} {action:?}");
    }
}

fuzz_target!(|text: &str| {
    let (first, document) = two(text);
    let (action, value) = first.split_once(' ').unwrap_or((first, ""));
    actions(value, action);
    for kind in [Use::Managed, Use::Inline, Use::Trust, Use::Resource] {
        let Ok(document) = parse(document, kind) else { continue };
        assert!(!document.statements.is_empty());
        let policy = Policy::new("p", document.version, &document.statements).expect("it was checked");
        let denial = Policy::new("d", document.version, &[everything(Effect::Deny)]).expect("well-formed");
        let principal = caller();
        let mut context = Context::new();
        for statement in &document.statements {
            for condition in &statement.conditions {
                context.set(&condition.key, value);
            }
        }
        let request = Request {
            principal: &principal,
            action,
            resource: value,
            resource_account: principal.account.as_ref(),
            context: &context,
        };
        let with = |identity: &[&Policy], resource: Option<&Policy>| {
            let policies = Policies { identity, resource, ..Policies::default() };
            _ = statements(&request, &policies);
            decide(&request, &policies).is_allowed()
        };
        let once = with(&[&policy], None);
        assert_eq!(once, with(&[&policy, &policy], None));
        _ = with(&[], Some(&policy));
        assert!(!with(&[&policy, &denial], Some(&policy)), "a denial wins");
    }
});
