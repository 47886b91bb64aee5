//! The header that tells a target who its client is, where the connection itself says the load balancer: the PROXY
//! protocol, version 2 for network load balancers (`proxy_protocol_v2.enabled`) and version 1 for classic ones.
//! Source: "The PROXY protocol", haproxy.org, §2.1 and §2.2.

use std::net::SocketAddrV4;

/// Which of the two headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
/// IPv4, stream.
const TCP_OVER_IPV4: u8 = 0x11;
/// Two addresses and two ports.
const ADDRESSES_LENGTH: u16 = 12;

/// Version 2, 28 bytes, to be sent before everything else.
pub(crate) fn version_2(client: SocketAddrV4, reached: SocketAddrV4) -> Vec<u8> {
    let mut header = Vec::with_capacity(28);
    header.extend(SIGNATURE);
    header.extend([VERSION_AND_COMMAND, TCP_OVER_IPV4]);
    header.extend(ADDRESSES_LENGTH.to_be_bytes());
    header.extend(client.ip().octets());
    header.extend(reached.ip().octets());
    header.extend(client.port().to_be_bytes());
    header.extend(reached.port().to_be_bytes());
    header
}

/// Version 1, one line.
pub(crate) fn version_1(client: SocketAddrV4, reached: SocketAddrV4) -> Vec<u8> {
    format!("PROXY TCP4 {} {} {} {}\r\n", client.ip(), reached.ip(), client.port(), reached.port())
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddrV4 {
        text.parse().expect("an address")
    }

    #[test]
    fn headers_are_as_the_protocol_has_them() {
        let (client, reached) = (address("192.0.2.7:51234"), address("172.31.0.9:443"));
        assert_eq!(
            version_2(client, reached),
            [
                0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12,
                192, 0, 2, 7, 172, 31, 0, 9, 0xc8, 0x22, 0x01, 0xbb
            ]
        );
        assert_eq!(version_1(client, reached), b"PROXY TCP4 192.0.2.7 172.31.0.9 51234 443\r\n");
    }
}
