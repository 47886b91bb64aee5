//! The one document that an account can have here: `SSM-SessionManagerRunShell`, its preferences for sessions.
//!
//! Versions are numbered from 1; sessions go by the newest. Documents of other names and types belong to parts of Systems Manager that are not here.

use std::sync::Arc;

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{
    CreateDocumentRequest, CreateDocumentResult, DeleteDocumentRequest, DeleteDocumentResult,
    DescribeDocumentRequest, DescribeDocumentResult, DocumentDescription, DocumentFormat, DocumentStatus,
    DocumentType, GetDocumentRequest, GetDocumentResult, UpdateDocumentRequest, UpdateDocumentResult, errors,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use state_store::{Record, View};
use vocabulary::{Scope, Timestamp};

use super::{
    plan::RUN_SHELL,
    preferences::{self, Preferences},
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// As AWS has it.
const MOST_BYTES: usize = 64 << 10;

/// The document; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionDocument {
    pub content: String,
    pub version: u32,
    pub created_at: Timestamp,
}

impl Record for SessionDocument {
    const SERVICE: &'static str = "ssm";
    const KIND: &'static str = "session-document";
    const SCHEMA_VERSION: u32 = 1;
}

/// An account's preferences: its document's, or those of one that has none.
pub fn preferences(view: &View, scope: &Scope) -> Preferences {
    let found = view.get::<SessionDocument>(scope, RUN_SHELL);
    // It was read when it was written.
    found.and_then(|document| preferences::parse(&document.content).ok()).unwrap_or_default()
}

fn invalid_content(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_DOCUMENT_CONTENT, message)
}

fn missing(name: &str) -> ApiError {
    ApiError::new(&errors::INVALID_DOCUMENT, format!("Document with name {name} does not exist."))
}

fn check(content: &str, format: Option<DocumentFormat>) -> Result<(), ApiError> {
    if content.len() > MOST_BYTES {
        return Err(ApiError::new(
            &errors::MAX_DOCUMENT_SIZE_EXCEEDED,
            "The size limit of a document is 64 KB.",
        ));
    }
    if !matches!(format, None | Some(DocumentFormat::Json)) {
        return Err(invalid_content("Longshore takes session documents as JSON."));
    }
    preferences::parse(content)
        .map(drop)
        .map_err(|reason| invalid_content(format!("The content of the document is not valid: {reason}.")))
}

fn own(name: Option<&String>) -> Result<(), ApiError> {
    let name = name.map(String::as_str).unwrap_or_default();
    match name.rsplit('/').next() == Some(RUN_SHELL) {
        true => Ok(()),
        false => Err(missing(name)),
    }
}

pub async fn create(call: Call, input: CreateDocumentRequest) -> Result<CreateDocumentResult, ApiError> {
    let name = input.name.unwrap_or_default();
    if name != RUN_SHELL || input.document_type != Some(DocumentType::Session) {
        let message = format!("Longshore implements no documents but {RUN_SHELL} of type Session yet.");
        return Err(ApiError::undeclared("NotImplemented", 501, message));
    }
    let content = input.content.unwrap_or_default();
    check(&content, input.document_format)?;
    let scope = call.scope();
    let document = SessionDocument { content, version: 1, created_at: call.now() };
    call.services
        .state
        .transact(|tx| {
            if tx.get::<SessionDocument>(scope, RUN_SHELL).is_some() {
                let message = format!("Document with same name {RUN_SHELL} already exists");
                return Err(ApiError::new(&errors::DOCUMENT_ALREADY_EXISTS, message));
            }
            tx.put(scope, RUN_SHELL, document.clone());
            Ok(())
        })
        .await?;
    Ok(CreateDocumentResult { document_description: Some(describe_shape(scope, &document)) })
}

pub async fn update(call: Call, input: UpdateDocumentRequest) -> Result<UpdateDocumentResult, ApiError> {
    own(input.name.as_ref())?;
    let content = input.content.unwrap_or_default();
    check(&content, input.document_format)?;
    let scope = call.scope();
    let given = input.document_version;
    let document = call
        .services
        .state
        .transact(|tx| {
            let found = tx.get::<SessionDocument>(scope, RUN_SHELL).ok_or_else(|| missing(RUN_SHELL))?;
            check_version(&found, given.as_deref())?;
            if found.content == content {
                let message = "The content of the association document matches another document. Change the content of the document and try again.";
                return Err(ApiError::new(&errors::DUPLICATE_DOCUMENT_CONTENT, message));
            }
            let (content, version) = (content.clone(), found.version + 1);
            let document = SessionDocument { content, version, created_at: call.now() };
            tx.put(scope, RUN_SHELL, document.clone());
            Ok(document)
        })
        .await?;
    Ok(UpdateDocumentResult { document_description: Some(describe_shape(scope, &document)) })
}

pub async fn get(call: Call, input: GetDocumentRequest) -> Result<GetDocumentResult, ApiError> {
    let document = find(&call, input.name.as_ref(), input.document_version.as_deref())?;
    Ok(GetDocumentResult {
        name: Some(RUN_SHELL.to_owned()),
        content: Some(document.content.clone()),
        created_date: Some(time(document.created_at)),
        document_version: Some(document.version.to_string()),
        status: Some(DocumentStatus::Active),
        document_type: Some(DocumentType::Session),
        document_format: Some(DocumentFormat::Json),
        ..GetDocumentResult::default()
    })
}

pub async fn describe(
    call: Call,
    input: DescribeDocumentRequest,
) -> Result<DescribeDocumentResult, ApiError> {
    let document = find(&call, input.name.as_ref(), input.document_version.as_deref())?;
    Ok(DescribeDocumentResult { document: Some(describe_shape(call.scope(), &document)) })
}

pub async fn delete(call: Call, input: DeleteDocumentRequest) -> Result<DeleteDocumentResult, ApiError> {
    own(input.name.as_ref())?;
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| match tx.delete::<SessionDocument>(scope, RUN_SHELL) {
            Some(_) => Ok(()),
            None => Err(missing(RUN_SHELL)),
        })
        .await?;
    Ok(DeleteDocumentResult::default())
}

fn find(call: &Call, name: Option<&String>, version: Option<&str>) -> Result<Arc<SessionDocument>, ApiError> {
    own(name)?;
    let found = call.services.state.read(|view| view.get::<SessionDocument>(call.scope(), RUN_SHELL));
    let document = found.ok_or_else(|| missing(RUN_SHELL))?;
    check_version(&document, version)?;
    Ok(document)
}

/// Only the newest is kept.
fn check_version(document: &SessionDocument, given: Option<&str>) -> Result<(), ApiError> {
    let number = document.version.to_string();
    match given {
        None | Some("$LATEST" | "$DEFAULT") => Ok(()),
        Some(given) if given == number => Ok(()),
        Some(_) => Err(ApiError::new(
            &errors::INVALID_DOCUMENT_VERSION,
            "The document version is not valid or does not exist.",
        )),
    }
}

fn describe_shape(scope: &Scope, document: &SessionDocument) -> DocumentDescription {
    let version = Some(document.version.to_string());
    DocumentDescription {
        name: Some(RUN_SHELL.to_owned()),
        owner: Some(scope.account.to_string()),
        created_date: Some(time(document.created_at)),
        status: Some(DocumentStatus::Active),
        document_version: version.clone(),
        default_version: version.clone(),
        latest_version: version,
        document_type: Some(DocumentType::Session),
        document_format: Some(DocumentFormat::Json),
        schema_version: Some("1.0".to_owned()),
        hash: Some(hex::encode(Sha256::digest(&document.content))),
        hash_type: Some(ssm::DocumentHashType::Sha256),
        ..DocumentDescription::default()
    }
}
