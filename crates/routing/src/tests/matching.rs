use std::net::IpAddr;

use proptest::prelude::*;

use crate::{
    config::{
        Action, AddressRange, CodeRange, Condition, FixedResponse, Listener, ListenerAttributes,
        ListenerProtocol, Matcher, Outcome, Pattern, QueryPattern, Redirect, RedirectCode, RedirectProtocol,
        Rewrite, Rule, Transform,
    },
    pattern::{Case, Compiled},
    redirect::{Requested, location},
    rules::{Request, Rules},
};

struct Asked {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    host: &'static str,
    headers: &'static [(&'static str, &'static str)],
    source: &'static str,
}

const ASKED: Asked = Asked {
    method: "GET",
    path: "/img/a.png",
    query: "version=v1&Key=Value&flag",
    host: "Shop.Example.com",
    headers: &[("user-agent", "Mozilla/5.0 Chrome"), ("x-tier", "gold"), ("x-tier", "silver")],
    source: "10.1.2.3",
};

impl Request for Asked {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|(own, value)| *own == name && holds(value.as_bytes()))
    }
    fn source(&self) -> IpAddr {
        self.source.parse().expect("an address")
    }
}

fn fixed(status: u16) -> Outcome {
    let action = Action::FixedResponse(FixedResponse { status, content_type: None, body: String::new() });
    Outcome { transforms: Vec::new(), action }
}

fn listener(rules: Vec<(u32, Vec<Condition>)>) -> Listener {
    Listener {
        arn: "listener".into(),
        protocol: ListenerProtocol::Http,
        port: 80,
        ssl_policy: None,
        alpn_policy: None,
        certificates: Vec::new(),
        client_certificates: Default::default(),
        attributes: ListenerAttributes::default(),
        rules: rules
            .into_iter()
            .map(|(priority, conditions)| Rule {
                arn: format!("rule-{priority}"),
                priority,
                conditions,
                outcome: fixed(200),
            })
            .collect(),
        default: fixed(404),
    }
}

fn holds(condition: Condition, asked: &Asked) -> bool {
    Rules::new(&listener(vec![(1, vec![condition])])).decide_index(asked).is_some()
}

fn wild(text: &str) -> Vec<Pattern> {
    vec![Pattern::Wildcard("nothing".into()), Pattern::Wildcard(text.into())]
}

#[test]
fn conditions_hold_as_the_guide_says() {
    let header = |name: &str, value: &str| Condition::Header { name: name.into(), values: wild(value) };
    let query = |key: Option<&str>, value: &str| {
        Condition::Query(vec![QueryPattern { key: key.map(Into::into), value: value.into() }])
    };
    for (condition, expected) in [
        (Condition::Path(wild("/img/*")), true),
        (Condition::Path(wild("/img/?.png")), true),
        (Condition::Path(wild("/IMG/*")), false),
        (Condition::Path(wild("/img")), false),
        (Condition::Path(wild("*")), true),
        (Condition::Path(vec![Pattern::Regex("^/img/[a-c]\\.(png|jpg)$".into())]), true),
        (Condition::Path(vec![Pattern::Regex("(".into())]), false),
        (Condition::Host(wild("*.EXAMPLE.com")), true),
        (Condition::Host(wild("example.com")), false),
        (Condition::Host(vec![Pattern::Regex("^shop\\.".into())]), true),
        (header("User-Agent", "*chrome*"), true),
        (header("X-Tier", "silver"), true),
        (header("X-Tier", "bronze"), false),
        (header("X-Missing", "*"), false),
        (query(Some("VERSION"), "V?"), true),
        (query(Some("version"), "v2"), false),
        (query(None, "value"), true),
        (query(Some("flag"), ""), true),
        (query(None, "none"), false),
        (Condition::Method(vec!["POST".into(), "GET".into()]), true),
        (Condition::Method(vec!["get".into()]), false),
        (Condition::Source(vec!["10.0.0.0/8".parse().expect("a block")]), true),
        (Condition::Source(vec!["10.1.2.3/32".parse().expect("a block")]), true),
        (Condition::Source(vec!["10.1.2.4/32".parse().expect("a block")]), false),
        (Condition::Source(vec!["::/0".parse().expect("a block")]), false),
        (Condition::Source(vec!["0.0.0.0/0".parse().expect("a block")]), true),
    ] {
        assert_eq!(holds(condition.clone(), &ASKED), expected, "{condition:?}");
    }
}

#[test]
fn the_first_rule_by_priority_decides_and_all_conditions_count() {
    let path = Condition::Path(wild("/img/*"));
    let post = Condition::Method(vec!["POST".into()]);
    let rules = Rules::new(&listener(vec![
        (30, vec![path.clone()]),
        (10, vec![path.clone(), post]),
        (20, vec![path]),
    ]));
    let index = rules.decide_index(&ASKED);
    assert_eq!((index, rules.outcome(index).priority), (Some(1), 20));
    let elsewhere = Asked { path: "/other", ..ASKED };
    assert_eq!(rules.decide(&elsewhere).priority, 0);
    assert_eq!(rules.outcomes().map(|outcome| outcome.priority).collect::<Vec<_>>(), [10, 20, 30, 0]);
}

#[test]
fn escapes_take_the_meaning_from_wildcards() {
    let matches =
        |pattern: &str, value: &str| Compiled::wildcard(pattern, Case::Insensitive).matches(value.as_bytes());
    assert!(matches("a\\*b", "A*B") && !matches("a\\*b", "axb"));
    assert!(matches("\\?", "?") && !matches("\\?", "x"));
    assert!(matches("a\\", "a\\"));
    assert!(matches("**a**", "bab") && matches("", "") && !matches("", "a") && !matches("?", ""));
}

#[test]
fn rewrites_change_what_matches() {
    let rewritten = |regex: &str, replace: &str, url: &str| {
        let mut listener = listener(Vec::new());
        listener.default.transforms =
            vec![Transform::Url(Rewrite { regex: regex.into(), replace: replace.into() })];
        Rules::new(&listener).outcome(None).rewritten_url(url)
    };
    assert_eq!(rewritten("^/v(\\d)/(.*)$", "/$2?v=$1", "/v2/a").as_deref(), Some("/a?v=2"));
    assert_eq!(rewritten("b+", "x", "/abba").as_deref(), Some("/axa"));
    assert_eq!(rewritten("^/none", "/x", "/abba"), None);
    assert_eq!(rewritten("b", "$9$", "/abba").as_deref(), Some("/a$ba"));
    // Nothing may end the line it is written on.
    assert_eq!(rewritten("^/a", "/x\r\nHost: b", "/a"), None);
}

#[test]
fn redirects_fill_in_what_was_requested() {
    let requested = Requested { encrypted: false, host: "a.example", port: 8080, path: "/x/y", query: "p=1" };
    let redirect = |host: &str, port: &str, path: &str, query: &str| Redirect {
        protocol: RedirectProtocol::Https,
        host: host.into(),
        port: port.into(),
        path: path.into(),
        query: query.into(),
        code: RedirectCode::Found,
    };
    for (redirect, expected) in [
        (redirect("#{host}", "443", "/#{path}", "#{query}"), "https://a.example:443/x/y?p=1"),
        (redirect("b.#{host}", "#{port}", "/n/#{path}", ""), "https://b.a.example:8080/n/x/y"),
        (
            redirect("c", "1", "/#{protocol}#{other}", "q=#{query}&h=#{host}"),
            "https://c:1/http#{other}?q=p=1&h=a.example",
        ),
        (redirect("c", "1", "", ""), "https://c:1/"),
    ] {
        assert_eq!(location(&redirect, &requested), expected);
    }
}

#[test]
fn codes_and_blocks_are_read_strictly() {
    let codes = Matcher::codes("200,202,300-399").expect("well-formed");
    assert_eq!(codes[2], CodeRange { first: 300, last: 399 });
    let matcher = Matcher::Http(codes);
    assert!([200, 202, 300, 399].iter().all(|code| matcher.accepts(*code)));
    assert!([201, 299, 400].iter().all(|code| !matcher.accepts(*code)));
    for bad in ["", "200,", "2x", "300-200", "-", "200-", "+200"] {
        assert!(Matcher::codes(bad).is_err(), "{bad}");
    }
    for bad in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/"] {
        assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
    }
}

/// The obvious way, for comparison.
fn matches_slowly(pattern: &[u8], value: &[u8]) -> bool {
    match pattern.split_first() {
        None => value.is_empty(),
        Some((b'*', rest)) => (0..=value.len()).any(|from| matches_slowly(rest, &value[from..])),
        Some((b'?', rest)) => !value.is_empty() && matches_slowly(rest, &value[1..]),
        Some((byte, rest)) => value.first() == Some(byte) && matches_slowly(rest, &value[1..]),
    }
}

proptest! {
    #[test]
    fn wildcards_match_as_the_obvious_way_does(pattern in "[ab*?]{0,8}", value in "[ab]{0,10}") {
        let fast = Compiled::wildcard(&pattern, Case::Sensitive).matches(value.as_bytes());
        prop_assert_eq!(fast, matches_slowly(pattern.as_bytes(), value.as_bytes()));
    }

    #[test]
    fn a_configuration_survives_its_way_to_the_node(priority in 1..50_000_u32, pattern in ".{0,20}") {
        let listener = listener(vec![(priority, vec![Condition::Path(wild(&pattern))])]);
        let text = serde_json::to_string(&listener).expect("written");
        prop_assert_eq!(serde_json::from_str::<Listener>(&text).expect("read"), listener);
    }
}
