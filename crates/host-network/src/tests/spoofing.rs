//! What a task that is root in its namespace must not be able to do.

use std::{net::Ipv4Addr, os::fd::AsRawFd};

use addressing::MacAddress;
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket},
};

use super::world::{Sink, at, inside, on_a_host, reaches, refused, send, serve};
use crate::{
    Attached, METADATA_ADDRESS,
    netlink::{Message, Rtnetlink, route},
};

/// Sends requests in the task's own namespace, as its root could.
fn as_task(task: &Attached, requests: impl FnOnce(u32) -> Vec<Message> + Send) {
    inside(at(task), || {
        let mut socket = Rtnetlink::open().expect("a socket");
        let index = socket.link("eth0").expect("listed").expect("there").index;
        socket.request_all(requests(index)).expect("the task is root");
    });
}

#[test]
fn a_task_cannot_use_another_address() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let server = world.task(&network, &["open"]).await;
        let other = world.task(&network, &["open"]).await;
        let thief = world.task(&network, &["open"]).await;
        serve(at(&server), Ipv4Addr::UNSPECIFIED, 80);
        serve(None, METADATA_ADDRESS, 80);
        reaches(at(&thief), server.spec.address, 80);
        for stolen in [other.spec.address, Ipv4Addr::new(172, 31, 0, 99), Ipv4Addr::new(172, 31, 0, 1)] {
            let own = thief.spec.address;
            as_task(&thief, |eth0| {
                vec![route::delete_address(eth0, own, 20), route::add_address(eth0, stolen, 20)]
            });
            // The default route went with the address it was reached by.
            as_task(&thief, |eth0| {
                let router = Ipv4Addr::new(172, 31, 0, 1);
                let gateway = crate::netlink::NextHop::Gateway { index: eth0, router };
                match stolen == router {
                    true => vec![],
                    false => vec![route::add_route(
                        addressing::Cidr::ANYWHERE,
                        gateway,
                        crate::netlink::ROUTE_PROTOCOL,
                    )],
                }
            });
            refused(at(&thief), server.spec.address, 80);
            refused(at(&thief), METADATA_ADDRESS, 80);
            as_task(&thief, |eth0| {
                vec![route::delete_address(eth0, stolen, 20), route::add_address(eth0, own, 20)]
            });
        }
        reaches(at(&thief), server.spec.address, 80);
        reaches(at(&other), server.spec.address, 80);
        // The rightful holder was reachable all the time.
        serve(at(&other), Ipv4Addr::UNSPECIFIED, 80);
        reaches(None, other.spec.address, 80);
    });
}

#[test]
fn a_task_cannot_use_another_hardware_address() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let server = world.task(&network, &["open"]).await;
        let thief = world.task(&network, &["open"]).await;
        serve(at(&server), Ipv4Addr::UNSPECIFIED, 80);
        reaches(at(&thief), server.spec.address, 80);
        let (own, stolen) = (thief.spec.mac, server.spec.mac);
        as_task(&thief, |eth0| vec![route::set_link_mac_up(eth0, stolen)]);
        refused(at(&thief), server.spec.address, 80);
        let made_up = MacAddress::new([2, 9, 9, 9, 9, 9]).expect("unicast");
        as_task(&thief, |eth0| vec![route::set_link_mac_up(eth0, made_up)]);
        refused(at(&thief), server.spec.address, 80);
        as_task(&thief, |eth0| vec![route::set_link_mac_up(eth0, own)]);
        reaches(at(&thief), server.spec.address, 80);
    });
}

/// No answer would come back to a spoofed packet, so what counts is whether it arrives; and on a host whose own reverse
/// path check is loose, as many distributions set it, only our rules stand in its way.
#[test]
fn spoofed_packets_do_not_arrive() {
    on_a_host(|world| async move {
        crate::sysctl::write("net/ipv4/conf/all/rp_filter", "2").expect("set");
        let network = world.network().await;
        let server = world.task(&network, &["open"]).await;
        let other = world.task(&network, &["open"]).await;
        let thief = world.task(&network, &["open"]).await;
        let (to, own, own_mac) = (server.spec.address, thief.spec.address, thief.spec.mac);
        let sink = Sink::open(at(&server), to, 9);
        send(at(&thief), to, 9, "own");
        assert_eq!(sink.until("own"), Vec::<String>::new());

        let stolen = other.spec.address;
        as_task(&thief, |eth0| {
            vec![route::delete_address(eth0, own, 20), route::add_address(eth0, stolen, 20)]
        });
        send(at(&thief), to, 9, "stolen address");
        as_task(&thief, |eth0| {
            vec![route::delete_address(eth0, stolen, 20), route::add_address(eth0, own, 20)]
        });
        let made_up = MacAddress::new([2, 9, 9, 9, 9, 9]).expect("unicast");
        as_task(&thief, |eth0| vec![route::set_link_mac_up(eth0, made_up)]);
        send(at(&thief), to, 9, "made-up hardware address");
        as_task(&thief, |eth0| vec![route::set_link_mac_up(eth0, own_mac)]);
        send(at(&thief), to, 9, "own again");
        assert_eq!(sink.until("own again"), Vec::<String>::new());
    });
}

#[test]
fn a_task_sees_no_frames_of_others() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let server = world.task(&network, &["open"]).await;
        let client = world.task(&network, &["open"]).await;
        let curious = world.task(&network, &["open"]).await;
        serve(at(&server), Ipv4Addr::UNSPECIFIED, 80);
        let tap = |task: &Attached| {
            inside(at(task), || {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
                    .expect("a packet socket")
            })
        };
        let (theirs, own) = (tap(&curious), tap(&client));
        reaches(at(&client), server.spec.address, 80);
        reaches(None, server.spec.address, 80);
        let count = |tap: &std::os::fd::OwnedFd| {
            let mut frames = 0;
            let mut frame = [0; 2048];
            loop {
                match recv(tap.as_raw_fd(), &mut frame, MsgFlags::empty()) {
                    Ok(length) => {
                        let names = |address: Ipv4Addr| {
                            frame[..length].windows(4).any(|bytes| bytes == address.octets())
                        };
                        frames += usize::from(names(server.spec.address) || names(client.spec.address));
                    }
                    Err(Errno::EAGAIN) => return frames,
                    Err(errno) => panic!("the tap failed: {errno}"),
                }
            }
        };
        assert!(count(&own) > 0, "a tap sees its own task's frames");
        assert_eq!(count(&theirs), 0);
    });
}

#[test]
fn addresses_no_one_holds_lead_nowhere() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.public_task(&network, &["open"], 7).await;
        // Outside would answer for any address if a packet got there.
        let absent =
            [Ipv4Addr::new(172, 31, 0, 77), Ipv4Addr::new(172, 31, 200, 1), Ipv4Addr::new(198, 18, 3, 3)];
        inside(Some(&world.outside), || {
            let mut socket = Rtnetlink::open().expect("a socket");
            let index = socket.link("up0").expect("listed").expect("there").index;
            let held = absent.map(|address| route::add_address(index, address, 32));
            socket.request_all(held.to_vec()).expect("held");
        });
        for address in absent {
            serve(Some(&world.outside), address, 80);
        }
        serve(Some(&world.outside), super::world::OUTSIDE, 80);
        reaches(at(&task), super::world::OUTSIDE, 80);
        for address in absent {
            refused(at(&task), address, 80);
            refused(None, address, 80);
        }
    });
}

#[test]
fn a_task_does_not_reach_the_machines_own_metadata() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.public_task(&network, &["open"], 7).await;
        // Where a cloud machine finds its own credentials.
        let metadata = Ipv4Addr::new(169, 254, 169, 254);
        inside(Some(&world.outside), || {
            let mut socket = Rtnetlink::open().expect("a socket");
            let index = socket.link("up0").expect("listed").expect("there").index;
            socket.request_all(vec![route::add_address(index, metadata, 32)]).expect("held");
        });
        serve(Some(&world.outside), metadata, 80);
        reaches(None, metadata, 80);
        refused(at(&task), metadata, 80);
    });
}
