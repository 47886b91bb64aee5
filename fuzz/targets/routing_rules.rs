//! Rules of load balancers: wildcards against their definition, address ranges there and back, rewrites and redirects that stay on their line.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::{glob, two};
use routing::{
    config::{
        Action, AddressRange, ClientCertificates, Condition, FixedResponse, Listener, ListenerAttributes,
        ListenerProtocol, Outcome, Pattern, QueryPattern, Redirect, RedirectCode, RedirectProtocol, Rewrite,
        Rule, Transform,
    },
    pattern::{Case, Compiled},
    redirect::{Requested, location},
    rules::{Request, Rules},
    sticky,
};

struct Asked<'a> {
    path: &'a [u8],
    query: &'a [u8],
    host: &'a [u8],
}

impl Request for Asked<'_> {
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn path(&self) -> &[u8] {
        self.path
    }
    fn query(&self) -> &[u8] {
        self.query
    }
    fn host(&self) -> &[u8] {
        self.host
    }
    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == "x-a" && holds(self.host)
    }
    fn source(&self) -> IpAddr {
        IpAddr::from([10, 1, 2, 3])
    }
}

fn wildcards(pattern: &str, value: &[u8]) {
    #[derive(PartialEq, Clone, Copy)]
    enum Piece {
        Letter(u8),
        Star,
        One,
    }
    let mut pieces = Vec::new();
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        pieces.push(match byte {
            b'*' => Piece::Star,
            b'?' => Piece::One,
            b'\\' => Piece::Letter(bytes.next().unwrap_or(b'\\')),
            byte => Piece::Letter(byte),
        });
    }
    let letters: Vec<Piece> = value.iter().map(|byte| Piece::Letter(*byte)).collect();
    let expected = glob(&pieces, &letters, Piece::Star, Piece::One);
    assert_eq!(
        Compiled::wildcard(pattern, Case::Sensitive).matches(value),
        expected,
        "{pattern:?} {value:?}"
    );
    let small = |pieces: &[Piece]| -> Vec<Piece> {
        let lowered = pieces.iter().map(|piece| match piece {
            Piece::Letter(byte) => Piece::Letter(byte.to_ascii_lowercase()),
            other => *other,
        });
        lowered.collect()
    };
    let expected = glob(&small(&pieces), &small(&letters), Piece::Star, Piece::One);
    assert_eq!(Compiled::wildcard(pattern, Case::Insensitive).matches(value), expected);
}

fn rule(priority: u32, condition: Condition) -> Rule {
    let fixed = FixedResponse { status: 200, content_type: None, body: String::new() };
    let outcome = Outcome { transforms: Vec::new(), action: Action::FixedResponse(fixed) };
    Rule { arn: String::new(), priority, conditions: vec![condition], outcome }
}

fuzz_target!(|text: &str| {
    let (pattern, rest) = two(text);
    let (value, more) = two(rest);
    wildcards(pattern, value.as_bytes());

    if let Ok(range) = pattern.parse::<AddressRange>() {
        assert_eq!(range.to_string().parse::<AddressRange>(), Ok(range));
        if let Ok(address) = value.parse::<IpAddr>() {
            // Two addresses are in a range together when their first bits are the same: told by text.
            let bits = |address: IpAddr| match address {
                IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
                IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
            };
            let (base, length) = pattern.split_once('/').expect("it was read");
            let (base, length): (IpAddr, usize) =
                (base.parse().expect("read"), length.parse().expect("read"));
            let same = base.is_ipv4() == address.is_ipv4() && bits(base)[..length] == bits(address)[..length];
            assert_eq!(range.contains(address), same);
        }
    }

    let replace = more.lines().next().unwrap_or_default();
    let rewrite = || Rewrite { regex: pattern.to_owned(), replace: replace.to_owned() };
    let redirect = Redirect {
        protocol: RedirectProtocol::AsRequested,
        host: "#{host}".to_owned(),
        port: "#{port}".to_owned(),
        path: pattern.to_owned(),
        query: replace.to_owned(),
        code: RedirectCode::Found,
    };
    let wanted = |text: &str| Pattern::Wildcard(text.to_owned());
    let listener = Listener {
        arn: String::new(),
        protocol: ListenerProtocol::Http,
        port: 80,
        ssl_policy: None,
        alpn_policy: None,
        certificates: Vec::new(),
        client_certificates: ClientCertificates::default(),
        attributes: ListenerAttributes::default(),
        rules: vec![
            rule(5, Condition::Path(vec![wanted(pattern), Pattern::Regex(pattern.to_owned())])),
            rule(4, Condition::Host(vec![wanted(pattern)])),
            rule(3, Condition::Header { name: "X-A".to_owned(), values: vec![wanted(replace)] }),
            rule(
                2,
                Condition::Query(vec![QueryPattern {
                    key: Some(pattern.to_owned()),
                    value: replace.to_owned(),
                }]),
            ),
        ],
        default: Outcome {
            transforms: vec![Transform::Host(rewrite()), Transform::Url(rewrite())],
            action: Action::Redirect(redirect.clone()),
        },
    };
    let rules = Rules::new(&listener);
    let (path, query) = value.split_once('?').unwrap_or((value, ""));
    let asked = Asked { path: path.as_bytes(), query: query.as_bytes(), host: replace.as_bytes() };
    let index = rules.decide_index(&asked);
    assert_eq!(rules.decide(&asked).priority, rules.outcome(index).priority);
    let default = rules.outcome(None);
    for changed in [default.rewritten_host(value), default.rewritten_url(value)].into_iter().flatten() {
        assert!(!changed.contains(|c: char| c.is_control() || c == ' '), "{changed:?} breaks its line");
    }
    // What a request line can hold stays one.
    if value.starts_with('/')
        && let Some(url) = default.rewritten_url(value)
    {
        assert!(url.starts_with('/'), "{url:?} is no target of a request");
    }
    let requested = Requested { encrypted: false, host: replace, port: 80, path, query };
    assert!(location(&redirect, &requested).starts_with("http://"));

    if let Some(mark) = sticky::read(value.as_bytes(), 0, 0) {
        assert_eq!(sticky::value(mark, 0)[..16].to_ascii_lowercase(), value[..16].to_ascii_lowercase());
    }
    for cookie in sticky::cookies(text.as_bytes(), pattern).take(64) {
        assert!(!cookie.contains(&b';'));
    }
});
