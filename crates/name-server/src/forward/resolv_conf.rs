//! The machine's own resolvers, from `/etc/resolv.conf` (resolv.conf(5)).
//!
//! Only `nameserver` lines count: search domains and options are for the machine's own programs, and the times here are bound
//! by what clients wait for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The C library takes three and ignores the rest.
const MAX_SERVERS: usize = 3;
const PORT: u16 = 53;

/// The servers named in `text`, in order. What cannot be read as an address is left out, as the C library does.
pub(crate) fn servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next()).flatten()
    });
    named.filter_map(server).take(MAX_SERVERS).collect()
}

/// An address, for link-local IPv6 with its interface (`fe80::1%eth0`).
fn server(word: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let index = interface.parse().ok().or_else(|| interface_index(interface))?;
    Some(SocketAddrV6::new(address, PORT, 0, index).into())
}

fn interface_index(name: &str) -> Option<u32> {
    if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') || name.starts_with('.') {
        return None;
    }
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_count() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n\tnameserver\t127.0.0.53 # stub\n\
                    nameserver\nnameserver bad\noptions edns0\nnameserver fe80::1%7\nnameserver 192.0.2.4\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "127.0.0.53:53", "[fe80::1%7]:53"]);
        assert_eq!(servers(""), []);
    }
}
