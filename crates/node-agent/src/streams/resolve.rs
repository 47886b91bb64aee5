//! The address of a name, as a process in the container would find it: its `/etc/hosts`, then the servers of its `/etc/resolv.conf`,
//! asked from within its network.
//!
//! The files are the container's own, which may have put anything there: they are opened without leaving its root, never waited for,
//! and only their beginning is read. Only A records are asked for.

use std::{
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    time::Duration,
};

use crate::ports::Network;

/// Of either file: far more than they hold.
const MOST_FILE_BYTES: u64 = 64 << 10;
/// As the C library has it.
const MOST_SERVERS: usize = 3;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer over UDP without extensions.
const MOST_ANSWER_BYTES: usize = 512;
/// Pointers and labels of a name that are followed.
const MOST_LABELS: usize = 128;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

pub(super) async fn resolve(
    network: &dyn Network,
    namespace: &Path,
    pid: i32,
    host: &str,
) -> io::Result<Ipv4Addr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let not_found = || io::Error::new(io::ErrorKind::NotFound, format!("lookup {host}: no such host"));
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST);
    }
    let (hosts, settings) = tokio::task::spawn_blocking(move || {
        (read_in(pid, "etc/hosts").unwrap_or_default(), read_in(pid, "etc/resolv.conf").unwrap_or_default())
    })
    .await
    .map_err(io::Error::other)?;
    if let Some(address) = of_hosts(&hosts, host) {
        return Ok(address);
    }
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let question = question(id, host).ok_or_else(not_found)?;
    let mut failure = not_found();
    for server in servers(&settings) {
        let asked = ask(network, namespace, server, &question);
        match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(Some(address))) => return Ok(address),
            Ok(Ok(None)) => return Err(not_found()),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

/// The beginning of a file in the container.
fn read_in(pid: i32, path: &str) -> io::Result<String> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    let root = openat(
        CWD,
        format!("/proc/{pid}/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, path, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(MOST_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn of_hosts(hosts: &str, name: &str) -> Option<Ipv4Addr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|known| known.eq_ignore_ascii_case(name)).then_some(address)
    })
}

fn servers(settings: &str) -> Vec<Ipv4Addr> {
    let of_line = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    settings.lines().filter_map(of_line).take(MOST_SERVERS).collect()
}

/// Asks one server; `None` when it knows no address.
async fn ask(
    network: &dyn Network,
    namespace: &Path,
    server: Ipv4Addr,
    question: &[u8],
) -> io::Result<Option<Ipv4Addr>> {
    let socket = tokio::net::UdpSocket::from_std(network.datagrams_in(namespace).await?)?;
    socket.connect(SocketAddrV4::new(server, 53)).await?;
    socket.send(question).await?;
    let mut answer = [0; MOST_ANSWER_BYTES];
    loop {
        let count = socket.recv(&mut answer).await?;
        // What answers another question is passed over.
        if answer[..count].get(..2) == question.get(..2) {
            return Ok(address_in(&answer[..count]));
        }
    }
}

/// A query with recursion (RFC 1035, section 4.1); `None` when the name cannot be asked for.
fn question(id: [u8; 2], name: &str) -> Option<Vec<u8>> {
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend([0, 0, TYPE_A as u8, 0, CLASS_IN as u8]);
    Some(query)
}

/// The first address among the answers.
fn address_in(answer: &[u8]) -> Option<Ipv4Addr> {
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = behind_name(answer, at)? + 4;
    }
    for _ in 0..answers {
        at = behind_name(answer, at)?;
        let (kind, class, length) = (word(at)?, word(at + 2)?, usize::from(word(at + 8)?));
        let data = answer.get(at + 10..at + 10 + length)?;
        if kind == TYPE_A && class == CLASS_IN {
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        at += 10 + length;
    }
    None
}

fn behind_name(answer: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MOST_LABELS {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_what_they_say() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 db\n10.0.0.5\tdb db.internal # the database\n::1 db\n";
        assert_eq!(of_hosts(hosts, "DB.internal"), Some(Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(of_hosts(hosts, "web"), None);
        let settings =
            "search x\nnameserver 169.254.169.253\nnameserver ::1\nnameserver nonsense\nnameserver 1.1.1.1\n";
        assert_eq!(servers(settings), [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(1, 1, 1, 1)]);
    }

    #[test]
    fn an_address_is_found_behind_an_alias() {
        let mut answer = question([7, 9], "db.internal.").unwrap();
        assert_eq!(answer[12..25], *b"\x02db\x08internal\0");
        answer[7] = 2;
        // An alias first, by a pointer to the question's name.
        answer.extend(*b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0f");
        answer.extend(*b"\xc0\x0f\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x05");
        assert_eq!(address_in(&answer), Some(Ipv4Addr::new(10, 0, 0, 5)));
        for cut in 0..answer.len() {
            assert_eq!(address_in(&answer[..cut]), None);
        }
        assert_eq!(question([0, 0], "a..b"), None);
        assert_eq!(question([0, 0], &"a".repeat(64)), None);
    }
}
