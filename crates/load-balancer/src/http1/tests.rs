//! What is read, what is refused, and that pieces make no difference.

use proptest::prelude::*;

use super::{
    body::Body,
    head::{Known, Reader, Refusal, RequestHead, Version},
};

fn request(text: &str) -> Result<Option<RequestHead>, Refusal> {
    Reader::default().request(text.as_bytes())
}

#[test]
fn a_request_is_taken_apart() {
    let text =
        "POST /a?b=c HTTP/1.1\r\nHost: example.com:81\r\nX-Empty:\r\nContent-Length: \t5 \r\n\r\nhello";
    let mut reader = Reader::default();
    let head = reader.request(text.as_bytes()).expect("well-formed").expect("whole");
    assert_eq!(head.method.of(text.as_bytes()), b"POST");
    assert_eq!(head.target.of(text.as_bytes()), b"/a?b=c");
    assert_eq!(head.host.expect("there").of(text.as_bytes()), b"example.com:81");
    assert_eq!((head.version, head.body, head.keep_alive), (Version::Http11, Body::Length(5), true));
    assert_eq!(&text[head.length..], "hello");
    let fields: Vec<_> =
        reader.fields().iter().map(|field| (field.known, field.value.of(text.as_bytes()))).collect();
    assert_eq!(
        fields,
        [(Known::Host, &b"example.com:81"[..]), (Known::Other, b""), (Known::ContentLength, b"5")]
    );
}

/// Each is refused, whatever comes after it.
#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let fields = |text: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{text}\r\n\r\n");
    for (name, text, expected) in [
        ("length and coding", fields("Content-Length: 4\r\nTransfer-Encoding: chunked"), Refusal::Desync),
        ("coding and length", fields("Transfer-Encoding: chunked\r\nContent-Length: 4"), Refusal::Desync),
        ("two lengths", fields("Content-Length: 4\r\nContent-Length: 5"), Refusal::Desync),
        ("a list of lengths", fields("Content-Length: 4, 4"), Refusal::Desync),
        ("a signed length", fields("Content-Length: +4"), Refusal::Desync),
        ("a negative length", fields("Content-Length: -1"), Refusal::Desync),
        ("a hexadecimal length", fields("Content-Length: 0x10"), Refusal::Desync),
        ("an endless length", fields("Content-Length: 99999999999999999999"), Refusal::Desync),
        ("no length", fields("Content-Length:"), Refusal::Desync),
        ("coding twice", fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Refusal::Desync),
        ("another coding", fields("Transfer-Encoding: gzip, chunked"), Refusal::Coding),
        ("a disguised coding", fields("Transfer-Encoding: xchunked"), Refusal::Coding),
        ("coding and a tab", fields("Transfer-Encoding:\u{b}chunked"), Refusal::Malformed),
        ("a space before the colon", fields("Transfer-Encoding : chunked"), Refusal::Malformed),
        ("a continued line", fields("X-A: b\r\n c"), Refusal::Malformed),
        ("a continued line with a tab", fields("X-A: b\r\n\tc"), Refusal::Malformed),
        ("no colon", fields("X-A"), Refusal::Malformed),
        ("no name", fields(": x"), Refusal::Malformed),
        ("a zero", fields("X-A: b\0c"), Refusal::Malformed),
        ("a lone CR", fields("X-A: b\rContent-Length: 4"), Refusal::Malformed),
        ("a lone LF", fields("X-A: b\nContent-Length: 4"), Refusal::Malformed),
        ("two hosts", fields("Host: b"), Refusal::Desync),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), Refusal::Malformed),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), Refusal::Malformed),
        (
            "coding in 1.0",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Refusal::Desync,
        ),
        ("version 0.9", "GET /\r\n".to_owned(), Refusal::Malformed),
        ("version 2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), Refusal::Version),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refusal::Malformed),
        ("a tab instead of a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refusal::Malformed),
        ("a method that is none", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refusal::Malformed),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refusal::Method),
        ("TLS on a plain port", "\u{16}\u{3}\u{1}\n".to_owned(), Refusal::Malformed),
        ("a long target", format!("GET /{}", "a".repeat(17 << 10)), Refusal::TargetTooLong),
        ("a long field", format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(17 << 10)), Refusal::TooLarge),
        (
            "a long head",
            format!("GET / HTTP/1.1\r\n{}", format!("X: {}\r\n", "a".repeat(8000)).repeat(9)),
            Refusal::TooLarge,
        ),
        ("many fields", format!("GET / HTTP/1.1\r\n{}", "a:\r\n".repeat(2000)), Refusal::TooLarge),
    ] {
        assert_eq!(request(&text), Err(expected), "{name}");
    }
}

#[test]
fn what_is_only_unusual_is_marked() {
    let head = |text: &str| request(text).expect("taken").expect("whole");
    assert!(head("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n").ambiguous);
    assert!(head("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").ambiguous);
    assert!(!head("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").ambiguous);
    assert!(!head("\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").ambiguous);
    assert!(!head("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    assert!(!head("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n").keep_alive);
}

#[test]
fn responses_say_how_long_they_are() {
    let body = |text: &str, to_head| {
        Reader::default()
            .response(text.as_bytes(), to_head)
            .map(|head| head.expect("whole"))
            .map(|head| (head.status, head.body, head.keep_alive))
    };
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false), Ok((200, Body::Length(3), true)));
    assert_eq!(
        body("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        Ok((200, Body::chunked(), true))
    );
    assert_eq!(body("HTTP/1.1 200 OK\r\n\r\n", false), Ok((200, Body::UntilClose, false)));
    assert_eq!(
        body("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false),
        Ok((200, Body::Length(3), false))
    );
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true), Ok((200, Body::Length(0), true)));
    assert_eq!(body("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", false), Ok((204, Body::Length(0), true)));
    assert_eq!(
        body("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        Err(Refusal::Desync)
    );
    assert_eq!(body("HTTP/1.1 20 OK\r\n\r\n", false), Err(Refusal::Malformed));
    assert_eq!(body("HTTP/2 200 OK\r\n\r\n", false), Err(Refusal::Malformed));
    assert_eq!(body("\r\nHTTP/1.1 200 OK\r\n\r\n", false), Err(Refusal::Malformed));
}

#[test]
fn chunks_end_where_they_say() {
    let mut body = Body::chunked();
    let text = b"4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    assert_eq!(body.advance(text), Ok(text.len() - 3));
    assert!(body.is_over());
}

#[test]
fn chunks_that_are_none_break_the_message_off() {
    for text in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "0x4\r\n",
        " 4\r\n",
        "4 \r\n",
        "4\n",
        "4\r4",
        "4\r\nWikix",
        "4\r\nWiki\n",
        "4;a\nb\r\n",
        "1000000000000000\r\n",
        ";a\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\n\n",
        "0\r\nx:y\n",
    ] {
        assert!(Body::chunked().advance(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(Body::chunked().advance(format!("4;{}\r\n", "a".repeat(300)).as_bytes()).is_err());
    assert!(Body::chunked().advance(format!("0\r\nx: {}\r\n", "a".repeat(9000)).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn anything_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Reader::default().request(&bytes);
        let _ = Reader::default().response(&bytes, false);
        let _ = Body::chunked().advance(&bytes);
    }

    /// The same is read however the bytes are cut up.
    #[test]
    fn pieces_make_no_difference(
        lines in proptest::collection::vec("[ -~]{0,12}(:|: )[ -~\t]{0,20}(\r\n|\r\n|\r\n|\n)", 0..6),
        cut in 1..40_usize,
    ) {
        let text = format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.concat());
        let whole = request(&text);
        let mut reader = Reader::default();
        let mut pieces = Ok(None);
        for end in (cut..text.len()).step_by(cut).chain([text.len()]) {
            pieces = reader.request(&text.as_bytes()[..end]);
            if !matches!(pieces, Ok(None)) {
                break;
            }
        }
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn chunks_in_pieces_are_the_same(chunks in proptest::collection::vec("[a-z]{1,40}", 0..6), cut in 1..20_usize) {
        let mut text: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        text.push_str("0\r\n\r\n");
        let (mut body, mut content) = (Body::chunked(), Vec::new());
        for mut piece in text.as_bytes().chunks(cut) {
            while !piece.is_empty() {
                let next = body.piece(piece).expect("well-formed");
                if next.content {
                    content.extend_from_slice(&piece[..next.length]);
                }
                piece = &piece[next.length..];
            }
        }
        prop_assert!(body.is_over());
        prop_assert_eq!(content, chunks.concat().into_bytes());
    }
}
