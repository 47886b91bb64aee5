//! The small parsers: references, digests, platforms, documents.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    Digest, Platform, Reference, config,
    manifest::{self, Document},
};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn references_are_normalized() {
    let digest = format!("sha256:{HEX}");
    for (text, expected) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/user/app:v1", "docker.io/user/app:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:4566/team/app:v1", "localhost:4566/team/app:v1"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
        ("public.ecr.aws/nginx/nginx", "public.ecr.aws/nginx/nginx:latest"),
        ("a/b/c/d__e/f-g.h:T_a.g-1", "docker.io/a/b/c/d__e/f-g.h:T_a.g-1"),
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1",
        ),
    ] {
        assert_eq!(Reference::parse(text).unwrap().to_string(), expected, "{text}");
    }
    let pinned = Reference::parse(&format!("busybox@{digest}")).unwrap();
    assert_eq!(pinned.to_string(), format!("docker.io/library/busybox@{digest}"));
    assert_eq!((pinned.tag(), pinned.manifest_key()), (None, digest.as_str()));
    let both = Reference::parse(&format!("r.io/a:t@{digest}")).unwrap();
    assert_eq!((both.tag(), both.manifest_key()), (Some("t"), digest.as_str()));
}

#[test]
fn malformed_references_are_refused() {
    let long_tag = format!("app:{}", "t".repeat(129));
    let long_name = format!("r.io/{}", "n".repeat(255));
    for text in [
        "",
        ":",
        "app:",
        "app:-tag",
        "app:t a g",
        "Upper",
        "r.io/Upper",
        "r.io/",
        "/app",
        "r.io//app",
        "app/",
        "a___b",
        "a..b",
        ".a",
        "a-",
        "-a/b",
        "r.io/../../etc/passwd",
        "r.io:port/app",
        "r.io:99999/app",
        "[::1/app",
        "[nonsense]:1/app",
        "user:password@r.io/app",
        "http://r.io/app",
        "app@sha256:abc",
        "app@",
        "r_.io/app",
        HEX,
        &long_tag,
        &long_name,
    ] {
        let error = Reference::parse(text).expect_err(text).to_string();
        assert!(error.starts_with("invalid reference format: "), "{error}");
    }
}

#[test]
fn digests_are_checked() {
    assert_eq!(
        Digest::of(b"").as_str(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert!(format!("sha512:{HEX}{HEX}").parse::<Digest>().is_ok());
    for text in
        ["", "sha256:", HEX, &format!("sha256:{}", HEX.to_uppercase()), &format!("md5:{HEX}"), "sha256:../x"]
    {
        text.parse::<Digest>().expect_err(text);
    }
    let longer: Digest = format!("sha512:{HEX}{HEX}").parse().unwrap();
    assert_eq!(longer.recompute(b"x").as_str().len(), "sha512:".len() + 128);
}

#[test]
fn platforms_are_compared_by_level() {
    let fitness = |mine: &str, theirs: &str| {
        mine.parse::<Platform>().unwrap().fitness(&theirs.parse::<Platform>().unwrap())
    };
    assert!(fitness("linux/amd64", "linux/amd64").is_some());
    assert_eq!(fitness("linux/amd64", "linux/arm64"), None);
    assert_eq!(fitness("linux/amd64", "windows/amd64"), None);
    assert_eq!(fitness("linux/amd64", "linux/amd64/v2"), None);
    assert!(fitness("linux/amd64/v3", "linux/amd64/v2") > fitness("linux/amd64/v3", "linux/amd64"));
    assert_eq!(fitness("linux/arm64", "linux/arm64/v8"), fitness("linux/aarch64", "linux/arm64"));
    assert!(fitness("linux/arm/v7", "linux/arm/v6").is_some());
    assert_eq!(fitness("linux/arm/v6", "linux/arm/v7"), None);
    for text in ["", "linux", "linux/", "/amd64", "linux/arm/", "a/b/c/d"] {
        text.parse::<Platform>().expect_err(text);
    }
}

#[test]
fn configurations_may_leave_out_or_null_anything() {
    let bare = config::parse(b"{}").unwrap();
    assert_eq!(bare.config, crate::ImageConfig::default());
    let nulls = br#"{"os":null,"architecture":"amd64","config":{"Cmd":null,"Env":null,"ExposedPorts":null,"Labels":null,
        "Entrypoint":[],"StopSignal":"","Healthcheck":{"Test":null},"Unknown":{"a":1}},"rootfs":{"diff_ids":null}}"#;
    let parsed = config::parse(nulls).unwrap();
    assert_eq!(parsed.config.cmd, [""; 0]);
    assert_eq!((parsed.config.stop_signal, parsed.config.healthcheck), (None, None));
    let check = br#"{"config":{"Healthcheck":{"Test":["CMD","true"],"Interval":1500000000,"Timeout":0,"Retries":-1}}}"#;
    let check = config::parse(check).unwrap().config.healthcheck.unwrap();
    assert_eq!(check.interval, Some(Duration::from_millis(1500)));
    assert_eq!((check.timeout, check.retries), (None, None));
    for text in ["", "[]", "{\"config\":1}", r#"{"rootfs":{"diff_ids":["sha256:x"]}}"#, "{\"os\":1}"] {
        config::parse(text.as_bytes()).expect_err(text);
    }
}

#[test]
fn foreign_layers_are_refused_by_type() {
    let manifest = |media_type: &str| {
        let digest = format!("sha256:{HEX}");
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":2}},
               "layers":[{{"mediaType":"{media_type}","digest":"{digest}","size":2}}]}}"#
        );
        manifest::parse(json.as_bytes(), None)
    };
    for good in [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        assert!(matches!(manifest(good), Ok(Document::Manifest(_))), "{good}");
    }
    for bad in [
        "",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    ] {
        manifest(bad).expect_err(bad);
    }
}

proptest! {
    /// What parses prints as something that parses to the same.
    #[test]
    fn references_round_trip(text in "([a-zA-Z0-9.\\-]{1,12}(:[0-9]{1,6})?/)?[a-z0-9._/\\-]{1,30}(:[a-zA-Z0-9._\\-]{0,20})?") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }

    #[test]
    fn any_text_is_a_reference_or_an_error(text in ".{0,80}") {
        let _ = Reference::parse(&text);
        let _ = text.parse::<Platform>();
        let _ = text.parse::<Digest>();
    }

    #[test]
    fn any_bytes_are_documents_or_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = manifest::parse(&bytes, None);
        let _ = config::parse(&bytes);
    }

    /// Damage in the right place: members removed, types swapped, numbers out of range.
    #[test]
    fn damaged_documents_are_documents_or_errors(
        position in 0_usize..300,
        replacement in proptest::sample::select(vec!["null", "-1", "\"\"", "[]", "{}", "1e99", "18446744073709551616"]),
    ) {
        let digest = format!("sha256:{HEX}");
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"x","config":{{"mediaType":"y","digest":"{digest}","size":2}},
               "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":2}}]}}"#
        );
        let position = position.min(text.len());
        let end = text[position..].find([',', '}']).map_or(text.len(), |e| position + e);
        let damaged = format!("{}{replacement}{}", &text[..position], &text[end..]);
        let _ = manifest::parse(damaged.as_bytes(), None);
        let _ = config::parse(damaged.as_bytes());
    }
}
