//! The three cyclic redundancy checks of S3, which differ in their polynomials alone, and joining the checks of two pieces into that of the
//! whole without their bytes.
//!
//! All are reflected, begin with all ones and end inverted. Sources of the polynomials: RFC 1952 (CRC-32), RFC 3720 (CRC-32C), and the NVM Express
//! command set specification (CRC-64/NVME).

/// One of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Crc32,
    Crc32c,
    Crc64Nvme,
}

/// Eight tables each: the check of a byte that stands 0 to 7 places before the end.
type Tables = [[u64; 256]; 8];

static CRC32: Tables = tables(0xEDB8_8320);
static CRC32C: Tables = tables(0x82F6_3B78);
static CRC64_NVME: Tables = tables(0x9A6C_9329_AC4B_C9B5);

const fn tables(polynomial: u64) -> Tables {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ polynomial } else { rest >> 1 };
            bit += 1;
        }
        tables[0][byte] = rest;
        byte += 1;
    }
    let mut place = 1;
    while place < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[place - 1][byte];
            tables[place][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        place += 1;
    }
    tables
}

impl Kind {
    fn tables(self) -> &'static Tables {
        match self {
            Kind::Crc32 => &CRC32,
            Kind::Crc32c => &CRC32C,
            Kind::Crc64Nvme => &CRC64_NVME,
        }
    }

    fn bits(self) -> u32 {
        match self {
            Kind::Crc32 | Kind::Crc32c => 32,
            Kind::Crc64Nvme => 64,
        }
    }

    fn ones(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// The check of what `first` and then `second`, which has `length` bytes, are the checks of.
    pub fn join(self, first: u64, second: u64, length: u64) -> u64 {
        // Appending `length` bytes of zero to the first is a multiplication by x to the power of eight times that.
        self.times(first, self.power_of_x(length.wrapping_mul(8))) ^ second
    }

    /// The product of two polynomials modulo the check's; the highest bit stands for x to the power of zero.
    fn times(self, a: u64, b: u64) -> u64 {
        let polynomial = self.tables()[0][0x80];
        let mut product = 0;
        let mut b = b;
        for bit in (0..self.bits()).rev() {
            if a >> bit & 1 == 1 {
                product ^= b;
            }
            b = if b & 1 == 1 { b >> 1 ^ polynomial } else { b >> 1 };
        }
        product
    }

    fn power_of_x(self, mut exponent: u64) -> u64 {
        let one = 1 << (self.bits() - 1);
        let (mut power, mut square) = (one, one >> 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = self.times(power, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        power
    }
}

/// A check under way.
#[derive(Debug, Clone)]
pub struct Crc {
    kind: Kind,
    state: u64,
}

impl Crc {
    pub fn new(kind: Kind) -> Crc {
        Crc { kind, state: kind.ones() }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let tables = self.kind.tables();
        let mut state = self.state;
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            let word = state ^ u64::from_le_bytes(eight.try_into().expect("eight bytes"));
            state = tables[7][(word & 0xFF) as usize]
                ^ tables[6][(word >> 8 & 0xFF) as usize]
                ^ tables[5][(word >> 16 & 0xFF) as usize]
                ^ tables[4][(word >> 24 & 0xFF) as usize]
                ^ tables[3][(word >> 32 & 0xFF) as usize]
                ^ tables[2][(word >> 40 & 0xFF) as usize]
                ^ tables[1][(word >> 48 & 0xFF) as usize]
                ^ tables[0][(word >> 56) as usize];
        }
        for byte in eights.remainder() {
            state = state >> 8 ^ tables[0][((state ^ u64::from(*byte)) & 0xFF) as usize];
        }
        self.state = state;
    }

    pub fn finish(&self) -> u64 {
        self.state ^ self.kind.ones()
    }
}

/// The check as S3 writes its bytes: the highest first.
pub fn to_bytes(kind: Kind, check: u64) -> Vec<u8> {
    check.to_be_bytes()[8 - kind.bits() as usize / 8..].to_vec()
}

/// The inverse of [`to_bytes`].
pub fn from_bytes(kind: Kind, bytes: &[u8]) -> Option<u64> {
    (bytes.len() == kind.bits() as usize / 8)
        .then(|| bytes.iter().fold(0, |check, byte| check << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Crc, Kind};

    fn check(kind: Kind, bytes: &[u8]) -> u64 {
        let mut crc = Crc::new(kind);
        crc.update(bytes);
        crc.finish()
    }

    #[test]
    fn the_published_check_values_come_out() {
        // The catalogue of parametrised CRC algorithms has these for "123456789".
        assert_eq!(check(Kind::Crc32, b"123456789"), 0xCBF4_3926);
        assert_eq!(check(Kind::Crc32c, b"123456789"), 0xE306_9283);
        assert_eq!(check(Kind::Crc64Nvme, b"123456789"), 0xAE8B_1486_0A79_9888);
        assert_eq!(check(Kind::Crc32, b""), 0);
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_whole(first: Vec<u8>, second: Vec<u8>, at in 0_usize..64) {
            let whole = [first.as_slice(), second.as_slice()].concat();
            for kind in [Kind::Crc32, Kind::Crc32c, Kind::Crc64Nvme] {
                let expected = check(kind, &whole);
                let length = second.len() as u64;
                prop_assert_eq!(kind.join(check(kind, &first), check(kind, &second), length), expected);
                let mut crc = Crc::new(kind);
                let (a, b) = whole.split_at(at.min(whole.len()));
                crc.update(a);
                crc.update(b);
                prop_assert_eq!(crc.finish(), expected);
            }
        }
    }
}
