//! A command's session: its input, its outputs, its terminal.

use std::{io::Write, os::fd::AsFd};

use anyhow::Context;
use control_plane::session_manager::{CLOSE_INPUT, wire::Payload};
use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
};

use super::{
    line::{Ended, Event, Line},
    terminal::{self, RawTerminal},
};

/// What one message carries, as the plugin has it.
const INPUT_BYTES: usize = 1024;
/// Session types that a command can have.
pub const TYPES: &[&str] = &["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"];

/// Where the command's input comes from.
pub enum Input {
    /// It has none.
    None,
    /// Standard input, to its end.
    Stream,
    /// What is typed; the terminal is as it was when this is dropped.
    Terminal { _raw: RawTerminal },
}

/// Talks to the session's end. The terminal is as it was when this returns.
///
/// # Errors
/// When the connection breaks.
pub async fn talk(mut line: Line<'_>, input: Input) -> anyhow::Result<Ended> {
    let mut resized = signal(SignalKind::window_change())?;
    let has_terminal = matches!(input, Input::Terminal { .. });
    let mut reading = !matches!(input, Input::None);
    let own = std::io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let mut stdin = tokio::fs::File::from_std(own.into());
    let mut buffer = vec![0; INPUT_BYTES];
    let mut open = false;
    loop {
        let room = line.has_room();
        tokio::select! {
            event = line.next(true) => match event? {
                Event::Open => {
                    open = true;
                    if has_terminal {
                        tell_size(&mut line).await?;
                    } else if !reading {
                        line.say(Payload::Flag, CLOSE_INPUT.to_be_bytes().to_vec()).await?;
                    }
                }
                Event::Data(Payload::Output, bytes) => write_all(std::io::stdout(), &bytes),
                Event::Data(Payload::StdErr, bytes) => write_all(std::io::stderr(), &bytes),
                // The last word has the exit status too.
                Event::Data(..) => {}
                Event::Closed(ended) => return Ok(ended),
            },
            read = stdin.read(&mut buffer), if open && reading && room => match read {
                Ok(0) | Err(_) => {
                    reading = false;
                    // A terminal that is gone takes the session along with it; a stream has said all.
                    line.say(Payload::Flag, CLOSE_INPUT.to_be_bytes().to_vec()).await?;
                }
                Ok(count) => line.say(Payload::Output, buffer[..count].to_vec()).await?,
            },
            _ = resized.recv(), if open && has_terminal => tell_size(&mut line).await?,
        }
    }
}

async fn tell_size(line: &mut Line<'_>) -> anyhow::Result<()> {
    match terminal::size() {
        Some(size) => line.say(Payload::Size, serde_json::to_vec(&size)?).await,
        None => Ok(()),
    }
}

/// Whoever reads it may have gone; the command goes on, as behind a pipe that is closed it would until it writes.
fn write_all(mut to: impl Write, bytes: &[u8]) {
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}
