//! StartSession, ResumeSession, TerminateSession, DescribeSessions, GetConnectionStatus.

use std::{collections::BTreeMap, sync::Arc};

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{
    ConnectionStatus, DescribeSessionsRequest, DescribeSessionsResponse, GetConnectionStatusRequest,
    GetConnectionStatusResponse, ResumeSessionRequest, ResumeSessionResponse, SessionFilterKey,
    SessionManagerOutputUrl, SessionState, StartSessionRequest, StartSessionResponse,
    TerminateSessionRequest, TerminateSessionResponse, errors,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    agent::{self, Asker},
    board::Full,
    documents, door,
    plan::{self, Plan},
    records::{SessionRecord, SessionStatus, record},
    run::{self, Opening, Patience},
    target::{Reached, Target},
    transcript::{CannotKeep, Transcript},
};
use crate::{
    convert::time as shown,
    gateway::{ApiError, Call},
    services::logs::SinkError,
};

/// As many as a page of DescribeSessions shows unless it is told otherwise.
const PAGE: usize = 100;

/// What a client needs to come in.
#[derive(Debug)]
pub struct Opened {
    pub id: String,
    pub stream_url: String,
    pub token: String,
}

pub async fn start(call: Call, input: StartSessionRequest) -> Result<StartSessionResponse, ApiError> {
    let text = input.target.unwrap_or_default();
    let unconnected = || ApiError::new(&errors::TARGET_NOT_CONNECTED, format!("{text} is not connected."));
    let target = Target::parse(&text).ok_or_else(unconnected)?;
    let (reached, preferences) = call.services.state.read(|view| {
        let reached = target.reach(view, call.scope()).map_err(|_| unconnected())?;
        Ok::<_, ApiError>((reached, documents::preferences(view, call.scope())))
    })?;
    let parameters: BTreeMap<String, Vec<String>> =
        input.parameters.unwrap_or_default().into_iter().collect();
    let plan = plan::of_document(
        input.document_name.as_deref(),
        &parameters,
        &preferences,
        call.services.sessions.idle_timeout,
    )?;
    agent::authorize(&call, &reached, plan.log.as_ref()).map_err(|_| unconnected())?;
    if !call.services.agents.streams.reaches(&reached.node) {
        return Err(unconnected());
    }
    let name = call.principal.arn.rsplit('/').next().unwrap_or_default();
    let name = if name.contains(':') { "root" } else { name };
    let id = format!("{name}-{}", call.services.ids().hex(17));
    let opened = open(
        &call,
        Asked { id, plan, target: text, reached, reason: input.reason, patience: Patience::default() },
    )
    .await?;
    Ok(StartSessionResponse {
        session_id: Some(opened.id),
        stream_url: Some(opened.stream_url),
        token_value: Some(opened.token),
    })
}

/// A session that is to be.
#[derive(Debug)]
pub struct Asked {
    pub id: String,
    pub plan: Plan,
    pub target: String,
    pub reached: Reached,
    pub reason: Option<String>,
    pub patience: Patience,
}

/// Opens a session: from now on its client may come in.
///
/// # Errors
/// When there are too many, or its output cannot be kept where it shall be.
pub async fn open(call: &Call, asked: Asked) -> Result<Opened, ApiError> {
    let Asked { id, plan, target, reached, reason, patience } = asked;
    let (services, scope) = (&call.services, call.scope());
    let too_many = |full: Full| ApiError::undeclared("ThrottlingException", 400, full.to_string());
    let (desk, token) = services.sessions.enter(scope, &id, &mut services.ids()).map_err(too_many)?;
    let transcript = match &plan.log {
        None => None,
        Some(to) => {
            let who = (&reached, &Asker::of(call));
            Some(Transcript::open(services, scope, who, to, &id).await.map_err(cannot_keep)?)
        }
    };
    let record = SessionRecord {
        id: id.clone(),
        target: target.clone(),
        document: plan.document.clone(),
        owner: call.principal.arn.clone(),
        reason,
        status: SessionStatus::Connecting,
        started_at: call.now(),
        ended_at: None,
        details: None,
        longest_minutes: plan.longest.and_then(|longest| u32::try_from(longest.as_secs() / 60).ok()),
        log_group: plan.log.as_ref().and_then(|log| log.group.clone()),
        log_object: plan
            .log
            .as_ref()
            .and_then(|log| log.bucket.as_ref())
            .map(|to| format!("{}/{}", to.name, to.key(&id))),
    };
    services
        .state
        .transact(|tx| {
            tx.put(scope, &id, record.clone());
            Ok::<_, ApiError>(())
        })
        .await?;
    let opening = Opening {
        services: Arc::clone(services),
        scope: scope.clone(),
        plan,
        target,
        reached,
        transcript,
        patience,
        desk,
    };
    tokio::spawn(run::run(opening));
    Ok(Opened { stream_url: stream_url(call, &id), id, token })
}

/// How the client reaches the session: by the name that it reached the API by.
fn stream_url(call: &Call, id: &str) -> String {
    let scheme = if call.context.origin.secure { "wss" } else { "ws" };
    format!("{scheme}://{}{}", call.context.host, door::path_of(id))
}

fn cannot_keep(why: CannotKeep) -> ApiError {
    let refused = |message: String| ApiError::undeclared("InvalidParameterException", 400, message);
    match why {
        CannotKeep::Group { group, source: SinkError::NoSuchGroup } => refused(format!(
            "The session cannot be started: the log group {group} that it is logged to does not exist."
        )),
        CannotKeep::Bucket { bucket, source } if source.status < 500 => refused(format!(
            "The session cannot be started: its output cannot be put into the bucket {bucket}: {}",
            source.message
        )),
        other => ApiError::internal(other),
    }
}

fn not_there(id: &str) -> ApiError {
    ApiError::new(&errors::DOES_NOT_EXIST_EXCEPTION, format!("Session {id} does not exist."))
}

/// A session that the caller's account has.
fn find(call: &Call, id: &str) -> Option<Arc<SessionRecord>> {
    call.services.state.read(|view| view.get::<SessionRecord>(call.scope(), id))
}

pub async fn resume(call: Call, input: ResumeSessionRequest) -> Result<ResumeSessionResponse, ApiError> {
    let id = input.session_id.unwrap_or_default();
    find(&call, &id).ok_or_else(|| not_there(&id))?;
    let services = &call.services;
    let token = services.sessions.renew(call.scope(), &id, &mut services.ids());
    // A session that is over is answered without a token, which the plugin takes for its end.
    let stream_url = token.is_some().then(|| stream_url(&call, &id));
    Ok(ResumeSessionResponse { session_id: Some(id), stream_url, token_value: token })
}

pub async fn terminate(
    call: Call,
    input: TerminateSessionRequest,
) -> Result<TerminateSessionResponse, ApiError> {
    let id = input.session_id.unwrap_or_default();
    find(&call, &id).ok_or_else(|| not_there(&id))?;
    call.services.sessions.end(call.scope(), &id);
    Ok(TerminateSessionResponse { session_id: Some(id) })
}

pub async fn describe(
    call: Call,
    input: DescribeSessionsRequest,
) -> Result<DescribeSessionsResponse, ApiError> {
    let over = input.state == Some(SessionState::History);
    let mut filters = Vec::new();
    for filter in input.filters.into_iter().flatten() {
        filters.push(filter_of(filter.key, filter.value.unwrap_or_default())?);
    }
    let scope = call.scope();
    let mut found: Vec<Arc<SessionRecord>> = call.services.state.read(|view| {
        let all = view.scan::<SessionRecord>(scope).map(|(_, record)| record);
        all.filter(|record| record.status.is_over() == over)
            .filter(|record| filters.iter().all(|filter| filter(record)))
            .collect()
    });
    // Newest first. The key of a page sorts the same way.
    let key = |record: &Arc<SessionRecord>| {
        format!("{:020}{}", i64::MAX - record.started_at.as_millis(), record.id)
    };
    found.sort_by_key(key);
    let size = input.max_results.map_or(PAGE, |size| size.unsigned_abs() as usize);
    let list = format!("sessions/{scope}/{over}");
    let page = call
        .services
        .page_tokens
        .page(&list, found, key, input.next_token.as_deref(), size)
        .map_err(|_| ApiError::new(&errors::INVALID_NEXT_TOKEN, "The specified token isn't valid."))?;
    let sessions = page.items.iter().map(|record| shape(scope, record)).collect();
    Ok(DescribeSessionsResponse { sessions: Some(sessions), next_token: page.next_token })
}

type Filter = Box<dyn Fn(&SessionRecord) -> bool>;

fn filter_of(key: Option<SessionFilterKey>, value: String) -> Result<Filter, ApiError> {
    let refused = |message: String| ApiError::new(&errors::INVALID_FILTER_KEY, message);
    Ok(match key {
        Some(SessionFilterKey::Target) => Box::new(move |record| record.target == value),
        Some(SessionFilterKey::Owner) => Box::new(move |record| record.owner == value),
        Some(SessionFilterKey::SessionId) => Box::new(move |record| record.id == value),
        Some(SessionFilterKey::Status) => Box::new(move |record| record.status.shape().as_str() == value),
        // All are.
        Some(SessionFilterKey::AccessType) => Box::new(move |_| value == "Standard"),
        Some(key @ (SessionFilterKey::InvokedAfter | SessionFilterKey::InvokedBefore)) => {
            let at = OffsetDateTime::parse(&value, &Rfc3339)
                .map_err(|_| refused(format!("{value} is no time.")))?;
            let at = Timestamp::from_millis((at.unix_timestamp_nanos() / 1_000_000) as i64);
            let after = key == SessionFilterKey::InvokedAfter;
            Box::new(move |record| (record.started_at > at) == after)
        }
        None => return Err(refused("The specified filter key isn't valid.".to_owned())),
    })
}

fn shape(scope: &Scope, record: &SessionRecord) -> ssm::Session {
    let of_stream = record
        .log_group
        .as_ref()
        .map(|group| format!("{}#logEventViewer:group={group};stream={}", scope.region, record.id));
    let of_object = record.log_object.as_ref().map(|object| format!("s3://{object}"));
    let output = (of_stream.is_some() || of_object.is_some())
        .then_some(SessionManagerOutputUrl { cloud_watch_output_url: of_stream, s3_output_url: of_object });
    ssm::Session {
        session_id: Some(record.id.clone()),
        target: Some(record.target.clone()),
        status: Some(record.status.shape()),
        start_date: Some(shown(record.started_at)),
        end_date: record.ended_at.map(shown),
        document_name: Some(record.document.clone()),
        owner: Some(record.owner.clone()),
        reason: record.reason.clone(),
        details: record.details.clone(),
        output_url: output,
        max_session_duration: record.longest_minutes.map(|minutes| minutes.to_string()),
        access_type: Some(ssm::AccessType::Standard),
    }
}

pub async fn connection_status(
    call: Call,
    input: GetConnectionStatusRequest,
) -> Result<GetConnectionStatusResponse, ApiError> {
    let target = input.target.unwrap_or_default();
    let reached = Target::parse(&target)
        .and_then(|parsed| call.services.state.read(|view| parsed.reach(view, call.scope())).ok());
    let connected = reached.is_some_and(|reached| {
        agent::authorize(&call, &reached, None).is_ok() && call.services.agents.streams.reaches(&reached.node)
    });
    let status = if connected { ConnectionStatus::Connected } else { ConnectionStatus::Notconnected };
    Ok(GetConnectionStatusResponse { target: Some(target), status: Some(status) })
}

/// Sessions of an earlier process are over: what it held of them is gone.
///
/// # Errors
/// Those of the store.
pub async fn forget_earlier(services: &crate::services::Services) -> Result<(), ApiError> {
    let stale: Vec<(Scope, String)> = services.state.read(|view| {
        let open = view.scan_all::<SessionRecord>().filter(|found| !found.value.status.is_over());
        open.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, id) in stale {
        let details = Some("The control plane was restarted.".to_owned());
        record(services, &scope, &id, SessionStatus::Terminated, details).await;
    }
    Ok(())
}
