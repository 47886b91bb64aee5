//! Archives of layers: the same members in whatever parts they are read, nothing longer than its bounds, content only where it may lie and
//! no more of it than was stored.
#![no_main]

use std::io::{self, Read};

use image_store::fuzzing::{self, EXTENDED_BYTES, NAME_BYTES};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

/// Puts the right checksum into headers, which nothing would come past otherwise.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    data
}

/// Gives at most so many bytes at once.
struct Parts<'a>(&'a [u8], usize);

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

fuzz_target!(|data: &[u8]| {
    let [part, data @ ..] = data else { return };
    let data = mended(data);
    let (members, whole) = fuzzing::archive(data.as_slice());
    assert_eq!(fuzzing::archive(Parts(&data, usize::from(*part) + 1)), (members.clone(), whole));
    let mut stored = 0;
    for member in members {
        assert!(member.path.len().max(member.link.len()) as u64 <= NAME_BYTES);
        assert!(!member.path.contains(&0) && !member.link.contains(&0));
        let extended: usize = member.extended.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(extended as u64 <= EXTENDED_BYTES);
        let mut end = 0;
        for (offset, length) in member.pieces {
            assert!(offset >= end && offset + length <= member.size);
            end = offset + length;
            stored += length;
        }
    }
    assert!(stored <= data.len() as u64);
});
