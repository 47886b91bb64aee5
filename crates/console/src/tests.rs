//! What a browser gets.

use std::{collections::BTreeSet, path::Path};

use http::{HeaderMap, Method, StatusCode, header};

use super::{ROOT, answer, assets, is_visit};

fn get(path: &str) -> http::Response<bytes::Bytes> {
    answer(&Method::GET, path, &HeaderMap::new())
}

/// Files under `directory`, relative to the root of the web files.
fn files(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn every_file_is_embedded() {
    let mut on_disk = BTreeSet::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("web"), "", &mut on_disk);
    let embedded: BTreeSet<String> = assets::FILES
        .iter()
        .map(|(path, _)| if *path == assets::PAGE { "index.html" } else { path }.to_owned())
        .collect();
    assert_eq!(on_disk, embedded);
}

#[test]
fn files_come_with_type_tag_and_policy() {
    for (path, kind) in [
        ("assets/app.js", "text/javascript; charset=utf-8"),
        ("assets/style/tokens.css", "text/css; charset=utf-8"),
        ("assets/icon.svg", "image/svg+xml"),
        ("", "text/html; charset=utf-8"),
    ] {
        let file = get(&format!("{ROOT}{path}"));
        assert_eq!(file.status(), StatusCode::OK, "{path}");
        assert_eq!(file.headers()[header::CONTENT_TYPE], kind);
        assert!(
            file.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'self';")
        );
        assert!(!file.body().is_empty());
    }
}

#[test]
fn views_are_the_page_and_missing_files_are_missing() {
    let page = get(ROOT);
    for view in ["clusters", "clusters/lab/tasks/0123", "logs/%2Fecs%2Fweb", "load-balancers/a.b"] {
        assert_eq!(get(&format!("{ROOT}{view}")).body(), page.body(), "{view}");
    }
    assert_eq!(get(&format!("{ROOT}assets/nothing.js")).status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&format!("{ROOT}assets/../../Cargo.toml")).status(), StatusCode::NOT_FOUND);
}

#[test]
fn what_the_browser_has_is_not_sent_again() {
    let first = get("/console/assets/app.js");
    let mut headers = HeaderMap::new();
    headers.insert(
        header::IF_NONE_MATCH,
        format!("\"x\", W/{}", first.headers()[header::ETAG].to_str().unwrap()).parse().unwrap(),
    );
    let again = answer(&Method::GET, "/console/assets/app.js", &headers);
    assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
    let other = answer(&Method::GET, "/console/assets/lib/api.js", &headers);
    assert_eq!(other.status(), StatusCode::OK);
}

#[test]
fn nothing_can_be_written() {
    let answer = answer(&Method::POST, "/console/assets/app.js", &HeaderMap::new());
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()[header::ALLOW], "GET, HEAD");
}

#[test]
fn the_page_holds_no_inline_code_and_names_no_other_host() {
    for (path, bytes) in assets::FILES {
        let text = std::str::from_utf8(bytes).unwrap();
        for foreign in ["//cdn", "@import url(", "eval(", "innerHTML", "document.write"] {
            assert!(!text.contains(foreign), "{path} holds {foreign}");
        }
        if *path == assets::PAGE {
            assert!(
                !text.contains("<style") && !text.contains("onclick=") && !text.contains("style="),
                "{path}"
            );
            assert_eq!(
                text.matches("<script").count(),
                text.matches("<script type=\"module\" src=").count(),
                "{path}"
            );
        }
    }
}

#[test]
fn visitors_are_told_from_clients() {
    let visit = |path, query, pairs: &[(header::HeaderName, &str)]| {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        is_visit(&Method::GET, path, query, &headers)
    };
    let page = (header::ACCEPT, "text/html,application/xhtml+xml;q=0.9");
    assert!(visit("/", None, std::slice::from_ref(&page)));
    assert!(visit("/console", None, std::slice::from_ref(&page)));
    assert!(!visit("/", None, &[(header::ACCEPT, "*/*")]));
    assert!(!visit("/", Some("Action=ListUsers"), std::slice::from_ref(&page)));
    assert!(!visit("/", None, &[page.clone(), (header::AUTHORIZATION, "AWS4-HMAC-SHA256 …")]));
    assert!(!visit("/bucket", None, &[page]));
}
