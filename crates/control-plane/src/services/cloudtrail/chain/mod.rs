//! The chain: what shows that the trail is as it was written.
//!
//! Before a batch of events goes into the trail's files, a *link* with the digest of each goes into the chain's file of the day
//! (`audit/chain/2026-11-21`), and is synced. A link names the one before it and carries a code made with a key of the root key's, so that
//! without that key no link can be written, altered, taken out or moved. An event that was altered, added or removed afterwards no longer
//! fits the digests ([`verify`]).
//!
//! Beside the chain lies its *mark* (`audit/chain.mark`): how far the chain has come, under the same key. It follows the chain by less
//! than a day and [`MARK_EVERY`] links. A chain that ends before its mark was cut off, and so was one that is not there at all; the next
//! start goes on with the number after the mark's, so that the hole stays in the chain.
//!
//! What the chain does not show, of somebody who can write in `audit/` and has no root key:
//! - The newest links were cut off together with their events (those behind the mark, or more of them and the mark), or all of `audit/`
//!   was put back as it was earlier, or was emptied. Whoever keeps a *head* (the code of a link) elsewhere sees that.
//! - Events of the last link were removed after the process was killed: the next start takes them for those that a crash took, and says
//!   that they are lost ([`Link::lost`]).
//! - Events of the links that are just being written were removed while the platform runs; a later look shows it.
//! - Events were removed that are older than is kept, or within an hour of it: they go by themselves. Nor are older ones missed that were
//!   altered or added. Whoever can set the clock makes all of them go.
//!
//! And whoever has the root key can write all of it anew; only a head elsewhere shows that.
//!
//! A crash between a link and its events leaves a link whose events never came, and never events without a link. A line is the link's code
//! in hexadecimal, a blank, and the link as JSON.

mod mark;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use vocabulary::{Scope, Timestamp};

pub use verify::{Fault, NotVerified, Verdict, verify};
pub use writer::Writer;

/// Beside the trail's own files.
pub const DIRECTORY: &str = "chain";
/// What the chain's key is derived from the root key for.
pub const KEY_PURPOSE: &str = "the chain of the audit trail";
/// The mark is set with a day's first link, and after so many.
const MARK_EVERY: u64 = 64;
/// A link holds some hundred digests; a longer line is none.
const LONGEST_LINE: usize = 1 << 20;
const DAY_MILLIS: i64 = 86_400_000;

/// The digest of an event, in hexadecimal.
pub fn digest(scope: &Scope, at: Timestamp, message: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{}/{}\0{}\0", scope.account, scope.region, at.as_millis()));
    hash.update(message);
    hex::encode(hash.finalize())
}

/// A link of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// From 0 on, each one more than the one before.
    pub number: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: i64,
    /// The code of the link before; empty in the first.
    pub after: String,
    /// When the link before was written; none in the first, and in those that were written before links had this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<i64>,
    /// The earliest and the latest time of its events.
    pub from: i64,
    pub until: i64,
    /// `ACCOUNT/REGION` of its events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The digests of its events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Digests in the link before whose events a crash took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

/// The key that links are made with.
#[derive(Clone, Default)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    pub fn new(key: [u8; 32]) -> Key {
        Key(key)
    }

    fn mac(&self, json: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(json.as_bytes());
        mac
    }

    /// The line of a link or a mark, without the line feed, and its code.
    fn line<T: Serialize>(&self, what: &T) -> (String, String) {
        let json = serde_json::to_string(what).expect("plain data");
        let code = hex::encode(self.mac(&json).finalize().into_bytes());
        (format!("{code} {json}"), code)
    }

    /// What a line holds, and its code; none when this key did not make it.
    fn read<T: DeserializeOwned>(&self, line: &str) -> Option<(T, String)> {
        let (code, json) = line.split_once(' ')?;
        self.mac(json).verify_slice(&hex::decode(code).ok()?).ok()?;
        Some((serde_json::from_str(json).ok()?, code.to_owned()))
    }
}

/// The chain's files in order, each with the first millisecond of its day.
fn files(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        found.extend(day_of(&path).map(|day| (day, path)));
    }
    found.sort();
    Ok(found)
}

const NAME: &[time::format_description::BorrowedFormatItem<'static>] =
    time::macros::format_description!("[year]-[month]-[day]");

fn day_of(path: &Path) -> Option<i64> {
    let date = time::Date::parse(path.file_name()?.to_str()?, NAME).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp() * 1000)
}

/// The name of the file of a day.
fn name_of(at: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at.div_euclid(1000));
    at.ok().and_then(|at| at.date().format(NAME).ok()).unwrap_or_else(|| "1970-01-01".to_owned())
}

/// Removes the files of days that ended more than `kept_days` and a day before `now`. The newest file stays, whatever its age: a chain
/// that has begun is never empty.
///
/// # Errors
/// What the disk says.
pub fn forget(directory: &Path, kept_days: u32, now: Timestamp) -> io::Result<()> {
    let oldest = now.as_millis() - (i64::from(kept_days) + 1) * DAY_MILLIS;
    let mut found = files(directory)?;
    found.pop();
    for (day, path) in found {
        if day + DAY_MILLIS <= oldest {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
