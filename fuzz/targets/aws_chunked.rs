//! Bodies in pieces: the same is read of them whole and in whatever parts they arrive, and a body that is framed comes out as it was.
#![no_main]

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use request_auth::{Head, Presented, Unframing, parse};

fn claim(payload: &'static str) -> Presented {
    let mut headers = HeaderMap::new();
    let signed = "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/s3/aws4_request, \
                  SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=00";
    headers.insert("authorization", HeaderValue::from_static(signed));
    headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
    headers.insert("x-amz-content-sha256", HeaderValue::from_static(payload));
    let head = Head { method: &Method::PUT, path: "/b/k", query: "", headers: &headers };
    parse(&head).expect("well-formed").expect("there")
}

type Outcome = Option<(Vec<u8>, Vec<(String, String)>)>;

fn in_parts(mut unframing: Unframing, body: &[u8], part: usize) -> Outcome {
    let mut content = Vec::new();
    for part in body.chunks(part.max(1)) {
        for range in unframing.push(part).ok()? {
            content.extend_from_slice(&part[range]);
        }
    }
    Some((content, unframing.finish().ok()?))
}

fuzz_target!(|data: &[u8]| {
    let [kind, part, body @ ..] = data else { return };
    let part = usize::from(*part);
    let claim = claim(match kind % 3 {
        0 => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        1 => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        _ => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    });
    let unframing = || claim.unframing(None).expect("it comes in pieces");
    let whole = in_parts(unframing(), body, body.len());
    assert_eq!(in_parts(unframing(), body, part), whole, "parts make no difference");
    assert_eq!(in_parts(unframing(), body, 1), whole, "parts make no difference");
    let at_once = claim.unframe(body, None).ok().flatten().map(|unframed| (unframed.body, unframed.trailers));
    assert_eq!(at_once, whole, "both ways of reading agree");
    if let Some((content, trailers)) = whole {
        assert!(content.len() < body.len() && trailers.len() <= 16);
    }
    // With a key, nothing that was not signed passes.
    if kind % 3 > 0 {
        assert!(claim.unframe(body, Some("secret")).is_err());
        assert!(in_parts(claim.unframing(Some("secret")).expect("in pieces"), body, part).is_none());
    }

    let mut framed = Vec::new();
    for piece in body.chunks(part.max(1)) {
        framed.extend(format!("{:x}\r\n", piece.len()).bytes());
        framed.extend(piece);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n\r\n");
    assert_eq!(in_parts(unframing(), &framed, part), Some((body.to_vec(), Vec::new())));
});
