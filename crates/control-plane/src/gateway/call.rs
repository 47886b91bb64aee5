//! What a handler knows about the call it answers, beside the input.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use vocabulary::{AccountId, Scope, Timestamp};

use crate::services::Services;

/// One API call: who asks, where, when; and the services that may answer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call {
    pub services: Arc<Services>,
    pub context: Arc<Context>,
}

/// The circumstances of a call.
#[derive(Debug)]
pub struct Context {
    /// The account and the region that are addressed.
    pub scope: Scope,
    pub principal: Principal,
    /// A fresh UUID, also given to the client.
    pub request_id: String,
    /// When the call came in; every decision of its handler uses this time.
    pub now: Timestamp,
    /// `host:port` as the client wrote it, for answers that name an address the client can reach.
    pub host: String,
    pub origin: Origin,
}

/// Where a request came from, as far as it bears on whether it is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// None where no socket is behind the call.
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// Who signed the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub account: AccountId,
    /// `arn:aws:iam::ACCOUNT:root`, `…:user/NAME` or `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The unique id: the account for its root, `AIDA…` for a user, `AROA…:SESSION` for a role session.
    pub user_id: String,
    pub access_key: String,
}

impl Principal {
    /// The account itself.
    pub fn root(account: &AccountId, access_key: &str) -> Principal {
        Principal {
            account: account.clone(),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            access_key: access_key.to_owned(),
        }
    }
}

impl Principal {
    /// Who has not signed: nobody's account, and no policy but those of resources.
    pub fn nobody() -> Principal {
        Principal {
            account: AccountId::local(),
            arn: "anonymous".to_owned(),
            user_id: "anonymous".to_owned(),
            access_key: String::new(),
        }
    }

    pub fn is_nobody(&self) -> bool {
        self.arn == "anonymous"
    }
}

impl Call {
    pub fn scope(&self) -> &Scope {
        &self.context.scope
    }

    pub fn now(&self) -> Timestamp {
        self.context.now
    }
}

impl Deref for Call {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}
