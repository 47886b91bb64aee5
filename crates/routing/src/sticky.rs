//! Cookies that keep a client with what it was given first.
//!
//! The value is the time it was given and a hash of what it stands for: nothing has to be remembered, every node reads
//! the same, and a restart changes nothing. It is no secret and no proof: whoever makes one up chooses among targets that would serve
//! anyone.

/// Names of the load balancer's own cookies.
pub const TARGET_COOKIE: &str = "AWSALB";
/// The same for requests from other sites.
pub const TARGET_COOKIE_CORS: &str = "AWSALBCORS";
/// Beside an application's cookie.
pub const APPLICATION_COOKIE: &str = "AWSALBAPP-0";
/// The target group of a weighted action.
pub const GROUP_COOKIE: &str = "AWSALBTG";
/// The same for requests from other sites.
pub const GROUP_COOKIE_CORS: &str = "AWSALBTGCORS";
/// Of classic load balancers.
pub const CLASSIC_COOKIE: &str = "AWSELB";

const DIGITS: usize = 16;

/// What stands for something in a cookie: the same for the same parts, on every node and in every release (FNV-1a).
pub fn mark(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // A byte that no part has keeps ("a", "bc") and ("ab", "c") apart.
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// The cookie's value.
pub fn value(mark: u64, now_seconds: u64) -> String {
    format!("{mark:016x}{now_seconds:016x}")
}

/// What a cookie's value stands for; `None` when it is not one of ours or was given longer ago than `seconds`. 0 is no limit.
pub fn read(value: &[u8], seconds: u32, now_seconds: u64) -> Option<u64> {
    if value.len() != 2 * DIGITS || !value.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
    let (mark, given) = (number(&value[..DIGITS])?, number(&value[DIGITS..])?);
    (seconds == 0 || now_seconds < given.saturating_add(u64::from(seconds))).then_some(mark)
}

/// The values of a cookie in a `Cookie` header.
pub fn cookies<'a>(header: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    header.split(|byte| *byte == b';').filter_map(move |pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}
