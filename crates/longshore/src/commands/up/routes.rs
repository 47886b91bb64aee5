//! What the machine routes and is reached by, as the kernel tells it under `/proc/net`.

use std::{fs, io, net::Ipv4Addr};

use addressing::Cidr;

/// What the machine routes by itself, from `/proc/net/route`: default networks must not hide any of it.
pub(super) fn host_ranges() -> io::Result<Vec<Cidr>> {
    Ok(fs::read_to_string("/proc/net/route")?.lines().skip(1).filter_map(host_range).collect())
}

fn host_range(line: &str) -> Option<Cidr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (interface, destination, mask) = (*fields.first()?, *fields.get(1)?, *fields.get(7)?);
    // Ours from an earlier run, and routes without a device: the unreachable ones, which are ours too.
    if interface.starts_with("lsh-") || interface == "*" {
        return None;
    }
    // Hexadecimal, in the machine's byte order.
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    let prefix = u32::from_be_bytes(number(mask)?).count_ones();
    // The default route is everywhere; it hides nothing.
    if prefix == 0 {
        return None;
    }
    Cidr::new(Ipv4Addr::from(number(destination)?), u8::try_from(prefix).ok()?).ok()
}

/// The machine's own addresses, from `/proc/net/fib_trie`: names of a certificate of the platform's own. Those of our networks come later and are
/// nobody's way in.
pub(super) fn local_addresses() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.take()
            && !found.contains(&address.to_string())
        {
            found.push(address.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::host_range;

    #[test]
    fn routes_become_ranges() {
        let line = |text: &str| host_range(text).map(|range| range.to_string());
        assert_eq!(
            line("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0").as_deref(),
            Some("192.0.2.0/24")
        );
        assert_eq!(line("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"), None);
        assert_eq!(line("lsh-vpc\t00001FAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), None);
        assert_eq!(line("*\t00001FAC\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0"), None);
        assert_eq!(line("garbage"), None);
    }
}
