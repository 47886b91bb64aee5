//! Where shims come from: one process that has done everything no task has a say in, and copies itself for each connection it is given.
//!
//! Starting the binary costs milliseconds, most of them for the dynamic linker, who writes to every page that holds an address; it is done
//! twice (see [`super::process::run_from_read_only_mount`]), and moving to a cgroup waits for a grace period of the whole machine. A copy
//! has all of that behind it and shares those pages.
//!
//! A connection comes as a descriptor with one byte, and nothing is answered: whoever sent it holds the other end, which closes if no copy
//! could be made. The server ends when its own connection closes; the copies are sessions of their own and stay.

use super::process;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Serves `requests`. Returns in each copy with its connection, and in the server itself, with nothing, when the agent is gone.
pub(super) fn serve(requests: OwnedFd) -> io::Result<Option<OwnedFd>> {
    // Nobody waits for the copies.
    process::ignore(nix::sys::signal::Signal::SIGCHLD)?;
    loop {
        let client = match next(&requests) {
            Ok(Some(client)) => client,
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        // A copy that cannot be made closes `client`, which is the answer.
        if let Ok(None) = process::fork() {
            drop(requests);
            process::notice(nix::sys::signal::Signal::SIGCHLD)?;
            return Ok(Some(client));
        }
    }
}

/// The next connection; `None` at the end. A byte without a descriptor is passed over.
fn next(requests: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    loop {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(requests, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        match descriptor {
            Some(descriptor) => return Ok(Some(descriptor)),
            None if received.bytes == 0 => return Ok(None),
            None => {}
        }
    }
}
