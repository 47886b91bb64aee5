//! A process in a container, and who talks to it.

use std::time::Duration;

use agent_protocol::stream::{Down, MOST_BYTES, Process, ProcessEnd, TerminalSize, Up};
use container_runtime::{AttachConfig, RuntimeError, WindowSize};
use tokio::{sync::mpsc, time::Instant};

use super::{Credit, Input, Mouth, Over, Target, read};
use crate::ports::Conversation;

/// After the process's end: how long nothing may come before what others still hold of its output is given up.
const DRAIN: Duration = Duration::from_millis(250);
/// And how long it may go on coming.
const LONGEST_DRAIN: Duration = Duration::from_secs(10);

pub(super) async fn run(
    mouth: &Mouth,
    target: &Target,
    process: Process,
    mut words: mpsc::Receiver<Down>,
) -> Result<(), Over> {
    let config = AttachConfig {
        args: process.args,
        env: process.environment,
        user: process.user,
        cwd: None,
        terminal: process.terminal.map(window),
    };
    let begun = target.sandbox.attach(&target.name, config).await;
    let Conversation { input, output, errors, mut process } = match begun {
        Ok(conversation) => conversation,
        Err(RuntimeError::NotExecuted(outcome)) => {
            mouth.say(Up::Began).await?;
            let end = ProcessEnd { exit_code: outcome.exit_code, reason: Some(outcome.output) };
            return mouth.say(Up::Ended(Some(end))).await;
        }
        Err(error) => return mouth.say(Up::Refused(reason(&error))).await,
    };
    mouth.say(Up::Began).await?;
    let (mut input, mut credit) = (Input::new(input), Credit::new());
    let (mut output, mut errors) = (Some(output), errors);
    let (mut of_output, mut of_errors) = (vec![0; MOST_BYTES], vec![0; MOST_BYTES]);
    let (mut end, mut latest) = (None, Instant::now());
    loop {
        if end.is_some() && output.is_none() && errors.is_none() {
            return mouth.say(Up::Ended(end)).await;
        }
        tokio::select! {
            word = words.recv() => match word.ok_or(Over)? {
                Down::Data(piece) => input.push(piece)?,
                Down::CloseInput => input.close(),
                Down::Resize(size) => {
                    if let Err(error) = process.resize(window(size)) {
                        tracing::debug!(stream = mouth.stream, %error, "a terminal is not resized");
                    }
                }
                Down::Signal(signal) => process.signal(signal).await.map_err(|_| Over)?,
                Down::Taken(pieces) => credit.taken(pieces),
                Down::Begin(_) | Down::End => return Err(Over),
            },
            done = input.write(), if input.has_work() => {
                if done {
                    mouth.say(Up::Taken(1)).await?;
                }
            }
            piece = read(&mut output, &mut of_output), if output.is_some() && credit.is_left() => {
                if let Some(piece) = piece {
                    credit.0 -= 1;
                    mouth.say(Up::Output(piece)).await?;
                }
            }
            piece = read(&mut errors, &mut of_errors), if errors.is_some() && credit.is_left() => {
                if let Some(piece) = piece {
                    credit.0 -= 1;
                    mouth.say(Up::Errors(piece)).await?;
                }
            }
            outcome = process.ended(), if end.is_none() => {
                end = Some(match outcome {
                    Ok(outcome) => {
                        let reason = (!outcome.output.is_empty()).then_some(outcome.output);
                        ProcessEnd { exit_code: outcome.exit_code, reason }
                    }
                    Err(error) => ProcessEnd { exit_code: 137, reason: Some(error.to_string()) },
                });
                latest = Instant::now() + LONGEST_DRAIN;
            }
            () = tokio::time::sleep(DRAIN), if end.is_some() && credit.is_left() => {
                (output, errors) = (None, None);
            }
            () = tokio::time::sleep_until(latest), if end.is_some() => (output, errors) = (None, None),
        }
    }
}

fn window(size: TerminalSize) -> WindowSize {
    WindowSize { rows: size.rows, columns: size.columns }
}

fn reason(error: &RuntimeError) -> String {
    match error {
        RuntimeError::ConnectionLost { .. } | RuntimeError::ShimGone { .. } | RuntimeError::Io { .. } => {
            "the container has ended".to_owned()
        }
        other => other.to_string(),
    }
}
