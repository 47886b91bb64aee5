//! Load balancers by name for clients that speak TLS: the connection goes to the balancer's HTTPS or TLS listener as it is, by the name that the
//! client's hello asks for.
//!
//! Nothing is decrypted here. A hello for any other name, or without one, finds nobody: the open front door itself has no TLS.

use std::{io, net::SocketAddr, time::Duration};

use rustls::server::Acceptor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
    time::timeout,
};

use super::{CONNECT_TIMEOUT, is_name};

/// The first byte of a TLS record with a hello in it.
const HANDSHAKE: u8 = 0x16;
/// A hello is there whole within this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// And in so many bytes.
const LONGEST_HELLO: usize = 16 * 1024;

/// Whether the client begins to speak TLS. Takes nothing from the stream.
pub async fn is_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0] == HANDSHAKE
}

/// Passes the connection on to the listener that `find` knows for the name.
pub async fn pass(mut stream: TcpStream, find: impl Fn(&str) -> Option<SocketAddr>) {
    let hello = timeout(HELLO_TIMEOUT, hello(&mut stream)).await;
    let Ok(Ok(Some((name, said)))) = hello else {
        return tracing::debug!("a TLS client named no load balancer");
    };
    let Some(address) = find(&name) else {
        return tracing::debug!(name, "a TLS client named no load balancer with an HTTPS listener");
    };
    let ended = async {
        let mut balancer = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        let _ = balancer.set_nodelay(true);
        balancer.write_all(&said).await?;
        copy_bidirectional(&mut stream, &mut balancer).await
    };
    if let Err(error) = ended.await {
        tracing::debug!(name, %address, %error, "a connection to a load balancer ended");
    }
}

/// The balancer's name that the client asks for, and everything that it has said so far.
async fn hello(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut acceptor = Acceptor::default();
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while said.len() < LONGEST_HELLO {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Ok(None);
        }
        said.extend_from_slice(&chunk[..count]);
        acceptor.read_tls(&mut &chunk[..count])?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
                return Ok(name.filter(|name| is_name(name)).map(|name| (name, said)));
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
