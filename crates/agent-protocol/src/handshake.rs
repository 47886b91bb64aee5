//! What both sides of a websocket's handshake compute (RFC 6455, section 4).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// Section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`: that the other side understood what was asked. It proves nothing else.
pub fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// `Sec-WebSocket-Key` of 16 random bytes.
pub fn request_key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        assert_eq!(super::accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(super::request_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }
}
