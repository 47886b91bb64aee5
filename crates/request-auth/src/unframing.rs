//! `aws-chunked`: bodies that are sent, and signed, in pieces, with checksums that follow them.
//!
//! A piece is `SIZE-IN-HEX[;chunk-signature=SIGNATURE]`, a line's end, the bytes, a line's end; a piece of no bytes is the last, and after
//! it may stand trailers, each `NAME:VALUE`, the signature of all of them among them. Every signature covers the one before it, the first
//! that of the request, so that pieces can neither be changed nor left out, doubled or moved. Source: "Signature calculations for the
//! authorization header: transferring payload in multiple chunks" of the S3 API reference, and its page on trailing headers.
//!
//! The framing is taken off as the body arrives, without holding a piece as a whole. A piece's bytes are handed on before its signature is known,
//! because a piece may be as long as the object: whoever takes them must be able to throw them away when a later call fails.
//! Checksums in the trailers are S3's to compare.

use std::ops::Range;

use hmac::Mac;
use sha2::{Digest, Sha256};
use vocabulary::Timestamp;

use crate::{
    AuthError, Head, Payload, Presented,
    verify::{derive_key, mac},
};

/// A size in hexadecimal, a name and 64 digits; a trailer's name and value.
const LONGEST_LINE: usize = 4096;
/// Trailers are a few checksums and a signature.
const MOST_TRAILERS: usize = 16;

impl Presented {
    /// As [`Presented::verify`], before the body has come: what the signer says of the body is believed here, and has to be held against
    /// it ([`Presented::claimed_sha256`], [`Presented::unframing`]).
    ///
    /// # Errors
    /// Those of [`Presented::verify`].
    pub fn verify_head(&self, head: &Head<'_>, secret: &str, now: Timestamp) -> Result<(), AuthError> {
        self.check_time(now)?;
        let empty = || hex::encode(Sha256::digest(b""));
        let said = match &self.payload {
            Payload::Sha256(claimed) => claimed.clone(),
            Payload::OfBody => empty(),
            Payload::Unsigned | Payload::Streaming { .. } => {
                self.payload.word().unwrap_or_default().to_owned()
            }
        };
        self.check_signature(head, &said, secret)
    }

    /// The digest of the body that the signer vouches for, in lower-case hexadecimal. Where nothing was said of the body, none may come.
    pub fn claimed_sha256(&self) -> Option<String> {
        match &self.payload {
            Payload::Sha256(claimed) => Some(claimed.clone()),
            Payload::OfBody => Some(hex::encode(Sha256::digest(b""))),
            Payload::Unsigned | Payload::Streaming { .. } => None,
        }
    }

    /// What takes the framing off, for a body that comes in pieces. With `secret` signatures are checked, without one (a signer who is not known,
    /// where that is allowed) only the form.
    pub fn unframing(&self, secret: Option<&str>) -> Option<Unframing> {
        let Payload::Streaming { signed, trailer } = self.payload else { return None };
        let chain = secret.filter(|_| signed).map(|secret| Chain {
            key: derive_key(secret, &self.date, &self.region, &self.service),
            signed_at: self.signed_at_text.clone(),
            scope: format!("{}/{}/{}/aws4_request", self.date, self.region, self.service),
            previous: self.signature.clone(),
        });
        Some(Unframing { chain, trailer, ..Unframing::unsigned() })
    }

    /// A whole body out of its pieces, or none where it does not come in pieces. `secret` as for [`Presented::unframing`].
    ///
    /// # Errors
    /// Those of [`Unframing::push`] and [`Unframing::finish`].
    pub fn unframe(&self, body: &[u8], secret: Option<&str>) -> Result<Option<Unframed>, AuthError> {
        let Some(mut unframing) = self.unframing(secret) else { return Ok(None) };
        let content: Vec<&[u8]> = unframing.push(body)?.into_iter().map(|range| &body[range]).collect();
        Ok(Some(Unframed { body: content.concat(), trailers: unframing.finish()? }))
    }
}

/// A body freed from its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unframed {
    pub body: Vec<u8>,
    /// Names in lower case, in the order they came; the signature is not among them.
    pub trailers: Vec<(String, String)>,
}

/// What the signatures of pieces are made with.
#[derive(Debug)]
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
}

/// Takes the framing off a body, whatever parts it arrives in.
#[derive(Debug)]
pub struct Unframing {
    chain: Option<Chain>,
    /// Whether trailers were announced.
    trailer: bool,
    at: At,
    /// A line of which the end has not come yet.
    line: Vec<u8>,
    /// Of the piece that is passing: what it says of itself, and its digest so far.
    claimed: Option<String>,
    digest: Sha256,
    trailers: Vec<(String, String)>,
    trailer_signature: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Bytes {
        left: u64,
    },
    /// The line's end behind a piece's bytes.
    End,
    Trailers,
    /// An empty line behind the trailers: nothing may follow.
    Over,
}

impl Unframing {
    /// For `Content-Encoding: aws-chunked` without a word in the signature.
    pub fn unsigned() -> Unframing {
        Unframing {
            chain: None,
            trailer: true,
            at: At::Head,
            line: Vec::new(),
            claimed: None,
            digest: Sha256::new(),
            trailers: Vec::new(),
            trailer_signature: None,
        }
    }

    /// Takes the next part of the body; gives where in it the content's bytes are.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] for framing that cannot be read, [`AuthError::Mismatch`] for signatures that do not hold.
    pub fn push(&mut self, input: &[u8]) -> Result<Vec<Range<usize>>, AuthError> {
        let mut content = Vec::new();
        let mut at = 0;
        while at < input.len() {
            if let At::Bytes { left } = self.at {
                let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                let bytes = &input[at..at + now];
                if self.chain.is_some() {
                    self.digest.update(bytes);
                }
                content.push(at..at + now);
                at += now;
                self.at = match left - now as u64 {
                    0 => At::End,
                    left => At::Bytes { left },
                };
                continue;
            }
            let rest = &input[at..];
            let (now, whole) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (rest.len(), false),
            };
            if self.line.len() + now > LONGEST_LINE {
                return Err(malformed("a line has no end"));
            }
            self.line.extend_from_slice(&rest[..now]);
            at += now;
            if whole {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line)?;
            }
        }
        Ok(content)
    }

    /// The body has ended: its trailers, names in lower case, in the order they came.
    ///
    /// # Errors
    /// As [`Unframing::push`], and for a body that ends before it says so.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, AuthError> {
        if !self.line.is_empty() {
            // The very last line may lack its end.
            let line = std::mem::take(&mut self.line);
            self.take_line(&line)?;
        }
        if !matches!(self.at, At::Trailers | At::Over) {
            return Err(malformed("it ends early"));
        }
        if !self.trailer && !self.trailers.is_empty() {
            return Err(malformed("trailers were not announced"));
        }
        if let Some(chain) = self.chain.as_mut().filter(|_| self.trailer) {
            let text: String =
                self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            let covered = hex::encode(Sha256::digest(text));
            chain.check("AWS4-HMAC-SHA256-TRAILER", &covered, self.trailer_signature.as_deref())?;
        }
        Ok(self.trailers)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), AuthError> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("a line is not text"))?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let bare = line.strip_suffix('\r').unwrap_or(line);
        match self.at {
            At::Head => self.take_head(bare),
            At::End if bare.is_empty() => {
                self.end_piece()?;
                self.at = At::Head;
                Ok(())
            }
            At::End => Err(malformed("a chunk does not end where it says")),
            At::Trailers => self.take_trailer(bare.trim()),
            At::Over if bare.trim().is_empty() => Ok(()),
            At::Over => Err(malformed("something follows its end")),
            At::Bytes { .. } => Err(malformed("a line stands in a chunk")),
        }
    }

    fn take_head(&mut self, line: &str) -> Result<(), AuthError> {
        let (size, extension) = line.split_once(';').map_or((line, None), |(size, more)| (size, Some(more)));
        let digits =
            !size.is_empty() && size.len() <= 15 && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = digits.then(|| u64::from_str_radix(size, 16).ok()).flatten();
        let size = size.ok_or_else(|| malformed("a chunk's size is not a number"))?;
        self.claimed = extension.and_then(|more| more.strip_prefix("chunk-signature=")).map(str::to_owned);
        if size == 0 {
            self.end_piece()?;
            self.at = At::Trailers;
        } else {
            self.at = At::Bytes { left: size };
        }
        Ok(())
    }

    fn end_piece(&mut self) -> Result<(), AuthError> {
        let claimed = self.claimed.take();
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let digest = hex::encode(self.digest.finalize_reset());
        let covered = format!("{}\n{digest}", hex::encode(Sha256::digest(b"")));
        chain.check("AWS4-HMAC-SHA256-PAYLOAD", &covered, claimed.as_deref())
    }

    fn take_trailer(&mut self, line: &str) -> Result<(), AuthError> {
        if line.is_empty() {
            // A client may put an empty line before its trailers' signature; what is no trailer is refused there.
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a trailer is not 'name:value'"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name == "x-amz-trailer-signature" {
            self.trailer_signature = Some(value);
            self.at = At::Over;
        } else if self.trailers.len() < MOST_TRAILERS {
            self.trailers.push((name, value));
        } else {
            return Err(malformed("there are too many trailers"));
        }
        Ok(())
    }
}

fn malformed(what: &str) -> AuthError {
    AuthError::Malformed(format!("The request body is not in the aws-chunked form: {what}."))
}

#[cfg(test)]
mod tests;
