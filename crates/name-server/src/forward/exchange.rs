//! One question to one server: a datagram from a random port under a random id, and TCP when the answer was cut short.
//!
//! The socket is connected, so the kernel delivers only what comes from that server and reports when nobody listens there. An
//! answer counts only if id and question are those that were sent (RFC 5452); others are passed over, a bounded number.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::Key;
use crate::message::{Code, Edns, Message, OWN_UDP_BYTES};

/// Answers that do not belong to the question, until the server is given up: somebody guesses.
const MAX_STRAYS: usize = 32;
/// How long a server may take over TCP before the part that came over UDP has to do. Some drop such connections silently.
const TCP_PATIENCE: Duration = Duration::from_secs(1);

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its answers do not belong to the question")]
    Strays,
    #[error("it answered with code {}", .0.0)]
    Unable(Code),
}

/// Asks `server`. Whoever calls bounds the time.
pub(crate) async fn ask(server: SocketAddr, key: &Key) -> Result<Message, ExchangeError> {
    let answer = match over_udp(server, key, true).await {
        // Before RFC 6891, servers refused what they did not know.
        Ok(answer) if matches!(answer.code, Code::FORMAT_ERROR | Code::NOT_IMPLEMENTED) => {
            over_udp(server, key, false).await?
        }
        outcome => outcome?,
    };
    let answer = match answer.truncated {
        // A part is better than nothing: the client sees that it is one.
        true => match timeout(TCP_PATIENCE, over_tcp(server, key)).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(_)) | Err(_) => answer,
        },
        false => answer,
    };
    match answer.code {
        Code::NO_ERROR | Code::NO_NAME => Ok(answer),
        code => Err(ExchangeError::Unable(code)),
    }
}

fn query(key: &Key, edns: bool) -> io::Result<Message> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let mut query = Message::query(u16::from_be_bytes(id), key.question.clone());
    query.checking_disabled = key.checking_disabled;
    if edns || key.dnssec_ok {
        query.edns = Some(Edns { udp_bytes: OWN_UDP_BYTES, version: 0, dnssec_ok: key.dnssec_ok });
    }
    Ok(query)
}

fn belongs(query: &Message, answer: &Message) -> bool {
    let question = match answer.questions.as_slice() {
        // Some servers leave the question out when they refuse.
        [] => !matches!(answer.code, Code::NO_ERROR | Code::NO_NAME),
        questions => questions == query.questions,
    };
    answer.response && answer.id == query.id && answer.opcode == query.opcode && question
}

async fn over_udp(server: SocketAddr, key: &Key, edns: bool) -> Result<Message, ExchangeError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Port 0: the kernel takes a random free one.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let query = query(key, edns)?;
    socket.send(&query.write(usize::from(OWN_UDP_BYTES))).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..MAX_STRAYS {
        let length = socket.recv(&mut buffer).await?;
        match Message::read(&buffer[..length]) {
            Ok(answer) if belongs(&query, &answer) => return Ok(answer),
            _ => {}
        }
    }
    Err(ExchangeError::Strays)
}

async fn over_tcp(server: SocketAddr, key: &Key) -> Result<Message, ExchangeError> {
    let mut stream = TcpStream::connect(server).await?;
    let query = query(key, true)?;
    let bytes = query.write(usize::from(u16::MAX));
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    match Message::read(&buffer) {
        Ok(answer) if belongs(&query, &answer) => Ok(answer),
        _ => Err(ExchangeError::Strays),
    }
}
