//! Fresh identifiers in AWS's forms. Where the randomness comes from is the caller's choice.

use std::fmt::Write;

/// A source of fresh identifiers. The process hands out one backed by the operating system; tests use [`SeededIds`].
pub trait Ids {
    /// Fills `bytes` with unpredictable bytes (predictable ones in tests).
    fn fill(&mut self, bytes: &mut [u8]);

    /// `digits` lower-case hexadecimal digits: 32 for a task, 17 behind `eni-`.
    fn hex(&mut self, digits: usize) -> String {
        let mut bytes = vec![0; digits.div_ceil(2)];
        self.fill(&mut bytes);
        let mut text = String::with_capacity(digits + 1);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        text.truncate(digits);
        text
    }

    /// `count` decimal digits, the first not zero: 19 behind `ecs-svc/`.
    fn digits(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        let digit = |(index, byte): (usize, u8)| match index {
            0 => b'1' + byte % 9,
            _ => b'0' + byte % 10,
        };
        bytes.into_iter().enumerate().map(|entry| char::from(digit(entry))).collect()
    }

    /// A version-4 UUID (RFC 9562).
    fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        text
    }
}

impl<T: Ids + ?Sized> Ids for &mut T {
    fn fill(&mut self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// The same ids for the same seed, for tests and simulations (SplitMix64).
#[derive(Debug, Clone)]
pub struct SeededIds(u64);

impl SeededIds {
    pub fn new(seed: u64) -> SeededIds {
        SeededIds(seed)
    }
}

impl Ids for SeededIds {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
