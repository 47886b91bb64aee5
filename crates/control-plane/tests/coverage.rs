//! The coverage table: every operation of every imported service, and whether it has a handler.
//!
//! `docs/coverage.md` is checked in, so that a change of coverage is seen in review. Renew it with
//! `UPDATE_COVERAGE=1 cargo test -p control-plane --test coverage`.

use std::{fmt::Write, fs, path::Path};

use control_plane::services;

#[test]
fn the_coverage_table_is_true() {
    let table = table();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        fs::write(&path, &table).expect("the table can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == table,
        "docs/coverage.md is out of date; renew it with UPDATE_COVERAGE=1 cargo test -p control-plane --test coverage"
    );
}

fn table() -> String {
    let operations = services::operations();
    let mut summary = String::new();
    let mut details = String::new();
    for service in operations.services() {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for name in service.operation_names {
            if operations.implements(service, name) { there.push(*name) } else { missing.push(*name) }
        }
        let total = service.operation_names.len();
        writeln!(summary, "| {} | {} | {total} |", service.service_id, there.len()).unwrap();
        writeln!(details, "\n## {}\n", service.service_id).unwrap();
        writeln!(details, "There: {}\n", list(&there)).unwrap();
        writeln!(details, "Answered with 501: {}", list(&missing)).unwrap();
    }
    format!(
        "# Coverage\n\nOperations that are there, of those in the published model. Every other one is answered with status 501 and its name.\n\n\
         | service | there | in the model |\n|---|---|---|\n{summary}{details}"
    )
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none.".to_owned() } else { format!("{}.", names.join(", ")) }
}
