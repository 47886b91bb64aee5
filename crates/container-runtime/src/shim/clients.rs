//! The shim's connections: frames in, frames out, never waiting for a client.

use crate::protocol::{self, FrameBuffer, Message, Request};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A client that lets this much pile up does not listen: it is cut off and learns everything when it comes back.
const MOST_UNSENT_BYTES: usize = 16 << 20;
/// An agent has one connection for a task; tools and a successor may have others.
const MOST_CLIENTS: usize = 64;

/// Beside one frame: a process's three streams.
pub(crate) const MOST_DESCRIPTORS: usize = 3;

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    incoming: FrameBuffer,
    outgoing: Vec<u8>,
    /// Descriptors that go with a byte of `outgoing`, by its place there.
    descriptors: Vec<(usize, Vec<OwnedFd>)>,
}

/// All connections by number.
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: BTreeMap<u64, Client>,
    last: u64,
}

/// Who asked what: where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) client: u64,
    pub(super) request: u64,
}

impl Clients {
    pub(super) fn add(&mut self, stream: UnixStream) {
        if self.clients.len() < MOST_CLIENTS && stream.set_nonblocking(true).is_ok() {
            self.last += 1;
            let (incoming, outgoing, descriptors) = Default::default();
            self.clients.insert(self.last, Client { stream, incoming, outgoing, descriptors });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.clients.contains_key(&number)
    }

    /// Number, descriptor, and whether there is something to send.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, bool)> {
        self.clients
            .iter()
            .map(|(number, client)| (*number, client.stream.as_fd(), !client.outgoing.is_empty()))
    }

    /// The requests that have arrived from one client. A client that is out of step or gone is dropped.
    pub(super) fn receive(&mut self, number: u64, buffer: &mut Vec<u8>) -> Vec<Request> {
        let Some(client) = self.clients.get_mut(&number) else { return Vec::new() };
        buffer.resize(64 << 10, 0);
        let mut requests = Vec::new();
        match client.stream.read(buffer) {
            Ok(0) => drop(self.clients.remove(&number)),
            Ok(count) => {
                client.incoming.push(&buffer[..count]);
                loop {
                    let request = match client.incoming.next() {
                        Ok(Some(body)) => serde_json::from_slice(&body).map_err(drop),
                        Ok(None) => break,
                        Err(_) => Err(()),
                    };
                    match request {
                        Ok(request) => requests.push(request),
                        Err(()) => {
                            self.clients.remove(&number);
                            break;
                        }
                    }
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => drop(self.clients.remove(&number)),
        }
        requests
    }

    pub(super) fn send(&mut self, number: u64, message: &Message) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.outgoing.extend_from_slice(&protocol::frame(message));
            self.push(number);
        }
    }

    /// The same, with descriptors beside the frame's first byte. They are closed here once they are sent.
    pub(super) fn hand_over(&mut self, number: u64, message: &Message, descriptors: Vec<OwnedFd>) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.descriptors.push((client.outgoing.len(), descriptors));
        }
        self.send(number, message);
    }

    pub(super) fn broadcast(&mut self, message: &Message) {
        let frame = protocol::frame(message);
        for number in self.clients.keys().copied().collect::<Vec<_>>() {
            if let Some(client) = self.clients.get_mut(&number) {
                client.outgoing.extend_from_slice(&frame);
            }
            self.push(number);
        }
    }

    /// Sends what the socket takes.
    pub(super) fn push(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let mut sent = 0;
        let mut broken = false;
        while sent < client.outgoing.len() {
            let with = client.descriptors.first().is_some_and(|(at, _)| *at == sent);
            // Descriptors of a later frame go with its own bytes.
            let next = client.descriptors.get(usize::from(with));
            let part = &client.outgoing[sent..next.map_or(client.outgoing.len(), |(at, _)| *at)];
            let written = match client.descriptors.first().filter(|_| with) {
                Some((_, descriptors)) => send_with(&client.stream, part, descriptors),
                None => client.stream.write(part),
            };
            match written {
                Ok(count) => {
                    sent += count;
                    if with {
                        client.descriptors.remove(0);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    broken = e.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        client.outgoing.drain(..sent);
        client.descriptors.iter_mut().for_each(|(at, _)| *at -= sent);
        if broken || client.outgoing.len() > MOST_UNSENT_BYTES {
            self.clients.remove(&number);
        }
    }

    /// For the last words: waits a moment for each client to take them.
    pub(super) fn send_off(&mut self) {
        for client in self.clients.values_mut() {
            let patience = Some(std::time::Duration::from_secs(1));
            if client.stream.set_nonblocking(false).is_ok()
                && client.stream.set_write_timeout(patience).is_ok()
            {
                let _ = client.stream.write_all(&client.outgoing);
            }
        }
    }
}

fn send_with(stream: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> std::io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(std::io::Error::other("too many descriptors for one message"));
    }
    Ok(sendmsg(stream, &[std::io::IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}
