//! What a session works with: a process, or connections to a port.
//!
//! Nothing here waits, except for words from the node ([`Work::hear`]). What a client sends goes to a carrier that has room for it
//! ([`Work::has_room`]); what a carrier brings becomes messages to the client.

use std::collections::HashMap;

use agent_protocol::stream::{Begin, Destination, Process, TerminalSize, Up, What};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    carrier::{self, Carrier, Heard, Order},
    plan::{self, Plan},
    smux::{self, Frame, Frames},
    target::Reached,
    wire::{OUTPUT_BYTES, Payload, flag},
};
use crate::{agents::streams::Streams, services::Services};

/// Words of all carriers that may wait for the session.
const HEARD: usize = 4;
/// Orders that one message of a client may become: as many frames as fit into it.
const ROOM: usize = carrier::QUEUE / 2;
/// Connections of one session.
const MOST_CONNECTIONS: usize = 128;
/// Before its client has said how large its terminal is.
const FIRST_SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };
/// Versions of the plugin above this one multiplex forwarded ports.
const LAST_WITHOUT_MULTIPLEXING: [u32; 4] = [1, 1, 70, 0];
/// How `longshore exec` names itself: it says when its input ends.
pub const OWN_CLIENT: &str = "longshore-";
/// Ours, beside the protocol's flags: no more input comes.
pub const CLOSE_INPUT: u32 = 0x4c53_0001;

/// What came of a word from the node.
#[derive(Debug, Default)]
pub struct Outcome {
    pub said: Vec<(Payload, Vec<u8>)>,
    pub over: Option<Over>,
}

/// The work is done.
#[derive(Debug, Default)]
pub struct Over {
    pub exit_code: Option<i32>,
    /// Why it came to nothing.
    pub failure: Option<String>,
}

pub struct Work {
    streams: Streams,
    reached: Reached,
    id: String,
    plan: plan::Work,
    doing: Doing,
    size: TerminalSize,
    sender: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
    /// Numbers of streams that were begun.
    begun: u32,
    tasks: JoinSet<()>,
}

enum Doing {
    Nothing,
    Process(Carrier),
    /// One connection at a time, and the number of its carrier.
    Single(Option<(u32, Carrier)>),
    Many {
        frames: Frames,
        /// By the carrier's number: the client's number of the stream, and the carrier.
        open: HashMap<u32, (u32, Carrier)>,
    },
}

impl Work {
    pub fn new(services: &Services, plan: &Plan, reached: &Reached, id: &str) -> Work {
        let (sender, heard) = mpsc::channel(HEARD);
        Work {
            streams: services.agents.streams.clone(),
            reached: reached.clone(),
            id: id.to_owned(),
            plan: plan.work.clone(),
            doing: Doing::Nothing,
            size: FIRST_SIZE,
            sender,
            heard,
            begun: 0,
            tasks: JoinSet::new(),
        }
    }

    /// The client is there. `client_version`: what it says of itself.
    pub fn begin(&mut self, client_version: &str) {
        let terminal = Some(self.size);
        self.doing = match self.plan.clone() {
            plan::Work::Terminal { args, environment, .. } => {
                let process = Process { args, environment, user: Some(ROOT.to_owned()), terminal };
                Doing::Process(self.start(What::Process(process)).1)
            }
            plan::Work::Command { args, .. } => {
                let (environment, user) = (Vec::new(), Some(ROOT.to_owned()));
                let process = Process { args, environment, user, terminal: None };
                let carrier = self.start(What::Process(process)).1;
                if !client_version.starts_with(OWN_CLIENT) {
                    // The plugin has no word for the end of its input: the command gets none.
                    carrier.order(Order::CloseInput);
                }
                Doing::Process(carrier)
            }
            plan::Work::Port { .. } if multiplexes(client_version) => {
                Doing::Many { frames: Frames::default(), open: HashMap::new() }
            }
            // What listens there may speak first.
            plan::Work::Port { .. } => Doing::Single(Some(self.connect())),
        };
    }

    fn connect(&mut self) -> (u32, Carrier) {
        let plan::Work::Port { host, port, .. } = &self.plan else {
            unreachable!("only ports are connected to")
        };
        let what = What::Connection(Destination { host: host.clone(), port: *port });
        self.start(what)
    }

    fn start(&mut self, what: What) -> (u32, Carrier) {
        while self.tasks.try_join_next().is_some() {}
        self.begun += 1;
        let begin = Begin {
            task_arn: self.reached.task_arn.clone(),
            container: self.reached.container.clone(),
            what,
        };
        let start = carrier::Start {
            streams: self.streams.clone(),
            node: self.reached.node.clone(),
            id: format!("{}/{}", self.id, self.begun),
            begin,
            number: self.begun,
            heard: self.sender.clone(),
        };
        (self.begun, carrier::start(&mut self.tasks, start))
    }

    /// Whether a message of the client can be passed on.
    pub fn has_room(&self) -> bool {
        match &self.doing {
            Doing::Nothing | Doing::Single(None) => true,
            Doing::Process(carrier) | Doing::Single(Some((_, carrier))) => carrier.room() >= ROOM,
            Doing::Many { open, .. } => open.values().all(|(_, carrier)| carrier.room() >= ROOM),
        }
    }

    pub fn resize(&mut self, size: TerminalSize) {
        self.size = size;
        if let (Doing::Process(carrier), plan::Work::Terminal { .. }) = (&self.doing, &self.plan) {
            carrier.order(Order::Resize(size));
        }
    }

    /// Data of the client.
    ///
    /// # Errors
    /// When it makes no sense; the text is for the client.
    pub fn input(&mut self, payload: Vec<u8>) -> Result<(), String> {
        match &mut self.doing {
            Doing::Nothing => {}
            Doing::Process(carrier) => drop(carrier.order(Order::Bytes(payload))),
            Doing::Single(Some((_, carrier))) => drop(carrier.order(Order::Bytes(payload))),
            Doing::Single(None) => {
                let (number, carrier) = self.connect();
                carrier.order(Order::Bytes(payload));
                self.doing = Doing::Single(Some((number, carrier)));
            }
            Doing::Many { frames, .. } => {
                frames.push(&payload);
                while let Some(frame) = self.next_frame()? {
                    self.frame(frame);
                }
            }
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        match &mut self.doing {
            Doing::Many { frames, .. } => frames.take().map_err(|error| error.to_string()),
            _ => Ok(None),
        }
    }

    fn frame(&mut self, frame: Frame) {
        let known = |open: &HashMap<u32, (u32, Carrier)>, stream: u32| {
            open.iter().find(|(_, (theirs, _))| *theirs == stream).map(|(number, _)| *number)
        };
        match frame {
            Frame::Open(stream) => {
                let room = matches!(&self.doing, Doing::Many { open, .. }
                    if open.len() < MOST_CONNECTIONS && known(open, stream).is_none());
                if room {
                    let (number, carrier) = self.connect();
                    if let Doing::Many { open, .. } = &mut self.doing {
                        open.insert(number, (stream, carrier));
                    }
                }
            }
            Frame::Data(stream, data) => {
                if let Doing::Many { open, .. } = &mut self.doing
                    && let Some(number) = known(open, stream)
                    && !open[&number].1.order(Order::Bytes(data))
                {
                    open.remove(&number);
                }
            }
            Frame::Close(stream) => {
                if let Doing::Many { open, .. } = &mut self.doing
                    && let Some(number) = known(open, stream)
                {
                    open[&number].1.order(Order::CloseInput);
                }
            }
            Frame::Nothing => {}
        }
    }

    /// A flag of the client. True when the session shall end.
    pub fn flag(&mut self, flag: u32) -> bool {
        match (flag, &mut self.doing) {
            (flag::TERMINATE_SESSION, _) => return true,
            (flag::DISCONNECT_TO_PORT, Doing::Single(connection)) => *connection = None,
            (CLOSE_INPUT, Doing::Process(carrier)) => drop(carrier.order(Order::CloseInput)),
            _ => {}
        }
        false
    }

    /// The next word from the node; never, while nothing is begun. Cancel-safe.
    pub async fn hear(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            // A sender is kept here.
            None => std::future::pending().await,
        }
    }

    /// What a word from the node means.
    pub fn take(&mut self, (number, word): Heard) -> Outcome {
        match &mut self.doing {
            Doing::Nothing => Outcome::default(),
            Doing::Process(_) => {
                let separate = matches!(self.plan, plan::Work::Command { separate: true, .. });
                of_process(word, separate)
            }
            Doing::Single(current) => {
                // Of a connection that the client has ended.
                if current.as_ref().is_none_or(|(of, _)| *of != number) {
                    return Outcome::default();
                }
                match word {
                    Some(Up::Output(piece)) => said(Payload::Output, &piece.0),
                    Some(Up::Refused(reason)) => {
                        failed(format!("Unable to connect to specified port: {reason}"))
                    }
                    None => failed(LOST.to_owned()),
                    Some(Up::OutputClosed | Up::Ended(_)) => {
                        // The next that the client sends goes over a new connection.
                        *current = None;
                        Outcome::default()
                    }
                    Some(_) => Outcome::default(),
                }
            }
            Doing::Many { open, .. } => {
                let Some((stream, _)) = open.get(&number) else { return Outcome::default() };
                let stream = *stream;
                let close = Frame::Close(stream).encode();
                match word {
                    Some(Up::Output(piece)) => {
                        let frames = piece.0.chunks(smux::MOST_DATA_BYTES);
                        let frames = frames.flat_map(|data| Frame::Data(stream, data.to_vec()).encode());
                        said(Payload::Output, &frames.collect::<Vec<u8>>())
                    }
                    Some(Up::OutputClosed) => said(Payload::Output, &close),
                    Some(Up::Refused(reason)) => {
                        tracing::debug!(session = self.id, reason, "a port could not be connected to");
                        open.remove(&number);
                        let mut outcome = said(Payload::Flag, &flag::CONNECT_TO_PORT_ERROR.to_be_bytes());
                        outcome.said.extend(said(Payload::Output, &close).said);
                        outcome
                    }
                    Some(Up::Ended(_)) => {
                        open.remove(&number);
                        said(Payload::Output, &close)
                    }
                    None => failed(LOST.to_owned()),
                    Some(_) => Outcome::default(),
                }
            }
        }
    }
}

/// As on AWS: commands run as root, whatever user the container has.
const ROOT: &str = "0";
const LOST: &str = "The connection to the container was lost.";

fn of_process(word: Option<Up>, separate: bool) -> Outcome {
    match word {
        Some(Up::Output(piece)) => said(Payload::Output, &piece.0),
        Some(Up::Errors(piece)) if separate => said(Payload::StdErr, &piece.0),
        Some(Up::Errors(piece)) => said(Payload::Output, &piece.0),
        Some(Up::Ended(Some(end))) => {
            let mut outcome = Outcome::default();
            if let Some(reason) = end.reason {
                let kind = if separate { Payload::StdErr } else { Payload::Output };
                outcome.said.extend(said(kind, format!("{reason}\r\n").as_bytes()).said);
            }
            if separate {
                outcome.said.push((Payload::ExitCode, end.exit_code.to_string().into_bytes()));
            }
            outcome.over = Some(Over { exit_code: Some(end.exit_code), failure: None });
            outcome
        }
        Some(Up::Refused(reason)) => failed(format!("Unable to start the command: {reason}")),
        Some(Up::Ended(None)) | None => failed(LOST.to_owned()),
        Some(Up::Began | Up::OutputClosed | Up::Taken(_)) => Outcome::default(),
    }
}

fn failed(reason: String) -> Outcome {
    let over = Over { exit_code: None, failure: Some(reason) };
    Outcome { said: Vec::new(), over: Some(over) }
}

/// Cut to what a message carries; not within a character, where that can be helped.
fn said(kind: Payload, mut bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    while !bytes.is_empty() {
        let (first, rest) = bytes.split_at(cut(bytes));
        outcome.said.push((kind, first.to_vec()));
        bytes = rest;
    }
    outcome
}

fn cut(bytes: &[u8]) -> usize {
    if bytes.len() <= OUTPUT_BYTES {
        return bytes.len();
    }
    let continues = |at: usize| bytes[at] & 0xc0 == 0x80;
    (OUTPUT_BYTES - 3..=OUTPUT_BYTES).rev().find(|at| !continues(*at)).unwrap_or(OUTPUT_BYTES)
}

/// Whether a client of this version multiplexes. One that does not say which it is is a recent one.
fn multiplexes(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.is_empty() || numbers.as_slice() > LAST_WITHOUT_MULTIPLEXING.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole_where_they_can() {
        let text = format!("{}é{}", "a".repeat(OUTPUT_BYTES - 1), "b".repeat(10));
        let outcome = said(Payload::Output, text.as_bytes());
        let lengths: Vec<usize> = outcome.said.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [OUTPUT_BYTES - 1, 12]);
        let binary = vec![0x80; 3 * OUTPUT_BYTES];
        let outcome = said(Payload::Output, &binary);
        assert_eq!(outcome.said.concat_bytes(), binary);
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<(Payload, Vec<u8>)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        }
    }

    #[test]
    fn a_client_multiplexes_from_some_version_on() {
        for (version, expected) in
            [("1.1.54.0", false), ("1.1.70.0", false), ("1.1.71.0", true), ("1.2.707.0", true), ("", true)]
        {
            assert_eq!(multiplexes(version), expected, "{version}");
        }
    }
}
