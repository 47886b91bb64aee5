use http::{HeaderMap, Uri, header::WWW_AUTHENTICATE};

use super::{
    Endpoint,
    auth::{Challenge, challenge, token_url},
    url::{resolve, shown},
};

fn challenges(values: &[&str]) -> Option<Challenge> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
    }
    challenge(&headers)
}

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
    Some(Challenge::Bearer {
        realm: realm.to_owned(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    })
}

#[test]
fn challenges_are_read() {
    assert_eq!(
        challenges(&[r#"Bearer realm="https://auth/token",service="reg",scope="repository:a/b:pull,push""#]),
        bearer("https://auth/token", Some("reg"), Some("repository:a/b:pull,push"))
    );
    assert_eq!(challenges(&[r#"bearer Realm="a\"b" , service=plain"#]), bearer("a\"b", Some("plain"), None));
    assert_eq!(challenges(&["Basic realm=\"x\""]), Some(Challenge::Basic));
    assert_eq!(challenges(&["Basic", "Bearer realm=\"r\""]), bearer("r", None, None));
    assert_eq!(challenges(&["Bearer service=\"no realm\"", "Negotiate"]), None);
    assert_eq!(challenges(&["Bearer realm=\"never ends"]), bearer("never ends", None, None));
    assert_eq!(challenges(&[]), None);
}

#[test]
fn token_addresses_are_built() {
    let url = |realm| token_url(realm, Some("a b&c"), "repository:x/y:pull").map(|u| u.to_string());
    assert_eq!(
        url("https://auth/token").unwrap(),
        "https://auth/token?service=a%20b%26c&scope=repository:x/y:pull"
    );
    assert_eq!(
        url("https://auth/token?account=1").unwrap(),
        "https://auth/token?account=1&service=a%20b%26c&scope=repository:x/y:pull"
    );
    for realm in ["", "/token", "ftp://auth/token", "https://user:password@auth/token", "file:///etc/passwd"]
    {
        assert_eq!(url(realm), None, "{realm}");
    }
}

#[test]
fn locations_are_resolved() {
    let from =
        |base: &str, location: &str| resolve(&base.parse::<Uri>().unwrap(), location).map(|u| u.to_string());
    let base = "https://r.io/v2/a/blobs/x?y=z";
    for (location, expected) in [
        ("https://cdn.io/b?sig=1", Some("https://cdn.io/b?sig=1")),
        ("/other?q=1", Some("https://r.io/other?q=1")),
        ("sibling", Some("https://r.io/v2/a/blobs/sibling")),
        ("//cdn.io/b", Some("https://cdn.io/b")),
        ("https://cdn.io/b#fragment", Some("https://cdn.io/b")),
        ("http://r.io/other", None),
        ("https://user@cdn.io/b", None),
        ("https://", None),
    ] {
        assert_eq!(from(base, location).as_deref(), expected, "{location}");
    }
    assert_eq!(from("http://r.io/a", "http://r.io/b").as_deref(), Some("http://r.io/b"));
    assert_eq!(shown(&"https://cdn.io/b?signature=secret".parse().unwrap()), "https://cdn.io/b");
}

#[test]
fn registries_have_addresses() {
    let of = |host: &str| Endpoint::of_registry(host).unwrap();
    let at = |text: &str| Endpoint::parse(text).unwrap();
    assert_eq!(of("docker.io"), at("https://registry-1.docker.io"));
    assert_eq!(of("ghcr.io"), at("https://ghcr.io"));
    assert_eq!(of("127.0.0.1:5000"), at("http://127.0.0.1:5000"));
    assert_eq!(of("localhost:4566"), at("http://localhost:4566/"));
    assert_eq!(of("[::1]:5000"), at("http://[::1]:5000"));
    for text in ["", "r.io", "ftp://r.io", "http://r.io/path", "http://user:password@r.io", "http://"] {
        Endpoint::parse(text).expect_err(text);
    }
}
