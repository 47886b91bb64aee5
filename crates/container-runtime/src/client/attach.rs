//! A process that the agent talks to: a connection of its own to the shim, over which the process's streams come as descriptors.
//!
//! The shim ends the process when this connection ends, so that dropping [`AttachControl`] is enough, and an agent that dies leaves nothing.

use super::adopt;
use crate::config::{AttachConfig, WindowSize};
use crate::error::{FailureKind, RuntimeError};
use crate::protocol::{self, Answer, FrameBuffer, Message, Op, Request};
use crate::shim::{attachment, clients::MOST_DESCRIPTORS};
use crate::status::ExecOutcome;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{UnixStream, unix::pipe};

/// A running process and its streams.
#[derive(Debug)]
pub struct Attached {
    /// What is written here is its standard input, or typed at its terminal.
    pub input: pipe::Sender,
    /// Its standard output, or all that comes from its terminal. A terminal without a process left fails to be read: that is its end.
    pub output: pipe::Receiver,
    /// Its standard error, without a terminal.
    pub errors: Option<pipe::Receiver>,
    pub control: AttachControl,
}

/// What else can be done with the process. Dropping it ends the process: a hang-up first, a kill a second later.
#[derive(Debug)]
pub struct AttachControl {
    task: String,
    stream: UnixStream,
    frames: FrameBuffer,
    descriptors: VecDeque<OwnedFd>,
    terminal: Option<File>,
}

/// Of the one request that is answered twice.
const ATTACH: u64 = 1;
const SIGNAL: u64 = 2;

pub(super) async fn attach(
    socket: &Path,
    task: &str,
    name: &str,
    config: AttachConfig,
) -> Result<Attached, RuntimeError> {
    let has_terminal = config.terminal.is_some();
    let stream = adopt::connect(socket).await.map_err(RuntimeError::io("connect to", socket))?;
    let mut control = AttachControl {
        task: task.to_owned(),
        stream,
        frames: FrameBuffer::default(),
        descriptors: VecDeque::new(),
        terminal: None,
    };
    control.say(ATTACH, Op::Attach { name: name.to_owned(), config: Box::new(config) }).await?;
    match control.answer().await? {
        Answer::Attached => {}
        // It has ended before it began, and says why.
        Answer::Exec(outcome) => return Err(RuntimeError::NotExecuted(outcome)),
        other => return Err(RuntimeError::Protocol(format!("{other:?} for attach"))),
    }
    let use_it = RuntimeError::io("use the streams of", socket);
    control.streams(has_terminal).map_err(use_it).map(|(input, output, errors)| Attached {
        input,
        output,
        errors,
        control,
    })
}

impl AttachControl {
    /// Sets the size of its terminal; without one, nothing happens.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        self.terminal.as_ref().map_or(Ok(()), |terminal| attachment::resize(terminal, size))
    }

    /// Sends a signal to the process's group.
    ///
    /// # Errors
    /// When the shim is gone.
    pub async fn signal(&mut self, signal: i32) -> Result<(), RuntimeError> {
        self.say(SIGNAL, Op::SignalAttached { signal }).await
    }

    /// Waits for the process's end. Cancel-safe.
    ///
    /// # Errors
    /// When the shim is gone, and the process with it.
    pub async fn ended(&mut self) -> Result<ExecOutcome, RuntimeError> {
        loop {
            match self.answer().await? {
                Answer::Exec(outcome) => return Ok(*outcome),
                Answer::Done => {}
                other => return Err(RuntimeError::Protocol(format!("{other:?} for an attached process"))),
            }
        }
    }

    fn streams(
        &mut self,
        has_terminal: bool,
    ) -> io::Result<(pipe::Sender, pipe::Receiver, Option<pipe::Receiver>)> {
        let mut next = || self.descriptors.pop_front().map(File::from);
        let missing = || io::Error::other("the shim did not send them");
        let first = next().ok_or_else(missing)?;
        if has_terminal {
            // Not a pipe, and driven like one.
            let input = pipe::Sender::from_file_unchecked(first.try_clone()?)?;
            let output = pipe::Receiver::from_file_unchecked(first.try_clone()?)?;
            self.terminal = Some(first);
            return Ok((input, output, None));
        }
        let (output, errors) = (next().ok_or_else(missing)?, next().ok_or_else(missing)?);
        let input = pipe::Sender::from_file_unchecked(first)?;
        let output = pipe::Receiver::from_file_unchecked(output)?;
        Ok((input, output, Some(pipe::Receiver::from_file_unchecked(errors)?)))
    }

    fn lost(&self) -> RuntimeError {
        RuntimeError::ConnectionLost { task: self.task.clone(), request: "attach" }
    }

    async fn say(&mut self, id: u64, op: Op) -> Result<(), RuntimeError> {
        let frame = protocol::frame(&Request { id, op });
        self.stream.write_all(&frame).await.map_err(|_| self.lost())
    }

    /// The next answer. What the shim tells all its clients is passed over.
    async fn answer(&mut self) -> Result<Answer, RuntimeError> {
        loop {
            while let Some(body) = self.frames.next().map_err(RuntimeError::Protocol)? {
                let message: Message =
                    serde_json::from_slice(&body).map_err(|e| RuntimeError::Protocol(e.to_string()))?;
                if let Message::Answer { result, .. } = message {
                    return result.map_err(|refusal| match refusal.kind {
                        FailureKind::Invalid => RuntimeError::Invalid(refusal.message),
                        kind => RuntimeError::Failed { kind, message: refusal.message },
                    });
                }
            }
            let (frames, descriptors) = (&mut self.frames, &mut self.descriptors);
            let read =
                self.stream.async_io(Interest::READABLE, || receive(&self.stream, frames, descriptors));
            if read.await.map_err(|_| self.lost())? == 0 {
                return Err(self.lost());
            }
        }
    }
}

/// Reads once: bytes, and the descriptors beside them.
fn receive(
    stream: &UnixStream,
    frames: &mut FrameBuffer,
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; 16 << 10];
    let received = recvmsg(
        stream,
        &mut [io::IoSliceMut::new(&mut buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    frames.push(&buffer[..received.bytes]);
    Ok(received.bytes)
}
