//! The rules as they are published, told a second time and held against the decision in every combination of policies: "Policy evaluation logic",
//! "Permissions boundaries for IAM entities" and "Session policies" of the IAM user guide. And what evaluators commonly get wrong.

use super::*;

const OBJECT: &str = "arn:aws:s3:::bucket/key";
const HOME: &str = "111122223333";
const AWAY: &str = "444455556666";
const ANN: &str = "arn:aws:iam::111122223333:user/ann";
const ROLE: &str = "arn:aws:iam::111122223333:role/app";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/t1";

/// What a kind of policy says of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// There is none.
    Absent,
    /// It speaks of something else.
    Silent,
    Allows,
    Denies,
}
use Says::{Absent, Allows, Denies, Silent};

impl Says {
    fn statement(self) -> Option<Statement> {
        match self {
            Absent => None,
            Silent => Some(allow(&["ec2:*"], &["*"])),
            Allows => Some(allow(&["s3:GetObject"], &[OBJECT])),
            Denies => Some(deny(&["s3:*"], &["*"])),
        }
    }

    fn policy(self) -> Option<Policy> {
        self.statement().map(|statement| policy(&[statement]))
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    who: fn() -> Principal,
    identity: Says,
    boundary: Says,
    session: Says,
    /// And whom it names.
    resource: (Says, &'static str),
    /// A key's policy, say.
    decides: bool,
    owner: &'static str,
}

const PLAIN: Case = Case {
    who: user,
    identity: Absent,
    boundary: Absent,
    session: Absent,
    resource: (Absent, "*"),
    decides: false,
    owner: HOME,
};

impl Case {
    fn verdict(self) -> Verdict {
        let (identity, boundary, session) =
            (self.identity.policy(), self.boundary.policy(), self.session.policy());
        let resource = self.resource.0.statement().map(|one| policy(&[to(&[self.resource.1], one)]));
        let (principal, owner, context) = ((self.who)(), self.owner.parse().unwrap(), Context::new());
        let request = Request {
            principal: &principal,
            action: "s3:GetObject",
            resource: OBJECT,
            resource_account: Some(&owner),
            context: &context,
        };
        let (identity, boundary, session) = (
            identity.iter().collect::<Vec<_>>(),
            boundary.as_ref().map(|one| [one]),
            session.as_ref().map(|one| [one]),
        );
        let policies = Policies {
            identity: &identity,
            boundary: boundary.as_ref().map(<[_; 1]>::as_slice),
            session: session.as_ref().map(<[_; 1]>::as_slice),
            resource: resource.as_ref(),
            resource_decides: self.decides,
        };
        decide(&request, &policies).verdict()
    }

    /// The same by the words of the guide, one sentence after another.
    fn published(self) -> Verdict {
        let (said, name) = self.resource;
        let is_session = matches!((self.who)().caller, Caller::RoleSession { .. });
        let named = match name {
            "*" | HOME => true,
            ANN => !is_session,
            ROLE | SESSION => is_session,
            _ => false,
        };
        let resource = if named { said } else { Absent };
        // A deny anywhere is a deny.
        if [self.identity, self.boundary, self.session, resource].contains(&Denies) {
            return Verdict::ExplicitDeny;
        }
        let within_limits =
            [self.boundary, self.session].iter().all(|limit| matches!(limit, Absent | Allows));
        let by_identity = self.identity == Allows && within_limits;
        let granted = resource == Allows;
        let is_allowed = if self.owner == AWAY {
            // Both accounts have to allow it.
            granted && by_identity
        } else if granted && (name == ANN || name == SESSION) {
            // Who is named as they are is not limited by what limits silently.
            true
        } else if granted && name != HOME {
            within_limits
        } else if self.decides {
            // A key's policy lets identity policies decide by naming the account.
            granted && by_identity
        } else {
            by_identity
        };
        if is_allowed { Verdict::Allowed } else { Verdict::ImplicitDeny }
    }
}

#[test]
fn every_combination_is_decided_as_it_is_published() {
    let mut cases = 0;
    for who in [user as fn() -> Principal, session] {
        for identity in [Absent, Silent, Allows, Denies] {
            for boundary in [Absent, Silent, Allows, Denies] {
                for session in [Absent, Silent, Allows, Denies] {
                    for said in [Absent, Silent, Allows, Denies] {
                        for name in ["*", HOME, ANN, ROLE, SESSION, "arn:aws:iam::111122223333:user/bob"] {
                            for (decides, owner) in [(false, HOME), (true, HOME), (false, AWAY)] {
                                let resource = (said, name);
                                let case =
                                    Case { who, identity, boundary, session, resource, decides, owner };
                                assert_eq!(case.verdict(), case.published(), "{case:?}");
                                cases += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 2 * 4 * 4 * 4 * 4 * 6 * 3);
}

/// Examples that guides and other evaluators' tests agree on, so that the sentences above cannot be wrong together with the decision.
#[test]
fn well_known_outcomes() {
    use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
    for (what, case, expected) in [
        ("nothing is said", PLAIN, ImplicitDeny),
        ("identity alone", Case { identity: Allows, ..PLAIN }, Allowed),
        ("the resource alone", Case { resource: (Allows, ANN), ..PLAIN }, Allowed),
        ("the resource, to the account", Case { resource: (Allows, HOME), ..PLAIN }, ImplicitDeny),
        ("both, to the account", Case { identity: Allows, resource: (Allows, HOME), ..PLAIN }, Allowed),
        (
            "a denial to the account means all in it",
            Case { identity: Allows, resource: (Denies, HOME), ..PLAIN },
            ExplicitDeny,
        ),
        ("a boundary gives nothing", Case { boundary: Allows, ..PLAIN }, ImplicitDeny),
        ("a boundary takes away", Case { identity: Allows, boundary: Silent, ..PLAIN }, ImplicitDeny),
        (
            "a user named by the resource is above the boundary",
            Case { boundary: Silent, resource: (Allows, ANN), ..PLAIN },
            Allowed,
        ),
        (
            "a role is not",
            Case { who: session, boundary: Silent, resource: (Allows, ROLE), ..PLAIN },
            ImplicitDeny,
        ),
        (
            "its session is",
            Case { who: session, boundary: Silent, resource: (Allows, SESSION), ..PLAIN },
            Allowed,
        ),
        (
            "nor does a session policy limit what the session is given by name",
            Case { who: session, session: Silent, resource: (Allows, SESSION), ..PLAIN },
            Allowed,
        ),
        (
            "but a boundary that denies counts",
            Case { who: session, boundary: Denies, resource: (Allows, SESSION), ..PLAIN },
            ExplicitDeny,
        ),
        (
            "a denied role's session is denied",
            Case { who: session, identity: Allows, resource: (Denies, ROLE), ..PLAIN },
            ExplicitDeny,
        ),
        ("a stranger by identity alone", Case { identity: Allows, owner: AWAY, ..PLAIN }, ImplicitDeny),
        (
            "a stranger by the resource alone",
            Case { resource: (Allows, ANN), owner: AWAY, ..PLAIN },
            ImplicitDeny,
        ),
        (
            "a stranger's boundary counts",
            Case { identity: Allows, boundary: Silent, resource: (Allows, ANN), owner: AWAY, ..PLAIN },
            ImplicitDeny,
        ),
        (
            "a key whose policy is silent",
            Case { identity: Allows, resource: (Silent, HOME), decides: true, ..PLAIN },
            ImplicitDeny,
        ),
    ] {
        assert_eq!(case.verdict(), expected, "{what}");
    }
}

/// A statement that denies everybody but some denies whoever has a boundary.
#[test]
fn who_has_a_boundary_is_left_out_of_nothing() {
    let denying = |names: &[&str]| {
        let mut statement = to(names, deny(&["s3:*"], &["*"]));
        statement.principals.as_mut().unwrap().negated = true;
        policy(&[statement])
    };
    let (all, resource) = (policy(&[allow(&["*"], &["*"])]), denying(&[ANN, HOME]));
    let by = |boundary: Option<&[&Policy]>| {
        let (principal, context, owner) = (user(), Context::new(), HOME.parse().unwrap());
        let request = Request {
            principal: &principal,
            action: "s3:GetObject",
            resource: OBJECT,
            resource_account: Some(&owner),
            context: &context,
        };
        let policies =
            Policies { identity: &[&all], boundary, resource: Some(&resource), ..Policies::default() };
        let told: Vec<Kind> =
            crate::statements(&request, &policies).iter().map(|source| source.kind).collect();
        (decide(&request, &policies).verdict(), told.contains(&Kind::Resource))
    };
    assert_eq!(by(None), (Verdict::Allowed, false));
    assert_eq!(by(Some(&[&all])), (Verdict::ExplicitDeny, true));
}

/// What the words of a statement match: action, resource.
#[test]
fn the_words_of_a_statement() {
    let queue = "arn:aws:sqs:us-east-1:111122223333:queue";
    for (action, resource, asked, of, expected) in [
        // An ARN that breaks off means all that begin so.
        ("sqs:*", "arn:aws:sqs", "sqs:SendMessage", queue, true),
        ("sqs:*", "arn:aws:sqs:us-east-1", "sqs:SendMessage", queue, true),
        ("sqs:*", "arn:aws:sqs:us-west-2", "sqs:SendMessage", queue, false),
        ("sqs:*", "arn:aws:sqs:us-east-1:111122223333", "sqs:SendMessage", queue, true),
        ("sqs:*", "arn:aws:sqs:us-east-1:444455556666", "sqs:SendMessage", queue, false),
        ("sqs:*", "arn:aws:sqs:*", "sqs:SendMessage", queue, true),
        ("*", "arn:aws:kms:*", "sqs:SendMessage", queue, false),
        ("*", "arn:aws:ec2", "sqs:SendMessage", queue, false),
        ("sqs:*", "arn:aws:sq", "sqs:SendMessage", queue, false),
        ("sqs:*", "queue", "sqs:SendMessage", queue, false),
        ("s3:*", "arn:aws:s3", "s3:GetObject", OBJECT, true),
        // The last part holds colons and slashes.
        ("s3:GetObject", "arn:aws:s3:::bucket/*", "s3:GetObject", "arn:aws:s3:::bucket/a:b/c", true),
        ("s3:GetObject", "arn:aws:s3:::bucket/*", "s3:GetObject", "arn:aws:s3:::bucket2/a", false),
        ("s3:GetObject", "arn:aws:s3:::bucket", "s3:GetObject", OBJECT, false),
        ("s3:GetObject", "arn:aws:s3:::BUCKET/*", "s3:GetObject", OBJECT, false),
        ("s3:GetObject", "arn:aws:s3:::buck?t/k?y", "s3:GetObject", OBJECT, true),
        ("s3:GetObject", "arn:???:s3:::bucket/key", "s3:GetObject", OBJECT, true),
        ("s3:GetObject", "arn:aws-cn:s3:::bucket/key", "s3:GetObject", OBJECT, false),
        // Actions know no case; blanks are nobody's action.
        ("S3:getobject", OBJECT, "s3:GetObject", OBJECT, true),
        ("s3:Get*Object", OBJECT, "s3:GetObject", OBJECT, true),
        ("s3:*Object", OBJECT, "s3:GetObjectAcl", OBJECT, false),
        ("s3:", OBJECT, "s3:GetObject", OBJECT, false),
        ("s3:GetObject ", OBJECT, "s3:GetObject", OBJECT, false),
        ("s3: GetObject", OBJECT, "s3:GetObject", OBJECT, false),
        ("s3", OBJECT, "s3:GetObject", OBJECT, false),
        // What has no resource is allowed by the star alone.
        ("s3:ListAllMyBuckets", "*", "s3:ListAllMyBuckets", "*", true),
        ("s3:ListAllMyBuckets", "arn:aws:s3:::*", "s3:ListAllMyBuckets", "*", false),
    ] {
        let (compiled, context, who) = (policy(&[allow(&[action], &[resource])]), Context::new(), user());
        let request = Request {
            principal: &who,
            action: asked,
            resource: of,
            resource_account: None,
            context: &context,
        };
        let decision = decide(&request, &Policies { identity: &[&compiled], ..Policies::default() });
        assert_eq!(decision.is_allowed(), expected, "{action} {resource} for {asked} on {of}");
    }
}
