//! One event of the trail, in CloudTrail's shape. Source: "CloudTrail record contents" and "CloudTrail userIdentity element" of the user
//! guide, record version 1.11.

use std::net::IpAddr;

use serde_json::{Value, json};
use state_store::View;
use vocabulary::{AccountId, Region, Timestamp};

use crate::{
    gateway::Principal,
    services::{
        ec2::records::global,
        iam::{access_keys::AccessKey, names, records::Role},
    },
};

/// What happened, as it was seen at the door.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Timestamp,
    /// `ecs`, before `.amazonaws.com`.
    pub source: &'static str,
    pub api_version: Option<&'static str>,
    pub name: String,
    pub read_only: bool,
    /// Whether it is about resources rather than what is in them.
    pub management: bool,
    /// Whose trail it is in: the caller's account.
    pub account: AccountId,
    pub region: Region,
    pub caller: Caller,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// The service that asked in somebody's role: `ecs.amazonaws.com`.
    pub invoked_by: Option<&'static str>,
    /// The host that the client asked for, and whether it asked over TLS.
    pub host: Option<String>,
    pub tls: bool,
    pub request: Option<Value>,
    pub response: Option<Value>,
    /// Code and message.
    pub error: Option<(String, String)>,
    pub request_id: String,
    pub event_id: String,
}

/// Who asked.
#[derive(Debug, Clone)]
pub enum Caller {
    Known(Principal),
    /// Whoever did not prove to be anybody; the key that was named, if it has the form of one.
    Unknown(Option<String>),
}

impl Entry {
    /// The event's text.
    pub fn record(&self, view: &View) -> String {
        let mut identity = identity(view, &self.caller);
        let mut address =
            self.address.map_or_else(|| "AWS Internal".to_owned(), |address| address.to_string());
        if let Some(service) = self.invoked_by {
            identity["invokedBy"] = json!(service);
            address = service.to_owned();
        }
        let category = if self.management { "Management" } else { "Data" };
        let mut event = json!({
            "eventVersion": "1.11",
            "userIdentity": identity,
            "eventTime": second(self.at),
            "eventSource": format!("{}.amazonaws.com", self.source),
            "eventName": self.name,
            "awsRegion": self.region.as_str(),
            "sourceIPAddress": address,
            "userAgent": self.user_agent.as_deref().unwrap_or(""),
            "requestParameters": self.request,
            "responseElements": self.response,
            "requestID": self.request_id,
            "eventID": self.event_id,
            "readOnly": self.read_only,
            "eventType": "AwsApiCall",
            "managementEvent": self.management,
            "recipientAccountId": self.account.as_str(),
            "eventCategory": category,
        });
        if let Some((code, message)) = &self.error {
            event["errorCode"] = json!(code);
            event["errorMessage"] = json!(message);
        }
        if let Some(version) = self.api_version {
            event["apiVersion"] = json!(version);
        }
        if self.tls {
            event["tlsDetails"] = json!({"clientProvidedHostHeader": self.host});
        }
        event.to_string()
    }
}

fn identity(view: &View, caller: &Caller) -> Value {
    let principal = match caller {
        Caller::Known(principal) => principal,
        Caller::Unknown(key) => return json!({"type": "Unknown", "accessKeyId": key}),
    };
    let account = principal.account.as_str();
    let mut identity = json!({
        "principalId": principal.user_id,
        "arn": principal.arn,
        "accountId": account,
        "accessKeyId": principal.access_key,
    });
    let kind = if principal.arn.ends_with(":root") {
        "Root"
    } else if let Some((_, name)) = principal.arn.split_once(":user/") {
        identity["userName"] = json!(names::last_segment(name));
        if let Some(key) = session(view, principal) {
            identity["sessionContext"] = json!({"attributes": attributes(&key)});
        }
        "IAMUser"
    } else if principal.arn.contains(":assumed-role/") {
        identity["sessionContext"] = role_session(view, principal);
        "AssumedRole"
    } else if principal.arn.contains(":federated-user/") {
        if let Some(key) = session(view, principal) {
            identity["sessionContext"] = json!({"attributes": attributes(&key)});
        }
        "FederatedUser"
    } else {
        "Unknown"
    };
    identity["type"] = json!(kind);
    identity
}

/// The key of temporary credentials, while it is known.
fn session(view: &View, principal: &Principal) -> Option<AccessKey> {
    let key = view.get::<AccessKey>(&global(), &principal.access_key)?;
    key.is_temporary().then(|| AccessKey::clone(&key))
}

fn attributes(key: &AccessKey) -> Value {
    json!({"creationDate": second(key.created_at), "mfaAuthenticated": "false"})
}

/// A session's role, and when the session began.
fn role_session(view: &View, principal: &Principal) -> Value {
    let account = &principal.account;
    let name = principal.arn.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
    let name = name.unwrap_or_default();
    let role = view.get::<Role>(&names::global(account), &names::key(name));
    let arn = role.map_or_else(|| format!("arn:aws:iam::{account}:role/{name}"), |role| role.arn(account));
    let mut context = json!({
        "sessionIssuer": {
            "type": "Role",
            "principalId": principal.user_id.split(':').next(),
            "arn": arn,
            "accountId": account.as_str(),
            "userName": name,
        },
    });
    if let Some(key) = session(view, principal) {
        context["attributes"] = attributes(&key);
        if let Some(source) = &key.session.source_identity {
            context["sourceIdentity"] = json!(source);
        }
    }
    context
}

/// `2026-01-02T03:04:05Z`
pub fn second(at: Timestamp) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'static>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000))
        .ok()
        .and_then(|at| at.format(FORM).ok())
        .unwrap_or_default()
}
