//! `aws-chunked`: bodies that are sent, and signed, in pieces, with checksums that follow them.
//!
//! A piece is `SIZE-IN-HEX[;chunk-signature=SIGNATURE]`, a line's end, the bytes, a line's end; a piece of no bytes is the last, and after
//! it may stand trailers, each `NAME:VALUE`, the signature of all of them among them. Every signature covers the one before it, the first
//! that of the request, so that pieces can neither be changed nor left out, doubled or moved. Source: "Signature calculations for the
//! authorization header: transferring payload in multiple chunks" of the S3 API reference, and its page on trailing headers.
//!
//! The whole body is in memory already, bounded by who received it. Checksums in the trailers are S3's to compare.

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::{
    AuthError, Payload, Presented,
    verify::{derive_key, mac},
};

/// Trailers are a few checksums and a signature.
const MOST_TRAILERS: usize = 16;
/// The line before a piece: a size, a name, 64 digits.
const LONGEST_LINE: usize = 4096;

/// A body freed from its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unframed {
    pub body: Vec<u8>,
    /// Names in lower case, in the order they came; the signature is not among them.
    pub trailers: Vec<(String, String)>,
}

/// What the signatures of pieces are made with.
struct Chain {
    key: [u8; 32],
    signed_at: String,
    scope: String,
    previous: String,
}

impl Chain {
    fn check(&mut self, algorithm: &str, covered: &str, claimed: Option<&str>) -> Result<(), AuthError> {
        let claimed = claimed.ok_or(AuthError::Mismatch)?;
        let text = format!("{algorithm}\n{}\n{}\n{}\n{covered}", self.signed_at, self.scope, self.previous);
        let digest = hex::decode(claimed).map_err(|_| AuthError::Mismatch)?;
        mac(&self.key, &text).verify_slice(&digest).map_err(|_| AuthError::Mismatch)?;
        claimed.clone_into(&mut self.previous);
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8], claimed: Option<&str>) -> Result<(), AuthError> {
        let covered = format!("{}\n{}", hex::encode(Sha256::digest(b"")), hex::encode(Sha256::digest(bytes)));
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &covered, claimed)
    }

    fn trailers(&mut self, trailers: &[(String, String)], claimed: Option<&str>) -> Result<(), AuthError> {
        let text: String = trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        self.check("AWS4-HMAC-SHA256-TRAILER", &hex::encode(Sha256::digest(text)), claimed)
    }
}

impl Presented {
    /// Whether the body comes in pieces, which [`Presented::unframe`] puts together.
    pub fn is_chunked(&self) -> bool {
        matches!(self.payload, Payload::Streaming { .. })
    }

    /// The body out of its pieces. With `secret`, which has signed the request as [`Presented::verify`] has found, every piece's signature is
    /// checked; without one (a signer who is not known, where that is allowed) only the form.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] for framing that cannot be read, [`AuthError::Mismatch`] for signatures that do not hold.
    pub fn unframe(&self, body: &[u8], secret: Option<&str>) -> Result<Unframed, AuthError> {
        let Payload::Streaming { signed, trailer } = self.payload else {
            return Ok(Unframed { body: body.to_vec(), trailers: Vec::new() });
        };
        let mut chain = secret.filter(|_| signed).map(|secret| Chain {
            key: derive_key(secret, &self.date, &self.region, &self.service),
            signed_at: self.signed_at_text.clone(),
            scope: format!("{}/{}/{}/aws4_request", self.date, self.region, self.service),
            previous: self.signature.clone(),
        });
        let mut whole = Vec::with_capacity(body.len());
        let mut rest = body;
        loop {
            let head = line(&mut rest)?;
            let (size, extension) =
                head.split_once(';').map_or((head, None), |(size, more)| (size, Some(more)));
            let size =
                usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk's size is not a number"))?;
            let claimed = extension.and_then(|more| more.strip_prefix("chunk-signature="));
            let bytes = rest.get(..size).ok_or_else(|| malformed("a chunk ends early"))?;
            if let Some(chain) = &mut chain {
                chain.piece(bytes, claimed)?;
            }
            rest = &rest[size..];
            if size == 0 {
                break;
            }
            whole.extend_from_slice(bytes);
            rest =
                rest.strip_prefix(b"\r\n").ok_or_else(|| malformed("a chunk does not end where it says"))?;
        }
        let (trailers, claimed) = read_trailers(rest)?;
        if let Some(chain) = chain.as_mut().filter(|_| trailer) {
            chain.trailers(&trailers, claimed.as_deref())?;
        } else if !trailer && !trailers.is_empty() {
            return Err(malformed("trailers were not announced"));
        }
        Ok(Unframed { body: whole, trailers })
    }
}

/// Trailers in their order, and the signature over them.
type Trailers = (Vec<(String, String)>, Option<String>);

/// What follows the last piece, and the signature over it.
fn read_trailers(mut rest: &[u8]) -> Result<Trailers, AuthError> {
    let (mut trailers, mut signature) = (Vec::new(), None);
    while !rest.is_empty() {
        let text = line(&mut rest)?;
        // Some clients end the trailers with a bare line feed of their own.
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let (name, value) = text.split_once(':').ok_or_else(|| malformed("a trailer is not 'name:value'"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name == "x-amz-trailer-signature" {
            signature = Some(value);
        } else if trailers.len() < MOST_TRAILERS {
            trailers.push((name, value));
        } else {
            return Err(malformed("there are too many trailers"));
        }
    }
    Ok((trailers, signature))
}

/// The next line, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, AuthError> {
    let window = &rest[..rest.len().min(LONGEST_LINE)];
    let end = window.windows(2).position(|pair| pair == b"\r\n");
    let (text, after) = match end {
        Some(end) => (&rest[..end], &rest[end + 2..]),
        // The very last line may lack its end.
        None if rest.len() < LONGEST_LINE && !rest.is_empty() => (*rest, &rest[rest.len()..]),
        None => return Err(malformed("a line has no end")),
    };
    *rest = after;
    std::str::from_utf8(text).map_err(|_| malformed("a line is not text"))
}

fn malformed(what: &str) -> AuthError {
    AuthError::Malformed(format!("The request body is not in the aws-chunked form: {what}."))
}

#[cfg(test)]
mod tests;
