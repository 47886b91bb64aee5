//! The published example of a signed body in pieces, every alteration of it, and hostile bytes in any parts.

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use vocabulary::Timestamp;

use super::Unframing;
use crate::{AuthError, Head, Presented, parse, verify::derive_key};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z
const NOW: Timestamp = Timestamp::from_millis(1_369_353_600_000);

fn headers(payload: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", payload),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,\
             Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn head(headers: &HeaderMap) -> Head<'_> {
    Head { method: &Method::PUT, path: "/examplebucket/chunkObject.txt", query: "", headers }
}

fn claim(payload: &'static str) -> Presented {
    parse(&head(&headers(payload))).unwrap().unwrap()
}

/// Of "Example: PUT Object" on the page of signed chunks: 66,560 bytes of `a`, in pieces of 64 KiB.
fn example() -> (Unframing, Vec<u8>) {
    let payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let (headers, claim) = (headers(payload), claim(payload));
    claim.verify_head(&head(&headers), SECRET, NOW).unwrap();
    (claim.unframing(Some(SECRET)).unwrap(), framed(&[0, 1, 2]))
}

const PIECES: [(usize, &str); 3] = [
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
];

/// The example's body of these of its pieces.
fn framed(pieces: &[usize]) -> Vec<u8> {
    let pieces = pieces
        .iter()
        .map(|piece| PIECES[*piece])
        .map(|(size, signature)| format!("{size:x};chunk-signature={signature}\r\n{}\r\n", "a".repeat(size)));
    pieces.collect::<String>().into_bytes()
}

/// The content and the trailers.
type Whole = (Vec<u8>, Vec<(String, String)>);

/// What comes out, with the body given in parts of `size` bytes.
fn unframe(mut unframing: Unframing, body: &[u8], size: usize) -> Result<Whole, AuthError> {
    let mut content = Vec::new();
    for part in body.chunks(size.max(1)) {
        for range in unframing.push(part)? {
            content.extend_from_slice(&part[range]);
        }
    }
    Ok((content, unframing.finish()?))
}

#[test]
fn the_published_example_holds_in_any_parts() {
    for size in [1, 7, 1000, 65_600, 1_000_000] {
        let (unframing, body) = example();
        let (content, trailers) = unframe(unframing, &body, size).unwrap();
        assert_eq!(content, vec![b'a'; 66_560]);
        assert_eq!(trailers, []);
    }
}

#[test]
fn pieces_cannot_be_changed_left_out_doubled_or_moved() {
    let (_, body) = example();
    let mismatch = Err(AuthError::Mismatch);
    let mut changed = body.clone();
    changed[500] = b'b';
    for altered in [changed, framed(&[0, 2]), framed(&[0, 0, 1, 2]), framed(&[1, 0, 2])] {
        assert_eq!(unframe(example().0, &altered, 4096), mismatch);
    }
    let other = claim("STREAMING-AWS4-HMAC-SHA256-PAYLOAD").unframing(Some("other")).unwrap();
    assert_eq!(unframe(other, &body, 4096), mismatch);
    let unsigned = String::from_utf8(body.clone()).unwrap().replace(";chunk-signature", ";x");
    assert_eq!(unframe(example().0, unsigned.as_bytes(), 4096), mismatch);
    // Cut off after a whole piece, and within one.
    for cut in [framed(&[0]), body[..66_700].to_vec()] {
        let cut = unframe(example().0, &cut, 4096);
        assert!(matches!(cut, Err(AuthError::Malformed(_))), "{cut:?}");
    }
}

#[test]
fn trailers_are_covered_by_a_signature() {
    let claim = claim("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER");
    let key = derive_key(SECRET, "20130524", "us-east-1", "s3");
    let scope = "20130524/us-east-1/s3/aws4_request";
    let hash = |text: &str| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text));
    let sign = |kind: &str, previous: &str, covered: &str| {
        let text = format!("AWS4-HMAC-SHA256-{kind}\n20130524T000000Z\n{scope}\n{previous}\n{covered}");
        hex::encode(hmac::Mac::finalize(crate::verify::mac(&key, &text)).into_bytes())
    };
    let first = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    let one = sign("PAYLOAD", first, &format!("{}\n{}", hash(""), hash("hello")));
    let last = sign("PAYLOAD", &one, &format!("{}\n{}", hash(""), hash("")));
    let trailer = sign("TRAILER", &last, &hash("x-amz-checksum-crc32:NhCmhg==\n"));
    let body = |value: &str| {
        format!(
            "5;chunk-signature={one}\r\nhello\r\n0;chunk-signature={last}\r\nx-amz-checksum-crc32:{value}\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"
        )
    };
    let whole = claim.unframe(body("NhCmhg==").as_bytes(), Some(SECRET)).unwrap().unwrap();
    assert_eq!(whole.body, b"hello");
    assert_eq!(whole.trailers, [("x-amz-checksum-crc32".to_owned(), "NhCmhg==".to_owned())]);
    assert_eq!(claim.unframe(body("AAAAAA==").as_bytes(), Some(SECRET)), Err(AuthError::Mismatch));
}

#[test]
fn a_body_is_in_pieces_where_its_signature_says_so() {
    let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    let whole = claim("STREAMING-UNSIGNED-PAYLOAD-TRAILER").unframe(body, Some(SECRET)).unwrap().unwrap();
    assert_eq!((whole.body, whole.trailers.len()), (b"hello world".to_vec(), 1));
    assert_eq!(claim("UNSIGNED-PAYLOAD").unframe(body, Some(SECRET)), Ok(None));
}

#[test]
fn trailers_follow_the_last_piece() {
    let body = b"5\r\nhello\r\n0\r\nX-Amz-Checksum-Crc32: NhCmhg==\r\n\r\n";
    let (content, trailers) = unframe(Unframing::unsigned(), body, 3).unwrap();
    assert_eq!(content, b"hello");
    assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "NhCmhg==".to_owned())]);
}

#[test]
fn what_is_not_framed_is_refused() {
    for body in [
        &b"hello"[..],
        b"",
        b"5\r\nhel",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello",
        b"0\r\nnocolon\r\n\r\n",
        &[b'0'; 10_000],
        &[0xFF, b'\n'],
    ] {
        let outcome = unframe(Unframing::unsigned(), body, 4);
        assert!(
            matches!(outcome, Err(AuthError::Malformed(_))),
            "{:?}: {outcome:?}",
            String::from_utf8_lossy(body)
        );
    }
    let many: String = (0..20).map(|number| format!("n{number}:v\r\n")).collect();
    let outcome = unframe(Unframing::unsigned(), format!("0\r\n{many}\r\n").as_bytes(), 9);
    assert!(matches!(outcome, Err(AuthError::Malformed(_))));
}

proptest! {
    #[test]
    fn any_bytes_in_any_parts_end_in_content_or_an_error(body: Vec<u8>, size in 1_usize..64) {
        if let Ok((content, _)) = unframe(Unframing::unsigned(), &body, size) {
            prop_assert!(content.len() < body.len());
        }
    }

    #[test]
    fn content_comes_out_as_it_was_cut(content: Vec<u8>, piece in 1_usize..40, size in 1_usize..40) {
        let mut body = Vec::new();
        for piece in content.chunks(piece) {
            body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            body.extend_from_slice(piece);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(unframe(Unframing::unsigned(), &body, size).unwrap().0, content);
    }
}
