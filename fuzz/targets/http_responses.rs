//! Answers of HTTP/1 through a load balancer: a client that goes on with its connection knows where they end, and another parser agrees
//! about their heads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use load_balancer::fuzzing::answer;

fuzz_target!(|data: &[u8]| {
    let [options, bytes @ ..] = data else { return };
    let (to_head, old_client) = (options & 1 != 0, options & 2 != 0);
    let Some(answered) = answer(bytes, to_head, old_client) else { return };
    let mut headers = [httparse::EMPTY_HEADER; 1100];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = response.parse(&answered.head) else {
        panic!("{:?} is none to others", String::from_utf8_lossy(&answered.head));
    };
    assert_eq!((length, response.code), (answered.head.len(), Some(answered.status)));
    let count =
        |name: &str| response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one length, said once");
    assert_eq!(count("connection"), 1);
    if answered.keep_alive && !to_head && ![204, 304].contains(&answered.status) {
        assert_eq!(count("content-length") + count("transfer-encoding"), 1, "the client is told the length");
    }
});
