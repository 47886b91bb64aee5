//! From a client's bytes to the answer's bytes, apart from sockets.
//!
//! What cannot be read is dropped without a word, as is what comes from an address that has no view: answering either would
//! make this server a mirror for forged packets. What can be read is answered, always with the client's id, and with its question where it asked one.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    forward::{Answer, Forwarder, Key, Unanswered},
    message::{Code, Message, OWN_UDP_BYTES, PLAIN_UDP_BYTES, Question},
    record::{CLASS_IN, Record, RecordType},
    table::{End, View, ZoneTable},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What to do about a packet.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing.
    Drop,
    Reply(Vec<u8>),
    /// Somebody else has to be asked: [`Responder::finish`].
    Forward(Box<Pending>),
}

/// A question that waits for somebody else's answer.
#[derive(Debug)]
pub(crate) struct Pending {
    query: Message,
    transport: Transport,
    /// Aliases of ours that lead to the key's name.
    aliases: Vec<Record>,
    key: Key,
}

pub(crate) struct Responder {
    tables: watch::Receiver<Arc<ZoneTable>>,
    forwarder: Arc<Forwarder>,
}

impl Responder {
    pub fn new(tables: watch::Receiver<Arc<ZoneTable>>, forwarder: Arc<Forwarder>) -> Responder {
        Responder { tables, forwarder }
    }

    /// Answers what is known here. Does not wait.
    pub fn begin(&self, packet: &[u8], client: IpAddr, transport: Transport) -> Step {
        let Some(client) = ipv4(client) else { return Step::Drop };
        let Ok(query) = Message::read(packet) else { return Step::Drop };
        if query.response {
            return Step::Drop;
        }
        let table = Arc::clone(&self.tables.borrow());
        let Some(view) = table.view_of(client) else { return Step::Drop };
        let question = match checked(&query, view) {
            Ok(question) => question,
            Err(code) => return Step::Reply(write(&query, &query.reply(code), transport)),
        };
        let local = view.answer(&question.name, question.kind, table.serial());
        let mut reply = query.reply(Code::NO_ERROR);
        reply.authoritative = true;
        reply.answers = local.answers;
        match local.end {
            End::Answered => spread(&mut reply.answers, query.id),
            End::NoData(soa) => reply.authorities.push(soa),
            End::NoName(soa) => {
                reply.code = Code::NO_NAME;
                reply.authorities.push(soa);
            }
            End::TooLong => reply.code = Code::SERVER_FAILURE,
            End::Elsewhere(name) => {
                // Whoever asks for no recursion asks for what is ours, and this is not.
                if !query.recursion_desired {
                    return Step::Reply(write(&query, &query.reply(Code::REFUSED), transport));
                }
                let key = Key {
                    question: Question { name, kind: question.kind, class: CLASS_IN },
                    dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
                    checking_disabled: query.checking_disabled,
                };
                let pending = Pending { aliases: reply.answers, transport, key, query };
                return match self.forwarder.cached(&pending.key) {
                    Some(answer) => Step::Reply(pending.reply(Ok(&answer))),
                    None => Step::Forward(Box::new(pending)),
                };
            }
        }
        Step::Reply(write(&query, &reply, transport))
    }

    /// Waits for the answer of somebody else, not longer than two seconds.
    pub async fn finish(&self, pending: Box<Pending>) -> Vec<u8> {
        let outcome = self.forwarder.resolve(pending.key.clone()).await;
        pending.reply(outcome.as_deref().map_err(|unanswered| *unanswered))
    }
}

impl Pending {
    fn reply(&self, outcome: Result<&Answer, Unanswered>) -> Vec<u8> {
        let Ok(answer) = outcome else { return self.failure() };
        let age = u32::try_from(Instant::now().duration_since(answer.received).as_secs()).unwrap_or(u32::MAX);
        let aged = |records: &[Record]| -> Vec<Record> {
            let aged = records.iter().cloned();
            aged.map(|record| Record { ttl_seconds: record.ttl_seconds.saturating_sub(age), ..record })
                .collect()
        };
        let mut reply = self.query.reply(answer.code);
        reply.truncated = answer.truncated;
        reply.answers = self.aliases.clone();
        reply.answers.extend(aged(&answer.answers));
        reply.authorities = aged(&answer.authorities);
        reply.additionals = aged(&answer.additionals);
        write(&self.query, &reply, self.transport)
    }

    /// The answer when nobody answered, or nobody could be asked.
    pub fn failure(&self) -> Vec<u8> {
        write(&self.query, &self.query.reply(Code::SERVER_FAILURE), self.transport)
    }
}

/// The one question of a query that can be answered, or the code to refuse it with.
fn checked<'a>(query: &'a Message, view: &View) -> Result<&'a Question, Code> {
    if query.opcode != 0 {
        return Err(Code::NOT_IMPLEMENTED);
    }
    let [question] = query.questions.as_slice() else { return Err(Code::FORMAT_ERROR) };
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Err(Code::BAD_VERSION);
    }
    // Transfers would lay zones open; "any" is only good for making small questions into large answers (RFC 8482).
    let kind_served =
        !matches!(question.kind, RecordType::ANY | RecordType::AXFR | RecordType::IXFR | RecordType::OPT);
    if !view.dns_support || !kind_served || question.class != CLASS_IN {
        return Err(Code::REFUSED);
    }
    Ok(question)
}

/// Several addresses begin with a different one for each question, so that clients that take the first spread out.
/// Aliases stay in front.
fn spread(answers: &mut [Record], by: u16) {
    let aliases = answers.iter().take_while(|record| record.kind == RecordType::CNAME).count();
    let set = answers.get_mut(aliases..).unwrap_or_default();
    if !set.is_empty() {
        set.rotate_left(usize::from(by) % set.len());
    }
}

fn write(query: &Message, reply: &Message, transport: Transport) -> Vec<u8> {
    let limit = match (transport, query.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => PLAIN_UDP_BYTES,
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_bytes.min(OWN_UDP_BYTES)).max(PLAIN_UDP_BYTES),
    };
    reply.write(limit)
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
