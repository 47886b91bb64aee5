//! From a call at the front door to its event.
//!
//! The gateway begins a [`Recording`] for each call that it can name, tells it who calls and what is asked as it learns them, and ends it with
//! the answer. A call that changes something has its place in the trail before it is carried out.

use std::net::SocketAddr;

use aws_schema::{OperationTable, ServiceTable, Value};
use http::request::Parts;
use vocabulary::{Ids, Timestamp};

use super::{
    event::{Caller, Entry},
    redact,
    trail::Place,
};
use crate::{
    gateway::{Answer, ApiError, Call, OverTls, Principal},
    services::Services,
};

/// Longer texts of clients are cut.
const LONGEST_TEXT: usize = 512;

pub struct Recording {
    entry: Entry,
    operation: &'static OperationTable,
    place: Option<Place>,
}

impl Recording {
    pub fn begin(
        services: &Services,
        (service, operation): (&'static ServiceTable, &'static OperationTable),
        parts: &Parts,
        now: Timestamp,
        request_id: &str,
    ) -> Recording {
        let header =
            |name: http::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(cut);
        let entry = Entry {
            at: now,
            source: service.signing_name,
            api_version: Some(service.api_version),
            name: operation.name.to_owned(),
            read_only: is_read_only(service.name, operation),
            management: is_management(service.name, operation.name),
            account: services.settings.account.clone(),
            region: services.settings.region.clone(),
            caller: Caller::Unknown(claimed_key(parts)),
            address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
            user_agent: header(http::header::USER_AGENT),
            invoked_by: None,
            host: header(http::header::HOST),
            tls: parts.extensions.get::<OverTls>().is_some(),
            request: None,
            response: None,
            error: None,
            request_id: request_id.to_owned(),
            event_id: services.ids().uuid(),
        };
        Recording { entry, operation, place: None }
    }

    /// A call that one of the platform's services makes in a role that it was given. `by`: `ecs.amazonaws.com`.
    pub fn of_service(
        call: &Call,
        (service, operation): (&'static ServiceTable, &'static OperationTable),
        principal: Principal,
        by: &'static str,
    ) -> Recording {
        let entry = Entry {
            at: call.now(),
            source: service.signing_name,
            api_version: Some(service.api_version),
            name: operation.name.to_owned(),
            read_only: is_read_only(service.name, operation),
            management: is_management(service.name, operation.name),
            account: call.scope().account.clone(),
            region: call.scope().region.clone(),
            caller: Caller::Known(principal),
            address: None,
            user_agent: Some(by.to_owned()),
            invoked_by: Some(by),
            host: None,
            tls: false,
            request: None,
            response: None,
            error: None,
            request_id: call.services.ids().uuid(),
            event_id: call.services.ids().uuid(),
        };
        Recording { entry, operation, place: None }
    }

    /// The event as it is so far.
    #[cfg(test)]
    pub fn into_entry(self) -> Entry {
        self.entry
    }

    /// Who calls, and where.
    pub fn caller(&mut self, principal: &Principal, region: &vocabulary::Region) {
        self.entry.account = principal.account.clone();
        // IAM has no regions; its events are in the first.
        self.entry.region = match self.entry.source {
            "iam" => "us-east-1".parse().unwrap_or_else(|_| region.clone()),
            _ => region.clone(),
        };
        self.entry.caller = Caller::Known(principal.clone());
    }

    /// What is asked.
    pub fn asked(&mut self, input: &Value) {
        let shown = redact::shown(self.operation.input, input);
        self.entry.request =
            Some(shown).filter(|shown| shown.as_object().is_none_or(|members| !members.is_empty()));
    }

    /// Before the call is carried out.
    ///
    /// # Errors
    /// `ServiceUnavailable`, 503, for a call that changes something and could not be recorded.
    pub async fn take_place(&mut self, services: &Services) -> Result<(), ApiError> {
        match services.trail.place().await {
            Ok(place) => self.place = Some(place),
            Err(_) if self.entry.read_only => {}
            Err(full) => {
                let message = "The audit trail cannot be written, so that nothing can be changed. The platform's log says why.";
                return Err(ApiError::undeclared("ServiceUnavailable", 503, message).caused_by(full));
            }
        }
        Ok(())
    }

    /// The call is answered.
    pub fn end(self, services: &Services, result: &Result<Answer, ApiError>) {
        let output = result.as_ref().map(|answer| match answer {
            Answer::Value(output) => Some(output),
            Answer::Events(_) | Answer::Content { .. } => None,
        });
        self.end_with(services, output);
    }

    /// The same with what is told of the answer.
    pub fn end_with(mut self, services: &Services, output: Result<Option<&Value>, &ApiError>) {
        match output {
            Ok(Some(output)) if !self.entry.read_only => {
                let shown = redact::shown(self.operation.output, output);
                self.entry.response =
                    Some(shown).filter(|shown| shown.as_object().is_none_or(|members| !members.is_empty()));
            }
            Ok(_) => {}
            Err(error) => self.entry.error = Some((error.code.clone().into_owned(), cut(&error.message))),
        }
        match self.place {
            Some(place) => place.fill(self.entry),
            None => services.trail.leave(self.entry),
        }
    }
}

/// The access key that a request names, if what it names has the form of one.
fn claimed_key(parts: &Parts) -> Option<String> {
    let text = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = parts.uri.query().unwrap_or_default();
    let from = |text: &str, mark: &str| {
        let (_, rest) = text.split_once(mark)?;
        let key: String = rest.chars().take_while(char::is_ascii_alphanumeric).take(128).collect();
        (16..=128).contains(&key.len()).then_some(key)
    };
    text.and_then(|text| from(text, "Credential=")).or_else(|| from(query, "X-Amz-Credential="))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// Whether a call changes nothing, by its name.
fn is_read_only(service: &str, operation: &OperationTable) -> bool {
    const VERBS: [&str; 16] = [
        "Get",
        "List",
        "Describe",
        "BatchGet",
        "BatchCheck",
        "Head",
        "Filter",
        "Lookup",
        "Simulate",
        "Test",
        "Discover",
        "Search",
        "Select",
        "Validate",
        "Verify",
        "Query",
    ];
    operation.readonly
        || VERBS.iter().any(|verb| operation.name.starts_with(verb))
        || matches!(
            (service, operation.name),
            ("sts", _)
                | ("kms", "Decrypt" | "Encrypt" | "ReEncrypt" | "Sign")
                | ("logs", "StartLiveTail" | "StartQuery" | "StopQuery")
        )
        || (service == "kms" && operation.name.starts_with("Generate"))
}

/// Whether a call is about resources. The content of streams, objects and metrics is data.
fn is_management(service: &str, operation: &str) -> bool {
    match service {
        "logs" => !matches!(
            operation,
            "PutLogEvents" | "GetLogEvents" | "FilterLogEvents" | "StartLiveTail" | "GetLogRecord"
        ),
        "cloudwatch" => !matches!(operation, "PutMetricData" | "GetMetricData" | "GetMetricStatistics"),
        "s3" => !["Object", "Upload", "Part"].iter().any(|part| operation.contains(part)),
        _ => true,
    }
}

#[cfg(test)]
pub(super) fn reads(service: &'static ServiceTable, operation: &str) -> bool {
    service.operation(operation).is_some_and(|operation| is_read_only(service.name, operation))
}
