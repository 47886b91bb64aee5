use std::net::Ipv4Addr;

use super::ROUTE_PROTOCOL;
use addressing::{Cidr, MacAddress};
use nix::errno::Errno;

use super::{
    NetlinkError, NextHop, Rtnetlink,
    message::{Message, attributes, messages, text_of},
    route,
};

#[test]
fn messages_have_the_documented_layout() {
    let message = Message::new(16, 5, &[1, 2, 3, 4]).text(3, "lo").nest(18, |nest| nest.u32(1, 7)).finish(9);
    let number = |bytes: [u8; 4]| u32::from_ne_bytes(bytes);
    assert_eq!(message.len() % 4, 0);
    assert_eq!(number(message[0..4].try_into().expect("four")) as usize, message.len());
    let received: Vec<_> = messages(&message).collect();
    assert_eq!((received.len(), received[0].kind, received[0].sequence), (1, 16, 9));
    let found: Vec<_> = attributes(&received[0].body[4..]).collect();
    assert_eq!((found[0].0, text_of(found[0].1)), (3, "lo".to_owned()));
    assert_eq!(found[1].0, 18, "without the flag of nested ones");
    assert_eq!(attributes(found[1].1).collect::<Vec<_>>(), [(1, &7u32.to_ne_bytes()[..])]);
}

#[test]
fn malformed_answers_end_quietly() {
    let whole = Message::new(16, 0, &[0; 16]).text(3, "lo").finish(1);
    for length in 0..whole.len() {
        assert_eq!(messages(&whole[..length]).count(), 0, "cut at {length}");
    }
    for attribute in [&[0u8, 0, 0, 0][..], &[3, 0, 0, 0], &[9, 0, 0, 0], &[1], &[]] {
        assert_eq!(attributes(attribute).count(), 0, "{attribute:?}");
    }
}

/// In a namespace of the test's own; what is asked for is what the kernel lists.
#[test]
fn the_kernel_understands() {
    let thread = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("this test needs root");
        let mut socket = Rtnetlink::open().expect("a socket");
        assert_eq!(socket.link("absent").expect("asked"), None);
        let mac = MacAddress::new([2, 0, 0, 0, 0, 1]).expect("unicast");
        socket.request_all(vec![route::add_bridge("b0", mac)]).expect("a bridge");
        let again = socket.request_all(vec![route::add_bridge("b0", mac)]);
        assert_eq!(again, Err(NetlinkError::Refused { position: 0, errno: Errno::EEXIST }));
        let bridge = socket.link("b0").expect("asked").expect("there");
        assert_eq!(bridge.kind.as_deref(), Some("bridge"));

        let address = Ipv4Addr::new(10, 0, 0, 1);
        // More than one chunk of requests, and more answers than one datagram holds.
        let many: Vec<_> = (1..=300)
            .map(|n| route::add_address(bridge.index, Ipv4Addr::from(u32::from(address) + n), 32))
            .collect();
        socket.request_all(many).expect("addresses");
        assert_eq!(socket.addresses().expect("listed").len(), 300);
        let bad = vec![route::add_address(bridge.index, address, 32), route::add_address(9999, address, 32)];
        assert_eq!(socket.request_all(bad), Err(NetlinkError::Refused { position: 1, errno: Errno::ENODEV }));

        let range: Cidr = "10.0.0.0/8".parse().expect("a range");
        let nowhere = NextHop::Unreachable { metric: 77 };
        socket
            .request_all(vec![
                route::add_route(range, nowhere, ROUTE_PROTOCOL),
                route::add_route(range, nowhere, ROUTE_PROTOCOL),
            ])
            .expect("replaced");
        let listed = socket.routes().expect("listed");
        let found: Vec<_> = listed.iter().filter(|route| route.unreachable).collect();
        assert_eq!((found.len(), found[0].destination, found[0].metric), (1, range, 77));
        socket.request_gone(route::delete_route(range, nowhere, ROUTE_PROTOCOL)).expect("deleted");
        socket.request_gone(route::delete_route(range, nowhere, ROUTE_PROTOCOL)).expect("gone already");
        socket.request_gone(route::delete_link(bridge.index)).expect("deleted");
        socket.request_gone(route::delete_link(bridge.index)).expect("gone already");
    });
    thread.join().expect("no panic");
}
