//! A connection to a port in a container's network, made from within it: what listens on loopback there is reached, and no security
//! group is asked.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use agent_protocol::stream::{Destination, Down, MOST_BYTES, Up};
use tokio::{net::TcpStream, sync::mpsc};

use super::{Credit, Input, Mouth, Over, Target, read, resolve::resolve};

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(
    mouth: &Mouth,
    target: &Target,
    to: &Destination,
    mut words: mpsc::Receiver<Down>,
) -> Result<(), Over> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(mouth, target, to));
    let stream = match connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => return mouth.say(Up::Refused(error.to_string())).await,
    };
    // What is typed goes out at once.
    let _ = stream.set_nodelay(true);
    mouth.say(Up::Began).await?;
    let (reader, writer) = stream.into_split();
    let (mut reader, mut input, mut credit) = (Some(reader), Input::new(writer), Credit::new());
    let mut buffer = vec![0; MOST_BYTES];
    loop {
        tokio::select! {
            word = words.recv() => match word.ok_or(Over)? {
                Down::Data(piece) => input.push(piece)?,
                Down::CloseInput => input.close(),
                Down::Taken(pieces) => credit.taken(pieces),
                Down::Resize(_) | Down::Signal(_) => {}
                Down::Begin(_) | Down::End => return Err(Over),
            },
            done = input.write(), if input.has_work() => {
                if done {
                    mouth.say(Up::Taken(1)).await?;
                }
            }
            piece = read(&mut reader, &mut buffer), if reader.is_some() && credit.is_left() => match piece {
                Some(piece) => {
                    credit.0 -= 1;
                    mouth.say(Up::Output(piece)).await?;
                }
                None => mouth.say(Up::OutputClosed).await?,
            },
        }
        if reader.is_none() && input.writer.is_none() {
            return mouth.say(Up::Ended(None)).await;
        }
    }
}

async fn connect(mouth: &Mouth, target: &Target, to: &Destination) -> io::Result<TcpStream> {
    let pid = target.pid.ok_or_else(|| io::Error::other("the container has ended"))?;
    let namespace = PathBuf::from(format!("/proc/{pid}/ns/net"));
    let network = &mouth.node.machine.network;
    let address = match &to.host {
        None => Ipv4Addr::LOCALHOST,
        Some(host) => resolve(network.as_ref(), &namespace, pid, host).await?,
    };
    let socket = network.stream_in(&namespace).await?;
    // The number may have become another process's in the meantime; the container would have ended then.
    let status = target.sandbox.statuses().remove(&target.name);
    if status.is_none_or(|status| status.is_exited() || status.pid != Some(pid)) {
        return Err(io::Error::other("the container has ended"));
    }
    socket.connect(SocketAddrV4::new(address, to.port).into()).await
}
