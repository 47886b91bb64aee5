//! Doors to what is private here and reads bytes that anyone may have written, for the fuzz targets (feature `fuzzing`) and for the tests
//! of what they found. They decide nothing: each hands its bytes on and tells what came out in plain types.

use std::{io::Read, path::Path};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    Digest, Limits, Platform, UnpackError, config, manifest,
    tar::{Bounds, TarError, TarReader},
    unpack::{Chunk, ChunkReader, unpack},
};

/// The longest names and extended headers that [`archive`] takes.
pub const NAME_BYTES: u64 = 256;
pub const EXTENDED_BYTES: u64 = 4096;

/// A member of an archive as its reader gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub size: u64,
    /// Where pieces of content came to lie, and how long they were.
    pub pieces: Vec<(u64, u64)>,
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads an archive to its end or its first fault; the content of every second member is passed over. True when the end was reached.
pub fn archive(input: impl Read) -> (Vec<Member>, bool) {
    let bounds = Bounds { max_name_bytes: NAME_BYTES, max_extended_header_bytes: EXTENDED_BYTES };
    let mut reader = TarReader::new(input, bounds);
    let mut members: Vec<Member> = Vec::new();
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return (members, true),
            Err(_) => return (members, false),
        };
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut outcome = Ok(());
        if members.len().is_multiple_of(2) {
            outcome = reader.copy_data(&mut [0; 512], |offset, bytes| {
                match pieces.last_mut() {
                    // However the input was cut up.
                    Some((from, length)) if *from + *length == offset => *length += bytes.len() as u64,
                    _ => pieces.push((offset, bytes.len() as u64)),
                }
                Ok::<_, TarError>(())
            });
        }
        members.push(Member {
            path: entry.path,
            link: entry.link,
            size: entry.size,
            pieces,
            extended: entry.xattrs,
        });
        if outcome.is_err() {
            return (members, false);
        }
    }
}

/// Unpacks a layer into `root`, within small limits: a mebibyte, 64 entries, a hundredfold compression. `discard` is for what is replaced.
///
/// # Errors
/// Those of a pull.
pub fn layer(blob: &[u8], diff_id: &Digest, root: &Path, discard: &Path) -> Result<u64, UnpackError> {
    let limits = Limits {
        max_layer_bytes: 1 << 20,
        max_compression_ratio: 100,
        ratio_free_bytes: 64 << 10,
        max_entries: 64,
        max_path_bytes: 512,
        max_path_depth: 16,
        max_extended_header_bytes: EXTENDED_BYTES,
        keep_free_bytes: 0,
        ..Limits::default()
    };
    let (sender, chunks) = mpsc::channel(2);
    let sent = sender.try_send(Chunk::Data(Bytes::copy_from_slice(blob)));
    let sent = sent.and_then(|()| sender.try_send(Chunk::End));
    drop((sender, sent));
    unpack(ChunkReader::new(chunks), root, discard, diff_id, &limits).map(|unpacked| unpacked.entries)
}

/// Reads a manifest, index or configuration, and chooses from an index. True when it was one.
pub fn document(bytes: &[u8], content_type: Option<&str>, platform: &Platform) -> bool {
    let configuration = config::parse(bytes);
    if let Ok(configuration) = &configuration
        && let Some(own) = configuration.config.platform()
    {
        let _ = platform.fitness(&own);
    }
    match manifest::parse(bytes, content_type) {
        Ok(manifest::Document::Index(index)) => {
            let chosen = manifest::select(&index, platform);
            assert!(chosen.is_none_or(|chosen| index.manifests.contains(chosen)), "one of the index");
            true
        }
        Ok(manifest::Document::Manifest(_)) => true,
        Err(_) => configuration.is_ok(),
    }
}
