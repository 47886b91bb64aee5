//! The document of preferences, and what sessions make of it.

use aws_shapes_ssm::{
    CreateDocumentRequest, DeleteDocumentRequest, DescribeDocumentRequest, DocumentType, GetDocumentRequest,
    UpdateDocumentRequest,
};

use super::super::{documents, plan::RUN_SHELL};
use crate::services::testing::{Fixture, refused, scope, text};

fn content(minutes: u32) -> Option<String> {
    let inputs = format!(r#"{{"idleSessionTimeout": "{minutes}"}}"#);
    Some(format!(r#"{{"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {inputs}}}"#))
}

fn create(content: Option<String>) -> CreateDocumentRequest {
    CreateDocumentRequest {
        name: text(RUN_SHELL),
        document_type: Some(DocumentType::Session),
        content,
        ..Default::default()
    }
}

#[tokio::test]
async fn preferences_are_written_and_acted_on() {
    let fixture = Fixture::new().await;
    let minutes = || {
        let view = fixture.services.state.view();
        documents::preferences(&view, &scope()).idle_timeout.map(|idle| idle.as_secs() / 60)
    };
    assert_eq!(minutes(), None);
    let get = || GetDocumentRequest { name: text(RUN_SHELL), ..Default::default() };
    refused(documents::get(fixture.call(), get()).await, "InvalidDocument", "does not exist");
    documents::create(fixture.call(), create(content(5))).await.unwrap();
    assert_eq!(minutes(), Some(5));
    refused(
        documents::create(fixture.call(), create(content(6))).await,
        "DocumentAlreadyExists",
        "already exists",
    );
    let update = |minutes, version: &str| UpdateDocumentRequest {
        name: text(RUN_SHELL),
        content: content(minutes),
        document_version: text(version),
        ..Default::default()
    };
    let updated = documents::update(fixture.call(), update(7, "$LATEST")).await.unwrap();
    assert_eq!(updated.document_description.unwrap().latest_version, text("2"));
    assert_eq!(minutes(), Some(7));
    refused(documents::update(fixture.call(), update(7, "2")).await, "DuplicateDocumentContent", "matches");
    refused(documents::update(fixture.call(), update(8, "1")).await, "InvalidDocumentVersion", "not valid");
    let bad =
        UpdateDocumentRequest { name: text(RUN_SHELL), content: text("nonsense"), ..Default::default() };
    refused(documents::update(fixture.call(), bad).await, "InvalidDocumentContent", "no JSON");
    assert_eq!(documents::get(fixture.call(), get()).await.unwrap().content, content(7));
    let describe = DescribeDocumentRequest { name: text(RUN_SHELL), ..Default::default() };
    let described = documents::describe(fixture.call(), describe).await.unwrap().document.unwrap();
    assert_eq!(
        (described.document_type, described.document_version),
        (Some(DocumentType::Session), text("2"))
    );
    let delete = || DeleteDocumentRequest { name: text(RUN_SHELL), ..Default::default() };
    documents::delete(fixture.call(), delete()).await.unwrap();
    refused(documents::delete(fixture.call(), delete()).await, "InvalidDocument", "does not exist");
    assert_eq!(minutes(), None);
}

#[tokio::test]
async fn other_documents_are_not_there() {
    let fixture = Fixture::new().await;
    let other = CreateDocumentRequest { name: text("My-Document"), ..create(content(5)) };
    refused(documents::create(fixture.call(), other).await, "NotImplemented", RUN_SHELL);
    let other = GetDocumentRequest { name: text("AWS-RunShellScript"), ..Default::default() };
    refused(documents::get(fixture.call(), other).await, "InvalidDocument", "does not exist");
}
