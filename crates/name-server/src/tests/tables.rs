//! What the tables answer, without sockets.

use std::sync::Arc;

use super::name;
use crate::{
    private_names::PrivateNames,
    record::{Data, RecordType},
    table::{End, View, ZoneTable, Zones},
    zone::{MAX_RECORDS_PER_SET, Zone, ZoneError},
};

/// A VPC of us-east-1 and one of eu-west-1 that is not cut at a byte, and some published names.
fn view() -> View {
    let mut zone = Zone::new(name("shop.local"), 7);
    let mut add = |text: &str, data: Data| zone.add(name(text), 10, &data).unwrap();
    add("web.shop.local", Data::A([172, 31, 0, 10].into()));
    add("web.shop.local", Data::A([172, 31, 0, 11].into()));
    add(
        "_http._tcp.web.shop.local",
        Data::Srv { priority: 1, weight: 2, port: 8080, target: name("web.shop.local") },
    );
    add("www.shop.local", Data::Cname(name("web.shop.local")));
    add("far.shop.local", Data::Cname(name("example.com")));
    add("near.shop.local", Data::Cname(name("ip-172-31-0-9.ec2.internal")));
    add("one.shop.local", Data::Cname(name("two.shop.local")));
    add("two.shop.local", Data::Cname(name("one.shop.local")));
    add("text.shop.local", Data::Txt(vec![b"hello".to_vec(), b"world".to_vec()]));
    let names = |range: &str, domain: Option<&str>| PrivateNames {
        range: range.parse().unwrap(),
        domain: domain.map(name),
    };
    View {
        sources: vec!["172.31.0.0/16".parse().unwrap()],
        dns_support: true,
        private_names: vec![
            names("172.31.0.0/16", Some("ec2.internal")),
            names("10.20.16.0/20", Some("eu-west-1.compute.internal")),
            names("10.99.0.0/16", None),
        ],
        zones: Zones::from_iter([Arc::new(zone)]),
    }
}

/// The answers and the end, in words.
fn ask(text: &str, kind: RecordType) -> String {
    let local = view().answer(&name(text), kind, 7);
    let mut words: Vec<String> = Vec::new();
    for record in &local.answers {
        words.push(match (record.target(), &*record.data) {
            (Some(target), _) => format!("{} -> {target}", record.name),
            (None, [a, b, c, d]) => format!("{} = {a}.{b}.{c}.{d}", record.name),
            (None, data) => format!("{} has {} bytes", record.name, data.len()),
        });
    }
    words.push(match local.end {
        End::Answered => "answered".to_owned(),
        End::NoData(soa) => format!("no data in {}", soa.name),
        End::NoName(soa) => format!("no name in {}", soa.name),
        End::Elsewhere(name) => format!("elsewhere: {name}"),
        End::TooLong => "too long".to_owned(),
    });
    words.join("; ")
}

#[test]
fn private_names_say_their_address() {
    let a = |text: &str| ask(text, RecordType::A);
    assert_eq!(a("ip-172-31-0-9.ec2.internal"), "ip-172-31-0-9.ec2.internal = 172.31.0.9; answered");
    assert_eq!(
        a("IP-172-31-255-255.EC2.Internal"),
        "IP-172-31-255-255.EC2.Internal = 172.31.255.255; answered"
    );
    assert_eq!(
        a("ip-10-20-17-1.eu-west-1.compute.internal"),
        "ip-10-20-17-1.eu-west-1.compute.internal = 10.20.17.1; answered"
    );
    for absent in [
        "ip-172-30-0-9.ec2.internal",
        "ip-172-31-0.ec2.internal",
        "ip-172-31-0-9-1.ec2.internal",
        "ip-172-31-00-9.ec2.internal",
        "ip-172-31-0-256.ec2.internal",
        "ip-172-31-0-+9.ec2.internal",
        "web.ec2.internal",
        "x.ip-172-31-0-9.ec2.internal",
        // The other VPC's domain, and a VPC without names.
        "ip-10-20-17-1.ec2.internal",
        "ip-10-99-0-1.ec2.internal",
    ] {
        assert_eq!(a(absent), "no name in ec2.internal", "{absent}");
    }
    assert_eq!(a("ip-172-31-0-9.eu-west-1.compute.internal"), "no name in compute.internal");
    assert_eq!(a("ip-10-20-17-1.us-west-2.compute.internal"), "no name in compute.internal");
}

#[test]
fn private_names_have_addresses_only() {
    assert_eq!(ask("ip-172-31-0-9.ec2.internal", RecordType::AAAA), "no data in ec2.internal");
    assert_eq!(ask("ec2.internal", RecordType::A), "no data in ec2.internal");
    assert_eq!(ask("ec2.internal", RecordType::SOA), "ec2.internal has 48 bytes; answered");
    assert_eq!(ask("eu-west-1.compute.internal", RecordType::A), "no data in compute.internal");
    assert_eq!(ask("other.internal", RecordType::A), "elsewhere: other.internal");
}

#[test]
fn addresses_say_their_names() {
    let ptr = |text: &str| ask(text, RecordType::PTR);
    assert_eq!(
        ptr("9.0.31.172.in-addr.arpa"),
        "9.0.31.172.in-addr.arpa -> ip-172-31-0-9.ec2.internal; answered"
    );
    assert_eq!(
        ptr("1.17.20.10.IN-ADDR.ARPA"),
        "1.17.20.10.IN-ADDR.ARPA -> ip-10-20-17-1.eu-west-1.compute.internal; answered"
    );
    assert_eq!(ask("9.0.31.172.in-addr.arpa", RecordType::A), "no data in 31.172.in-addr.arpa");
    assert_eq!(ptr("0.31.172.in-addr.arpa"), "no data in 31.172.in-addr.arpa");
    assert_eq!(ptr("31.172.in-addr.arpa"), "no data in 31.172.in-addr.arpa");
    assert_eq!(ptr("17.20.10.in-addr.arpa"), "no data in 17.20.10.in-addr.arpa");
    for absent in [
        "256.0.31.172.in-addr.arpa",
        "09.0.31.172.in-addr.arpa",
        "1.9.0.31.172.in-addr.arpa",
        "x.31.172.in-addr.arpa",
    ] {
        assert_eq!(ptr(absent), "no name in 31.172.in-addr.arpa", "{absent}");
    }
    assert_eq!(ptr("1.0.99.10.in-addr.arpa"), "no name in 99.10.in-addr.arpa");
    for other in [
        "172.in-addr.arpa",
        "20.10.in-addr.arpa",
        "1.32.20.10.in-addr.arpa",
        "in-addr.arpa",
        "1.0.0.8.in-addr.arpa",
    ] {
        assert_eq!(ptr(other), format!("elsewhere: {other}"));
    }
}

#[test]
fn localhost_is_the_client_itself() {
    assert_eq!(ask("localhost", RecordType::A), "localhost = 127.0.0.1; answered");
    assert_eq!(ask("web.LOCALHOST", RecordType::A), "web.LOCALHOST = 127.0.0.1; answered");
    assert_eq!(ask("localhost", RecordType::AAAA), "no data in localhost");
    assert_eq!(
        ask("1.0.0.127.in-addr.arpa", RecordType::PTR),
        "1.0.0.127.in-addr.arpa -> localhost; answered"
    );
    assert_eq!(ask("2.0.0.127.in-addr.arpa", RecordType::PTR), "no name in 127.in-addr.arpa");
}

#[test]
fn published_zones_answer_for_everything_in_them() {
    assert_eq!(
        ask("web.shop.local", RecordType::A),
        "web.shop.local = 172.31.0.10; web.shop.local = 172.31.0.11; answered"
    );
    assert_eq!(ask("WEB.shop.local", RecordType::AAAA), "no data in shop.local");
    assert_eq!(
        ask("_http._tcp.web.shop.local", RecordType::SRV),
        "_http._tcp.web.shop.local -> web.shop.local; answered"
    );
    assert_eq!(ask("_tcp.web.shop.local", RecordType::A), "no data in shop.local");
    assert_eq!(ask("shop.local", RecordType::A), "no data in shop.local");
    assert_eq!(ask("text.shop.local", RecordType::TXT), "text.shop.local has 12 bytes; answered");
    assert_eq!(ask("other.shop.local", RecordType::A), "no name in shop.local");
    assert_eq!(ask("a.b.c.shop.local", RecordType::A), "no name in shop.local");
    assert_eq!(ask("local", RecordType::A), "elsewhere: local");
}

#[test]
fn aliases_are_followed_to_their_end() {
    assert_eq!(
        ask("www.shop.local", RecordType::A),
        "www.shop.local -> web.shop.local; web.shop.local = 172.31.0.10; web.shop.local = 172.31.0.11; answered"
    );
    assert_eq!(ask("www.shop.local", RecordType::CNAME), "www.shop.local -> web.shop.local; answered");
    assert_eq!(
        ask("www.shop.local", RecordType::AAAA),
        "www.shop.local -> web.shop.local; no data in shop.local"
    );
    assert_eq!(ask("far.shop.local", RecordType::A), "far.shop.local -> example.com; elsewhere: example.com");
    assert_eq!(
        ask("near.shop.local", RecordType::A),
        "near.shop.local -> ip-172-31-0-9.ec2.internal; ip-172-31-0-9.ec2.internal = 172.31.0.9; answered"
    );
    assert_eq!(ask("one.shop.local", RecordType::A), "too long");
}

#[test]
fn the_longest_zone_counts_but_none_takes_private_names_from_above() {
    let zone = |apex: &str| {
        let mut zone = Zone::new(name(apex), 1);
        zone.add(name(&format!("x.{apex}")), 1, &Data::A([192, 0, 2, 1].into())).unwrap();
        Arc::new(zone)
    };
    let zones = Zones::from_iter(["internal", "deep.internal", "elb.localhost"].map(zone));
    let view = View { zones, ..view() };
    let end = |text: &str| match view.answer(&name(text), RecordType::A, 7).end {
        End::NoName(soa) => format!("no name in {}", soa.name),
        End::Answered => "answered".to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(end("x.deep.internal"), "answered");
    assert_eq!(end("y.deep.internal"), "no name in deep.internal");
    assert_eq!(end("y.internal"), "no name in internal");
    assert_eq!(end("ip-172-31-0-9.ec2.internal"), "answered");
    assert_eq!(end("x.elb.localhost"), "answered");
    assert_eq!(end("y.elb.localhost"), "no name in elb.localhost");
}

#[test]
fn zones_refuse_what_cannot_be() {
    let mut zone = Zone::new(name("shop.local"), 1);
    let address = |last| Data::A([192, 0, 2, last].into());
    let alias = Data::Cname(name("a.shop.local"));
    let mut add = |text: &str, data: &Data| zone.add(name(text), 1, data);
    assert!(matches!(add("shop.example", &address(1)), Err(ZoneError::Outside { .. })));
    assert!(matches!(add("shop.local", &alias), Err(ZoneError::AliasAtApex(_))));
    assert_eq!(add("a.shop.local", &address(1)), Ok(()));
    assert_eq!(add("a.shop.local", &address(1)), Ok(()));
    assert!(matches!(add("A.shop.local", &alias), Err(ZoneError::AliasNotAlone(_))));
    assert_eq!(add("b.shop.local", &alias), Ok(()));
    assert_eq!(add("b.shop.local", &alias), Ok(()));
    assert!(matches!(add("b.shop.local", &address(1)), Err(ZoneError::AliasNotAlone(_))));
    assert!(matches!(add("t.shop.local", &Data::Txt(vec![])), Err(ZoneError::Text(_))));
    assert!(matches!(add("t.shop.local", &Data::Txt(vec![vec![0; 256]])), Err(ZoneError::Text(_))));
    for number in 0..MAX_RECORDS_PER_SET {
        assert_eq!(add("full.shop.local", &Data::Txt(vec![number.to_string().into()])), Ok(()));
    }
    assert!(matches!(add("full.shop.local", &Data::Txt(vec![b"x".to_vec()])), Err(ZoneError::SetFull(_))));
}

#[test]
fn the_most_specific_range_has_the_view() {
    let view = |sources: &[&str], dns_support| View {
        sources: sources.iter().map(|range| range.parse().unwrap()).collect(),
        dns_support,
        ..View::default()
    };
    let table = ZoneTable::new(
        3,
        vec![view(&["172.31.0.0/16", "10.0.0.0/24"], true), view(&["172.31.8.0/24"], false)],
    );
    let support = |address: [u8; 4]| table.view_of(address.into()).map(|view| view.dns_support);
    assert_eq!(support([172, 31, 0, 1]), Some(true));
    assert_eq!(support([10, 0, 0, 1]), Some(true));
    assert_eq!(support([172, 31, 8, 1]), Some(false));
    assert_eq!(support([172, 32, 0, 1]), None);
    assert_eq!(table.generation(), 3);
}
