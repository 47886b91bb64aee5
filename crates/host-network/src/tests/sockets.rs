//! Sockets of an interface's namespace, driven from outside of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{at, cidr, inside, on_a_host, reaches, refused, serve, sg, tcp};
use crate::{NamespaceSockets, Peer, tests::world::allowing};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 7);

fn socket_address(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

#[test]
fn a_balancer_without_a_process_answers_and_connects_as_its_groups_say() {
    on_a_host(|world| async move {
        let network = world.network().await;
        network
            .set_security_group(allowing("edge", vec![tcp(80, 80, cidr("0.0.0.0/0"))]))
            .await
            .expect("a group");
        let by_group = tcp(8080, 8080, Peer::Group(sg("edge")));
        network.set_security_group(allowing("inner", vec![by_group])).await.expect("a group");
        let edge = world.public_task(&network, &["edge"], 7).await;
        let target = world.task(&network, &["inner"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 8080);
        // Only the group's members reach the target: the host does not.
        refused(None, target.spec.address, 8080);

        let sockets = NamespaceSockets::enter(&edge.netns_path).expect("entered");
        for port in [80, 81] {
            let listener =
                sockets.listen(socket_address(Ipv4Addr::UNSPECIFIED, port)).await.expect("listening");
            let (sockets, to) = (sockets.clone(), socket_address(target.spec.address, 8080));
            tokio::spawn(async move {
                while let Ok((mut client, _)) = listener.accept().await {
                    let mut upstream = sockets.connect(to).await.expect("connected");
                    let mut seen = String::new();
                    upstream.read_to_string(&mut seen).await.expect("read");
                    // The client may be gone already.
                    let _ = client.write_all(seen.as_bytes()).await;
                }
            });
        }
        let own = edge.spec.address;
        // On another thread: the listeners live on this one.
        let asked = tokio::task::spawn_blocking(move || {
            let answers = [reaches(None, PUBLIC, 80), reaches(None, own, 80)];
            refused(None, PUBLIC, 81);
            answers
        });
        // What the target saw is the balancer's address.
        assert_eq!(asked.await.expect("no panic"), [own, own]);
        // This thread has not changed its own namespace.
        assert!(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).is_ok());
    });
}

#[test]
fn datagrams_and_many_streams() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let edge = world.task(&network, &["open"]).await;
        let target = world.task(&network, &["open"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 53);
        let sockets = NamespaceSockets::enter(&edge.netns_path).expect("entered");
        let datagrams = sockets.datagram(socket_address(Ipv4Addr::UNSPECIFIED, 0)).await.expect("bound");
        let to = socket_address(target.spec.address, 53);
        datagrams.send_to(b"?", to).await.expect("sent");
        let mut buffer = [0; 64];
        let (length, _) = datagrams.recv_from(&mut buffer).await.expect("answered");
        assert_eq!(&buffer[..length], edge.spec.address.to_string().as_bytes());
        // More than are kept ready, all at once.
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let sockets = sockets.clone();
            streams.spawn(async move { sockets.connect(to).await.expect("connected") });
        }
        assert_eq!(streams.join_all().await.len(), 200);
        // A port that is taken says so.
        let held =
            inside(at(&edge), || std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 91)).expect("bound"));
        let taken = sockets.listen(socket_address(Ipv4Addr::UNSPECIFIED, 91)).await.expect_err("taken");
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        drop(held);
    });
}

#[test]
fn what_is_no_namespace_is_not_entered() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    assert!(NamespaceSockets::enter(file.path()).is_err());
    assert!(NamespaceSockets::enter(&file.path().join("missing")).is_err());
}
