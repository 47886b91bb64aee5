//! Requests of HTTP/1 through a load balancer: what is passed on says the same as what came, and another parser reads it the same way, so
//! that nothing can be smuggled past the one to the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use load_balancer::fuzzing::pass_on;

/// What a message's head says, as another parser has it.
struct Other {
    length: usize,
    method: String,
    content_length: Vec<String>,
    codings: Vec<String>,
    hosts: usize,
}

fn other(bytes: &[u8]) -> Option<Other> {
    let mut headers = [httparse::EMPTY_HEADER; 1100];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
    let values = |name: &str| -> Vec<String> {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect()
    };
    Some(Other {
        length,
        method: request.method?.to_owned(),
        content_length: values("content-length"),
        codings: values("transfer-encoding"),
        hosts: values("host").len(),
    })
}

fuzz_target!(|data: &[u8]| {
    let [options, part, bytes @ ..] = data else { return };
    let Some(passed) = pass_on(bytes, *options, usize::from(*part)) else { return };
    let received = other(bytes);
    // The other parser passes over any number of empty lines at the beginning, and takes targets in UTF-8 only.
    if let Some(received) = received {
        assert_eq!(received.length, passed.received, "both see the same end of the head");
        assert_eq!(received.method.as_bytes(), passed.method);
    } else {
        assert!(!passed.head.is_ascii(), "what is taken is well-formed to others too");
    }
    if let Some(sent) = other(&passed.head) {
        assert_eq!(sent.length, passed.head.len());
        assert_eq!(sent.method.as_bytes(), passed.method);
        assert_eq!(sent.hosts, 1);
        assert!(sent.content_length.len() + sent.codings.len() <= 1, "one length, said once");
        assert!(sent.codings.iter().all(|coding| coding == "chunked"));
        match sent.content_length.first() {
            Some(length) => {
                let length: u64 = length.parse().expect("a number");
                assert!(passed.body.taken as u64 <= length);
                assert_eq!(passed.body.whole, passed.body.taken as u64 == length);
            }
            None if sent.codings.is_empty() => assert_eq!(passed.body.taken, 0),
            None => {
                chunked(&bytes[passed.received..][..passed.body.taken], &passed.body.bytes, passed.body.whole)
            }
        }
    }
});

/// Chunks as the other parser reads them come to the same content.
fn chunked(mut framed: &[u8], content: &[u8], whole: bool) {
    let mut found = Vec::new();
    loop {
        let (used, size) = match httparse::parse_chunk_size(framed) {
            Ok(httparse::Status::Complete(read)) => read,
            Ok(httparse::Status::Partial) => break,
            Err(error) => panic!("not well-formed to others: {error:?} {framed:?}"),
        };
        framed = &framed[used..];
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(framed.len());
        found.extend_from_slice(&framed[..length]);
        framed = &framed[length..];
        if size == 0 || framed.len() < 2 {
            break;
        }
        framed = &framed[2..];
    }
    assert_eq!(found, content, "the same content");
    assert!(!whole || framed.ends_with(b"\r\n"));
}
