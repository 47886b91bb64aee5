//! A process that somebody talks to: its streams are made here and handed to the client, which then reads and writes without the shim.
//!
//! Handing them over rather than passing bytes on keeps the loop free of a terminal's traffic, and ties the process to its client:
//! when the client's connection is gone, whatever the reason, the terminal has hung up too, and the process with everything of its session is asked
//! to end ([`hang_up`]) and then killed ([`kill`]). What left the session on purpose (`setsid`, `nohup` beyond the terminal's end) is
//! the container's from then on.

use super::container::Container;
use super::helper::{self, Streams};
use super::prepare;
use crate::config::{AttachConfig, WindowSize};
use crate::spec::oci;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// While signalling a session, processes may still be made: so often it is looked at again.
const PASSES: usize = 4;

#[derive(Debug)]
pub(super) struct Attachment {
    /// For the client: see [`crate::protocol::Answer::Attached`].
    ends: Vec<OwnedFd>,
    terminal: Option<(UnixListener, PathBuf, WindowSize)>,
    /// How libcontainer is to make the process.
    process: PathBuf,
    /// Its client has gone.
    pub(super) left: bool,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.process);
        if let Some((_, path, _)) = &self.terminal {
            let _ = fs::remove_file(path);
        }
    }
}

impl Attachment {
    /// Makes the streams. `number` tells the files of several apart.
    pub(super) fn prepare(
        container: &Container,
        config: &AttachConfig,
        number: u64,
    ) -> io::Result<(Attachment, Streams)> {
        let process = container.bundle.join(format!("process-{number}.json"));
        let (mut streams, mut ends, mut terminal) = (Streams::default(), Vec::new(), None);
        match config.terminal {
            Some(size) => {
                let path = container.bundle.join(format!("console-{number}.sock"));
                terminal = Some((prepare::listen(&path)?, path, size));
            }
            None => {
                let (input, writer) = helper::pipe()?;
                let (output, stdout) = helper::pipe()?;
                let (errors, stderr) = helper::pipe()?;
                streams = Streams { stdin: Some(input), stdout: Some(stdout), stderr: Some(stderr) };
                ends = vec![writer, output, errors];
            }
        }
        for end in &ends {
            helper::nonblocking(end)?;
        }
        let attachment = Attachment { ends, terminal, process, left: false };
        let specification = fs::read(container.bundle.join("config.json"))?;
        let process = oci::process_like(&specification, attachment.terminal.is_some())?;
        fs::write(&attachment.process, process)?;
        Ok((attachment, streams))
    }

    pub(super) fn process_file(&self) -> PathBuf {
        self.process.clone()
    }

    pub(super) fn console(&self) -> Option<PathBuf> {
        self.terminal.as_ref().map(|(_, path, _)| path.clone())
    }

    /// The process is made: what its client gets.
    pub(super) fn take_ends(&mut self) -> io::Result<Vec<OwnedFd>> {
        if let Some((listener, _, size)) = &self.terminal {
            let terminal: File = prepare::receive_terminal(listener)?;
            begin_with(&terminal, *size)?;
            return Ok(vec![OwnedFd::from(terminal)]);
        }
        Ok(std::mem::take(&mut self.ends))
    }
}

/// Sets a terminal's size, by its controlling end.
pub(crate) fn resize(terminal: &impl std::os::fd::AsFd, size: WindowSize) -> io::Result<()> {
    let size =
        rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Sets the size of a terminal that has none yet. Both who begins the process and the process itself do so: neither knows which of them is first,
/// and a size that the client has set meanwhile stays.
pub(super) fn begin_with(terminal: &impl std::os::fd::AsFd, size: WindowSize) -> io::Result<()> {
    let current = rustix::termios::tcgetwinsize(terminal)?;
    if (current.ws_row, current.ws_col) == (0, 0) { resize(terminal, size) } else { Ok(()) }
}

/// Tells every process of a session that its terminal is gone; stopped ones go on, so that they hear it.
pub(super) fn hang_up(leader: Pid) {
    for pid in members(leader) {
        let _ = nix::sys::signal::kill(pid, Signal::SIGHUP);
        let _ = nix::sys::signal::kill(pid, Signal::SIGCONT);
    }
}

/// Kills every process of a session, those that are made meanwhile too.
pub(super) fn kill(leader: Pid) {
    for _ in 0..PASSES {
        let members = members(leader);
        if members.is_empty() {
            return;
        }
        for pid in members {
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
    }
}

/// The processes of the session that `leader` began, as far as they have not ended. The number cannot have been given to another process while one
/// of them lives.
fn members(leader: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            session_of(&stat).is_some_and(|session| session == leader.as_raw())
        })
        .map(Pid::from_raw)
        .collect()
}

/// The session in the text of `/proc/PID/stat`, unless the process has ended and only waits to be reaped.
fn session_of(stat: &str) -> Option<i32> {
    // The name before it may contain anything, brackets too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::session_of;

    #[test]
    fn a_session_is_found_behind_any_name() {
        assert_eq!(session_of("12 (a) b (c) S 1 11 10 34816 12 4194304"), Some(10));
        assert_eq!(session_of("12 (sh) Z 1 11 10 0 -1"), None);
        assert_eq!(session_of("12 (sh"), None);
        assert_eq!(session_of(""), None);
    }
}
