//! Holding the trail against its chain.
//!
//! Day by day: the digests of the day's links are counted up, those of the day's events down; what is left at the end is missing or was
//! added. An event of midnight may be in the link of the next day, so that what is left of a day is carried on. Memory is what one day's
//! events take, some hundred bytes each.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use telemetry_store::{Seen, StoreError, scan};
use vocabulary::{Scope, Timestamp};

use super::{
    super::trail::{GROUP, STREAM},
    DAY_MILLIS, DIRECTORY, Key, LONGEST_LINE, Link, digest, files,
    mark::{self, Found, Mark},
};

/// Faults that are told one by one; the others are counted.
const MOST_TOLD: usize = 100;
/// Events go by themselves when they are as old as is kept: at any time between two looks at them, and while this looks at them.
const GOING_MILLIS: i64 = 3_600_000;

/// What is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{file}, line {line}: a link that this platform's key did not make")]
    Forged { file: String, line: u64 },
    #[error(
        "{file}, line {line}: link {number} does not follow the one before it: links were removed, moved or begun anew"
    )]
    Broken { file: String, line: u64, number: u64 },
    #[error("{file} ends in the middle of a line")]
    CutOff { file: String },
    #[error("the chain begins with link {number} of {day}: earlier links are missing")]
    NoBeginning { number: u64, day: String },
    #[error("the chain has no link with the head {0}: it was cut off or written anew")]
    NoHead(String),
    #[error(
        "the chain had come to link {number} on {day}, and has no such link now: it was cut off or removed"
    )]
    CutShort { number: u64, day: String },
    #[error("the chain's mark was not made by this platform's key")]
    ForgedMark,
    #[error(
        "{0} events are from before the chain begins: it was removed, or they are older than it, or were added"
    )]
    NotCovered(u64),
    #[error("an event of link {link} is missing, or was altered ({digest})")]
    Missing { link: u64, digest: String },
    #[error("an event that no link has, at {at} in {scope}: {what}")]
    Added { at: i64, scope: String, what: String },
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    pub links: u64,
    /// Events that fit the chain.
    pub events: u64,
    /// Events that no link has, and that are older than is kept: the chain may say nothing of them any more. Younger ones are a fault.
    pub before: u64,
    /// Events that crashes took, as the chain says itself.
    pub lost: u64,
    /// Events of the newest link that were not there yet while the platform ran.
    pub under_way: u64,
    /// When the first and the last link were written.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// The code of the last link.
    pub head: String,
    /// The first of them.
    pub faults: Vec<Fault>,
    pub faults_total: u64,
}

impl Verdict {
    /// Whether nothing is wrong but that nothing is known of some events.
    pub fn is_only_not_covered(&self) -> bool {
        self.faults_total == 1 && matches!(self.faults[..], [Fault::NotCovered(_)])
    }

    fn fault(&mut self, fault: Fault) {
        self.faults_total += 1;
        if self.faults.len() < MOST_TOLD {
            self.faults.push(fault);
        }
    }
}

/// The trail could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    #[error("{}: {source}", path.display())]
    Chain { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Events(#[from] StoreError),
}

/// Holds the trail in `directory` against its chain. `head`: a code that the chain has to have. `running`: whether a platform may be writing
/// meanwhile. `kept_days`: events and links go after so long.
///
/// # Errors
/// When files cannot be read. What is wrong in them is in the verdict.
pub fn verify(
    directory: &Path,
    key: &Key,
    head: Option<&str>,
    running: bool,
    (kept_days, now): (u32, Timestamp),
) -> Result<Verdict, NotVerified> {
    let chain = directory.join(DIRECTORY);
    let not_read = |source| NotVerified::Chain { path: chain.clone(), source };
    // Before the links: it follows them.
    let marked = mark::read(&chain, key).map_err(not_read)?;
    let mut check = Check {
        now: now.as_millis(),
        oldest: now.as_millis() - i64::from(kept_days) * DAY_MILLIS,
        links: Links::open(&chain).map_err(not_read)?,
        key: key.clone(),
        wanted_head: head.map(str::to_owned),
        ..Check::default()
    };
    // The beginning first: it tells which events are older.
    let first_day = check.links.first_day().map_or(i64::MIN, |day| day + 1);
    let mut read = check.read_links(first_day);
    scan(directory, |seen| match seen {
        Seen::Window(start) => {
            if read.is_ok() {
                read = check.read_links(start.as_millis() + DAY_MILLIS);
            }
            check.read_before_events = check.last_number;
        }
        // Elsewhere nobody finds them: then they are missing.
        Seen::Event { key, .. } if *key.group.group != *GROUP || *key.stream != *STREAM => {}
        Seen::Event { key, timestamp, message } => check.event(&key.group.scope, timestamp, message),
    })?;
    read.and_then(|()| check.read_links(i64::MAX)).map_err(not_read)?;
    check.hold_against_mark(marked);
    Ok(check.conclude(running))
}

/// What is open under a digest: how often the chain has it more than the trail, and where.
struct Open {
    count: i64,
    link: u64,
    /// The earliest time of the link's events.
    from: i64,
    event: Option<(i64, String, String)>,
}

#[derive(Default)]
struct Check {
    links: Links,
    key: Key,
    now: i64,
    /// What is older may be gone.
    oldest: i64,
    /// Events from before the chain, of times of which events are kept.
    uncovered: u64,
    verdict: Verdict,
    open: HashMap<[u8; 32], Open>,
    first: Option<Link>,
    last_number: Option<u64>,
    /// The last link that was known before the newest events were looked at.
    read_before_events: Option<u64>,
    wanted_head: Option<String>,
    head_found: bool,
}

impl Check {
    /// Reads the links of days that begin before `end`.
    fn read_links(&mut self, end: i64) -> io::Result<()> {
        while let Some(line) = self.links.next(end)? {
            let (file, number) = (line.file, line.number);
            let Some(text) = line.text else {
                self.verdict.fault(Fault::CutOff { file });
                continue;
            };
            let Some((link, code)) = self.key.read::<Link>(&text) else {
                self.verdict.fault(Fault::Forged { file, line: number });
                continue;
            };
            let expected = self.last_number.map(|last| last + 1);
            let follows =
                expected.is_none_or(|expected| link.number == expected && link.after == self.verdict.head);
            if !follows {
                self.verdict.fault(Fault::Broken { file, line: number, number: link.number });
            }
            self.link(link, code);
        }
        Ok(())
    }

    fn link(&mut self, link: Link, code: String) {
        self.head_found |= self.wanted_head.as_ref().is_some_and(|head| *head == code || *head == link.after);
        for digest in &link.events {
            self.count(digest, 1, (link.number, link.from), None);
        }
        for digest in &link.lost {
            self.verdict.lost += 1;
            self.count(digest, -1, (link.number, link.from), None);
        }
        let at = Timestamp::from_millis(link.at);
        self.verdict.since.get_or_insert(at);
        self.verdict.until = Some(at);
        self.verdict.links += 1;
        self.verdict.head = code;
        self.last_number = Some(link.number);
        if self.first.is_none() {
            self.first = Some(Link { events: Vec::new(), ..link });
        }
    }

    fn event(&mut self, scope: &Scope, at: Timestamp, message: &str) {
        let digest = digest(scope, at, message);
        let begins = self.first.as_ref().map_or(self.now, |first| first.from);
        // A call that was answered a day later would be in a link that is not read yet; no call takes so long.
        if at.as_millis() < begins.saturating_sub(DAY_MILLIS) && !self.is_open(&digest) {
            self.before(at.as_millis(), 1);
            return;
        }
        self.verdict.events += 1;
        let what = || {
            let parsed: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
            let text =
                |name: &str| parsed[name].as_str().unwrap_or("?").chars().take(100).collect::<String>();
            let scope = format!("{}/{}", scope.account, scope.region);
            (at.as_millis(), scope, format!("{} {}", text("eventName"), text("eventID")))
        };
        self.count(&digest, -1, (0, 0), Some(&what));
    }

    /// Events that no link has, for their age.
    fn before(&mut self, at: i64, count: u64) {
        match at < self.oldest {
            true => self.verdict.before += count,
            false => self.uncovered += count,
        }
    }

    fn is_open(&self, digest: &str) -> bool {
        let mut key = [0; 32];
        hex::decode_to_slice(digest, &mut key).is_ok() && self.open.contains_key(&key)
    }

    fn count(
        &mut self,
        digest: &str,
        by: i64,
        (link, from): (u64, i64),
        event: Option<&dyn Fn() -> (i64, String, String)>,
    ) {
        let mut key = [0; 32];
        // Of a link that the key made, or our own.
        if hex::decode_to_slice(digest, &mut key).is_err() {
            return;
        }
        use std::collections::hash_map::Entry;
        match self.open.entry(key) {
            Entry::Occupied(mut found) => {
                let open = found.get_mut();
                open.count += by;
                if open.count == 0 {
                    found.remove();
                }
            }
            Entry::Vacant(place) => {
                place.insert(Open { count: by, link, from, event: event.map(|event| event()) });
            }
        }
    }

    fn hold_against_mark(&mut self, marked: Found) {
        match marked {
            Found::Mark(Mark { mark, at, .. }) if self.last_number.is_none_or(|last| last < mark) => {
                self.verdict.fault(Fault::CutShort { number: mark, day: super::name_of(at) });
            }
            Found::Forged => self.verdict.fault(Fault::ForgedMark),
            Found::Mark(_) | Found::Nothing => {}
        }
    }

    fn conclude(mut self, running: bool) -> Verdict {
        let begins = self.first.as_ref().map_or(i64::MAX, |first| first.from);
        let mut open: Vec<([u8; 32], Open)> = self.open.drain().collect();
        open.sort_by_key(|(digest, open)| (open.event.is_some(), open.link, *digest));
        for (digest, open) in open {
            let times = open.count.unsigned_abs();
            match open.event {
                None if open.count > 0 => {
                    if running && self.read_before_events.is_none_or(|before| open.link >= before) {
                        self.verdict.under_way += times;
                    } else if open.from >= self.oldest + GOING_MILLIS {
                        let digest = hex::encode(digest);
                        self.verdict.fault(Fault::Missing { link: open.link, digest });
                    }
                }
                // Said to be lost, and not known before: its link was retired.
                None => {}
                Some((at, ..)) if at < begins || at < self.oldest => {
                    self.verdict.events -= times;
                    self.before(at, times);
                }
                Some((at, scope, what)) => {
                    self.verdict.events -= times;
                    self.verdict.fault(Fault::Added { at, scope, what });
                }
            }
        }
        if let Some(first) = self.first.take().filter(|first| first.number > 0) {
            // Links go when they are old; younger ones do not go by themselves. What came before those that do not say is not known.
            if first.previous.is_some_and(|previous| previous > self.oldest) {
                let day = super::name_of(first.at);
                self.verdict.fault(Fault::NoBeginning { number: first.number, day });
            }
        }
        if self.uncovered > 0 {
            self.verdict.fault(Fault::NotCovered(self.uncovered));
        }
        if let Some(head) = self.wanted_head.take().filter(|_| !self.head_found) {
            self.verdict.fault(Fault::NoHead(head));
        }
        self.verdict
    }
}

/// The chain's lines, in order.
#[derive(Default)]
struct Links {
    directory: PathBuf,
    files: VecDeque<(i64, PathBuf)>,
    /// The day of the last file that is known.
    last_day: Option<i64>,
    open: Option<(String, BufReader<File>, u64)>,
}

struct Line {
    file: String,
    number: u64,
    /// None when it is cut off.
    text: Option<String>,
}

impl Links {
    fn open(directory: &Path) -> io::Result<Links> {
        let mut links = Links { directory: directory.to_owned(), ..Links::default() };
        links.list()?;
        Ok(links)
    }

    fn first_day(&self) -> Option<i64> {
        self.files.front().map(|(day, _)| *day)
    }

    /// Adds files that are new.
    fn list(&mut self) -> io::Result<()> {
        let found = match files(&self.directory) {
            // A trail from before there were chains.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let last = self.last_day;
        self.files.extend(found.into_iter().filter(|(day, _)| last.is_none_or(|last| *day > last)));
        self.last_day = self.files.back().map(|(day, _)| *day).or(last);
        Ok(())
    }

    /// The next line of a file whose day begins before `end`. A last file that grows is read on; a line of it that is not whole is not
    /// there yet, or was cut off by a crash, and is taken away by the next start.
    fn next(&mut self, end: i64) -> io::Result<Option<Line>> {
        loop {
            if let Some((file, reader, number)) = &mut self.open {
                let mut text = Vec::new();
                reader.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut text)?;
                let whole = text.last() == Some(&b'\n');
                if !whole && !text.is_empty() && self.files.is_empty() && text.len() < LONGEST_LINE {
                    reader.seek_relative(-(text.len() as i64))?;
                } else if !text.is_empty() {
                    *number += 1;
                    text.pop();
                    let text = whole.then(|| String::from_utf8(text).unwrap_or_default());
                    return Ok(Some(Line { file: file.clone(), number: *number, text }));
                }
            }
            if self.files.is_empty() {
                self.list()?;
            }
            let Some((_, path)) = self.files.front().filter(|(day, _)| *day < end) else { return Ok(None) };
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            self.open = Some((name, BufReader::new(File::open(path)?), 0));
            self.files.pop_front();
        }
    }
}
