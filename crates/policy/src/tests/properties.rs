use proptest::prelude::*;

use super::*;

fn effects() -> impl Strategy<Value = Effect> {
    prop_oneof![3 => Just(Effect::Allow), 1 => Just(Effect::Deny)]
}

fn words(of: &'static [&'static str]) -> impl Strategy<Value = Clause<String>> {
    (prop::bool::weighted(0.2), prop::collection::vec(prop::sample::select(of), 1..3))
        .prop_map(|(negated, members)| Clause { negated, ..clause(&members) })
}

const ACTIONS: &[&str] = &["*", "ecs:*", "ecs:RunTask", "ecs:Stop*", "iam:PassRole"];
const RESOURCES: &[&str] =
    &["*", "arn:aws:ecs:*:1:*", "arn:aws:ecs:r:1:task/${aws:username}", "arn:aws:iam::1:role/?"];
const NAMES: &[&str] = &[
    "*",
    "111122223333",
    "arn:aws:iam::111122223333:user/ann",
    "arn:aws:iam::111122223333:role/app",
    "x.amazonaws.com",
];

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let one = (effects(), words(ACTIONS), words(RESOURCES), prop::sample::select(NAMES)).prop_map(
        |(effect, actions, resources, name)| {
            let plain = Statement { actions, resources: Some(resources), ..statement(effect, &[], &[]) };
            to(&[name], plain)
        },
    );
    prop::collection::vec(one, 0..5)
}

fn decided(policies: &[Vec<Statement>; 4], action: &str, resource: &str, who: &Principal) -> Verdict {
    let context = Context::new().with("aws:username", "ann");
    let [identity, boundary, session, on_resource] = policies.each_ref().map(|statements| policy(statements));
    let request = Request { principal: who, action, resource, resource_account: None, context: &context };
    decide(
        &request,
        &Policies {
            identity: &[&identity],
            boundary: Some(&[&boundary]),
            session: Some(&[&session]),
            resource: Some(&on_resource),
            resource_decides: false,
        },
    )
    .verdict()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_order_of_statements_matters(
        policies in prop::array::uniform4(statements()),
        action in prop::sample::select(&["ecs:RunTask", "iam:PassRole"][..]),
        resource in prop::sample::select(&["*", "arn:aws:ecs:r:1:task/ann", "arn:aws:iam::1:role/x"][..]),
    ) {
        let mut reversed = policies.clone();
        reversed.iter_mut().for_each(|statements| statements.reverse());
        for who in [user(), session()] {
            prop_assert_eq!(
                decided(&policies, action, resource, &who),
                decided(&reversed, action, resource, &who)
            );
        }
    }

    #[test]
    fn a_deny_more_never_allows_more_and_an_allow_more_never_less(
        policies in prop::array::uniform4(statements()),
        which in 0_usize..4,
        added in statements(),
    ) {
        for who in [user(), session()] {
            let (action, resource) = ("ecs:RunTask", "arn:aws:ecs:r:1:task/ann");
            let before = decided(&policies, action, resource, &who);
            for effect in [Effect::Allow, Effect::Deny] {
                let mut more = policies.clone();
                more[which].extend(added.iter().cloned().map(|one| Statement { effect, ..one }));
                let after = decided(&more, action, resource, &who);
                match effect {
                    Effect::Deny => prop_assert!(before == Verdict::Allowed || after != Verdict::Allowed),
                    Effect::Allow => prop_assert!(before != Verdict::Allowed || after == Verdict::Allowed),
                }
            }
        }
    }

    #[test]
    fn any_text_is_a_pattern_and_matches_in_time(pattern in "[a*?${}:',]{0,40}", text in "[ab:*]{0,60}") {
        let statement = allow(&[&pattern], &[&pattern]);
        let context = Context::new().with("a", "b");
        let compiled = policy(&[statement]);
        let who = user();
        let request =
            Request { principal: &who, action: &text, resource: &text, resource_account: None, context: &context };
        decide(&request, &Policies { identity: &[&compiled], ..Policies::default() });
    }

    #[test]
    fn a_star_matches_everything_and_a_text_itself(text in "\\PC{0,40}") {
        let context = Context::new();
        for pattern in ["*".to_owned(), format!("{text}*"), format!("*{text}")] {
            let glob = crate::pattern::Pattern::glob(&pattern, LanguageVersion::V2008);
            prop_assert!(glob.matches(&text, &context, crate::pattern::Case::Sensitive));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_statements_that_are_told_are_those_that_decided(
        policies in prop::array::uniform4(statements()),
        action in prop::sample::select(&["ecs:RunTask", "iam:PassRole"][..]),
        decides in any::<bool>(),
    ) {
        let context = Context::new().with("aws:username", "ann");
        let [identity, boundary, session_policy, on_resource] =
            policies.each_ref().map(|statements| policy(statements));
        for who in [user(), session()] {
            let resource = "arn:aws:ecs:r:1:task/ann";
            let request =
                Request { principal: &who, action, resource, resource_account: None, context: &context };
            let all = Policies {
                identity: &[&identity],
                boundary: Some(&[&boundary]),
                session: Some(&[&session_policy]),
                resource: Some(&on_resource),
                resource_decides: decides,
            };
            let decision = decide(&request, &all);
            let told = crate::statements(&request, &all);
            // The one that decided is among them, and a denial stands alone with its like.
            prop_assert!(decision.source().is_none_or(|source| told.contains(source)));
            let effect_of = |source: &Source| {
                let from = match source.kind {
                    Kind::Identity => &policies[0],
                    Kind::Boundary => &policies[1],
                    Kind::Session => &policies[2],
                    Kind::Resource => &policies[3],
                };
                from[source.statement - 1].effect
            };
            let wanted = if decision.verdict() == Verdict::ExplicitDeny { Effect::Deny } else { Effect::Allow };
            prop_assert!(told.iter().all(|source| effect_of(source) == wanted));
            // Nobody is allowed by anything but a statement that is told.
            prop_assert!(!decision.is_allowed() || !told.is_empty());
        }
    }

    #[test]
    fn a_resource_that_decides_never_allows_more(policies in prop::array::uniform4(statements())) {
        let context = Context::new().with("aws:username", "ann");
        let [identity, boundary, _, on_resource] = policies.each_ref().map(|statements| policy(statements));
        for who in [user(), session()] {
            let (action, resource) = ("ecs:RunTask", "arn:aws:ecs:r:1:task/ann");
            let request =
                Request { principal: &who, action, resource, resource_account: None, context: &context };
            let with = |resource_decides| {
                let all = Policies {
                    identity: &[&identity],
                    boundary: Some(&[&boundary]),
                    session: None,
                    resource: Some(&on_resource),
                    resource_decides,
                };
                decide(&request, &all).is_allowed()
            };
            prop_assert!(!with(true) || with(false));
        }
    }

    #[test]
    fn the_service_of_an_action_is_no_more_than_a_shortcut(
        pattern in "(ecs|ECS|e\\?s|e\\*|iam|\\*)(:(\\*|Run\\*|RunTask|List\\?))?",
        action in "(ecs|iam|ec2):(RunTask|ListX|Other)",
    ) {
        // Asked by a policy that names no service at all, the same pattern has to match the same actions.
        let context = Context::new();
        let by_clause = crate::pattern::Pattern::glob(&pattern, LanguageVersion::V2008)
            .matches(&action, &context, crate::pattern::Case::Insensitive);
        let compiled = policy(&[allow(&[&pattern], &["*"])]);
        let who = user();
        let request =
            Request { principal: &who, action: &action, resource: "*", resource_account: None, context: &context };
        let decided = decide(&request, &Policies { identity: &[&compiled], ..Policies::default() });
        prop_assert_eq!(decided.is_allowed(), by_clause);
    }
}
