//! The published example ("PUT an object in chunks" of the S3 API reference, key AKIAIOSFODNN7EXAMPLE), and everything that may be done to it.

use http::{HeaderMap, HeaderValue, Method};
use vocabulary::Timestamp;

use crate::{AuthError, Head, Presented, parse, verify::derive_key};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z
const SIGNED_AT: i64 = 1_369_353_600_000;
const SIGNATURES: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];

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

fn claim(payload: &'static str) -> Presented {
    let headers = headers(payload);
    let head =
        Head { method: &Method::PUT, path: "/examplebucket/chunkObject.txt", query: "", headers: &headers };
    parse(&head).unwrap().unwrap()
}

fn example() -> (Presented, Vec<u8>) {
    let payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let (headers, claim) = (headers(payload), claim(payload));
    let head =
        Head { method: &Method::PUT, path: "/examplebucket/chunkObject.txt", query: "", headers: &headers };
    claim.verify(&head, b"", SECRET, Timestamp::from_millis(SIGNED_AT)).unwrap();
    (claim, framed(&[65536, 1024, 0], &SIGNATURES))
}

fn framed(sizes: &[usize], signatures: &[&str]) -> Vec<u8> {
    let pieces = sizes.iter().zip(signatures).map(|(size, signature)| {
        format!("{size:x};chunk-signature={signature}\r\n{}\r\n", "a".repeat(*size))
    });
    pieces.collect::<String>().into_bytes()
}

#[test]
fn the_published_example_holds() {
    let (claim, body) = example();
    assert!(claim.is_chunked());
    let unframed = claim.unframe(&body, Some(SECRET)).unwrap();
    assert_eq!(unframed.body, vec![b'a'; 66560]);
    assert!(unframed.trailers.is_empty());
}

#[test]
fn any_alteration_breaks_it() {
    let (claim, body) = example();
    let mismatch = Err(AuthError::Mismatch);
    let mut changed = body.clone();
    changed[200] = b'b';
    assert_eq!(claim.unframe(&changed, Some(SECRET)), mismatch);
    assert_eq!(claim.unframe(&body, Some("other")), mismatch);
    // A piece left out, one doubled, two changed about.
    let others: [(&[usize], &[&str]); 3] = [
        (&[65536, 0], &[SIGNATURES[0], SIGNATURES[2]]),
        (&[65536, 65536, 1024, 0], &[SIGNATURES[0], SIGNATURES[0], SIGNATURES[1], SIGNATURES[2]]),
        (&[1024, 65536, 0], &[SIGNATURES[1], SIGNATURES[0], SIGNATURES[2]]),
    ];
    for (sizes, signatures) in others {
        assert_eq!(claim.unframe(&framed(sizes, signatures), Some(SECRET)), mismatch, "{sizes:?}");
    }
    let unsigned = String::from_utf8(body).unwrap().replace(";chunk-signature", ";x");
    assert_eq!(claim.unframe(unsigned.as_bytes(), Some(SECRET)), mismatch);
    // Cut off after a whole piece, and within one.
    for end in [65536 + 100, 66_700] {
        let cut = &framed(&[65536, 1024, 0], &SIGNATURES)[..end];
        assert!(claim.unframe(cut, Some(SECRET)).is_err(), "{end}");
    }
}

#[test]
fn trailers_are_read_and_covered() {
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
    let unframed = claim.unframe(body("NhCmhg==").as_bytes(), Some(SECRET)).unwrap();
    assert_eq!(unframed.body, b"hello");
    assert_eq!(unframed.trailers, [("x-amz-checksum-crc32".to_owned(), "NhCmhg==".to_owned())]);
    assert_eq!(claim.unframe(body("AAAAAA==").as_bytes(), Some(SECRET)), Err(AuthError::Mismatch));
}

#[test]
fn unsigned_pieces_are_put_together() {
    let claim = claim("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    let unframed = claim.unframe(body, Some(SECRET)).unwrap();
    assert_eq!(unframed.body, b"hello world");
    assert_eq!(unframed.trailers.len(), 1);
    for broken in ["5\r\nhel", "x\r\n", "5\r\nhelloworld\r\n0\r\n", "ffffffffffffffffff\r\n", ""] {
        let answer = claim.unframe(broken.as_bytes(), Some(SECRET));
        assert!(matches!(answer, Err(AuthError::Malformed(_))), "{broken:?}: {answer:?}");
    }
}
