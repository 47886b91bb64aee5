//! A blocking netlink socket that sends several requests at once and waits for all their answers.
//!
//! Sequence numbers only grow, so answers left over from a request that was given up are recognised and skipped.
//! Receiving has a time limit: the kernel answers at once or never.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
            sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};

use super::message::{HEADER, Message, Received, messages, u32_at};

/// Answer kinds every netlink protocol shares.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Dumps arrive in pieces of at most 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;
/// The kernel answers within the call that sends; this only bounds a wait for an answer that never comes.
const ANSWER_SECONDS: i64 = 10;
/// Answers to more than this many requests might not fit the socket's receive buffer.
const REQUESTS_MAX: usize = 128;

/// What the kernel or the socket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused the request at this position (from 0) of those sent together.
    #[error("the kernel refused request {position}: {errno}")]
    Refused { position: usize, errno: Errno },
    #[error("the netlink socket failed: {0}")]
    Socket(Errno),
    #[error("the kernel gave no answer within {ANSWER_SECONDS} s")]
    NoAnswer,
    #[error("the kernel's answer could not be read")]
    Malformed,
}

impl NetlinkError {
    /// The error number of a refusal.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            NetlinkError::Refused { errno, .. } | NetlinkError::Socket(errno) => Some(*errno),
            _ => None,
        }
    }
}

/// An open socket, bound to the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(crate) fn open(protocol: SockProtocol) -> Result<Socket, NetlinkError> {
        let descriptor = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map_err(NetlinkError::Socket)?;
        setsockopt(&descriptor, ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))
            .map_err(NetlinkError::Socket)?;
        Ok(Socket { descriptor, sequence: 0 })
    }

    /// Sends `requests` (each flagged ACK) and waits until all are acknowledged. The kernel carries them out one
    /// after another: those before a refused one have happened, for those behind it nothing can be said.
    pub(crate) fn request_all(&mut self, requests: Vec<Message>) -> Result<(), NetlinkError> {
        let mut done = 0;
        let mut requests = requests.into_iter();
        loop {
            let chunk: Vec<Message> = requests.by_ref().take(REQUESTS_MAX).collect();
            if chunk.is_empty() {
                return Ok(());
            }
            let length = chunk.len();
            self.exchange(chunk, 0, length).map_err(|error| shift(error, done))?;
            done += length;
        }
    }

    /// Sends messages of which those from `first` on, `acknowledged` of them, are answered.
    pub(crate) fn exchange(
        &mut self,
        sent: Vec<Message>,
        first: usize,
        acknowledged: usize,
    ) -> Result<(), NetlinkError> {
        let start = self.send(sent)?;
        let mut missing = acknowledged;
        while missing > 0 {
            self.receive(start, |message| {
                if message.kind != ERROR {
                    return Ok(true);
                }
                match error_number(message)? {
                    0 => missing -= 1,
                    errno => {
                        let position = (message.sequence - start) as usize;
                        let errno = Errno::from_raw(errno);
                        return Err(NetlinkError::Refused {
                            position: position.saturating_sub(first),
                            errno,
                        });
                    }
                }
                Ok(missing > 0)
            })?;
        }
        Ok(())
    }

    /// Sends one request and gives every answer to `take` until the end of the list, or the single answer.
    pub(crate) fn collect<T>(
        &mut self,
        request: Message,
        dump: bool,
        mut take: impl FnMut(Received<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let start = self.send(vec![request])?;
        let mut taken = vec![];
        let mut open = true;
        while open {
            self.receive(start, |message| {
                match message.kind {
                    DONE => open = false,
                    ERROR => match error_number(message)? {
                        0 => open = false,
                        errno => {
                            return Err(NetlinkError::Refused { position: 0, errno: Errno::from_raw(errno) });
                        }
                    },
                    _ => {
                        taken.extend(take(message));
                        open = dump;
                    }
                }
                Ok(open)
            })?;
        }
        Ok(taken)
    }

    /// Returns the sequence number of the first message.
    fn send(&mut self, sent: Vec<Message>) -> Result<u32, NetlinkError> {
        let start = self.sequence + 1;
        let mut datagram = Vec::with_capacity(sent.len() * 128);
        for message in sent {
            self.sequence += 1;
            datagram.extend(message.finish(self.sequence));
        }
        retry(|| send(self.descriptor.as_raw_fd(), &datagram, MsgFlags::empty()))
            .map_err(NetlinkError::Socket)?;
        Ok(start)
    }

    /// Receives one datagram; gives its messages from sequence `start` on to `visit` until that says `false`.
    fn receive(
        &self,
        start: u32,
        mut visit: impl FnMut(Received<'_>) -> Result<bool, NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let length = match retry(|| recv(self.descriptor.as_raw_fd(), &mut buffer, MsgFlags::empty())) {
            Ok(length) if length >= HEADER => length,
            Ok(_) => return Err(NetlinkError::Malformed),
            Err(Errno::EAGAIN) => return Err(NetlinkError::NoAnswer),
            Err(errno) => return Err(NetlinkError::Socket(errno)),
        };
        for message in messages(&buffer[..length]) {
            if message.sequence >= start && !visit(message)? {
                break;
            }
        }
        Ok(())
    }
}

/// The positive error number of an ERROR answer, 0 for an acknowledgement.
fn error_number(message: Received<'_>) -> Result<i32, NetlinkError> {
    let code = u32_at(message.body, 0).ok_or(NetlinkError::Malformed)?;
    Ok((code as i32).wrapping_neg())
}

fn shift(error: NetlinkError, by: usize) -> NetlinkError {
    match error {
        NetlinkError::Refused { position, errno } => NetlinkError::Refused { position: position + by, errno },
        other => other,
    }
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

impl From<NetlinkError> for io::Error {
    fn from(error: NetlinkError) -> io::Error {
        match error.errno() {
            Some(errno) => io::Error::from_raw_os_error(errno as i32),
            None => io::Error::other(error),
        }
    }
}
