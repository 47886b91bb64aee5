use super::*;

fn asked(uri: &str, host: Option<&str>) -> Option<String> {
    let mut request = Request::get(uri);
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    name_of(&request.body(()).unwrap())
}

#[test]
fn names_of_balancers_are_recognised_in_every_writing() {
    let name = Some("web-0123.us-east-1.elb.localhost".to_owned());
    assert_eq!(asked("/", Some("web-0123.us-east-1.elb.localhost:4566")), name);
    assert_eq!(asked("/", Some("WEB-0123.us-east-1.ELB.localhost")), name);
    assert_eq!(asked("/", Some("web-0123.us-east-1.elb.localhost.:80")), name);
    assert_eq!(asked("http://web-0123.us-east-1.elb.localhost:4566/a", None), name);
    assert_eq!(asked("/", Some("localhost:4566")), None);
    assert_eq!(asked("/", Some("elb.localhost.example:4566")), None);
    assert_eq!(asked("/", None), None);
}

#[test]
fn headers_of_one_connection_go_no_further() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, x-hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-kept", "2"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    keep_end_to_end(&mut headers, None);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    headers.insert("connection", "Upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    let upgrade = upgrade_of(&headers);
    keep_end_to_end(&mut headers, upgrade.as_ref());
    assert_eq!(
        (&headers["connection"], &headers["upgrade"]),
        (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}
