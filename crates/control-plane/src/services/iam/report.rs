//! The credential report: every user of the account and the state of their credentials, as a table.
//!
//! It is made when it is fetched, of what there is then; GenerateCredentialReport only opens the four hours within which it can be. Columns and
//! their words are those of "Getting credential reports" of the IAM user guide.

use std::{fmt::Write, time::Duration};

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{GenerateCredentialReportResponse, GetCredentialReportResponse, errors as declared};
use state_store::View;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::{Scope, Timestamp};

use super::{
    access_keys::AccessKey,
    names,
    records::{Account, LastUse, User},
    users,
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

const KEPT: Duration = Duration::from_secs(4 * 60 * 60);

const COLUMNS: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,\
    access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
    access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
    cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

pub async fn generate(call: Call, _: Unit) -> Result<GenerateCredentialReportResponse, ApiError> {
    let scope = names::of(&call);
    call.services
        .state
        .transact(|tx| {
            let account = tx.get::<Account>(&scope, Account::ID);
            let account = account.map(|account| (*account).clone()).unwrap_or_default();
            tx.put(&scope, Account::ID, Account { report_asked_at: Some(call.now()), ..account });
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(GenerateCredentialReportResponse {
        state: Some(iam::ReportStateType::Complete),
        description: Some("The report is made when it is fetched.".to_owned()),
    })
}

pub async fn get(call: Call, _: Unit) -> Result<GetCredentialReportResponse, ApiError> {
    let (scope, view) = (names::of(&call), call.services.state.view());
    let asked_at = view.get::<Account>(&scope, Account::ID).and_then(|account| account.report_asked_at);
    match asked_at.map(|at| call.now().since(at)) {
        Some(age) if age < KEPT => {}
        Some(_) => {
            let message = "The credential report has expired; generate it anew.";
            return Err(ApiError::new(&declared::CREDENTIAL_REPORT_EXPIRED_EXCEPTION, message));
        }
        None => {
            let message = "There is no credential report; generate one first.";
            return Err(ApiError::new(&declared::CREDENTIAL_REPORT_NOT_PRESENT_EXCEPTION, message));
        }
    }
    Ok(GetCredentialReportResponse {
        content: Some(table(&view, &scope).into_bytes()),
        report_format: Some(iam::ReportFormatType::TextCsv),
        generated_time: Some(names::time(call.now())),
    })
}

/// One row for the root and each user. No text in it can have a comma or a quotation mark.
fn table(view: &View, scope: &Scope) -> String {
    let account = &scope.account;
    let mut table = COLUMNS.to_owned();
    let root = keys(view, account.as_str());
    write!(
        table,
        "\n<root_account>,arn:aws:iam::{account}:root,not_supported,not_supported,not_supported,not_supported,not_supported,false,{root},false,N/A,false,N/A"
    )
    .expect("writing to a string");
    let max_age = view
        .get::<Account>(scope, Account::ID)
        .and_then(|account| account.password_policy.as_ref().and_then(|policy| policy.max_age_days));
    for (_, user) in view.scan::<User>(scope) {
        let (enabled, changed, rotation) = match &user.login {
            None => (false, "N/A".to_owned(), "N/A".to_owned()),
            Some(login) => {
                let next = max_age.map(|days| {
                    time(
                        login.created_at + Duration::from_secs(u64::from(days.unsigned_abs()) * 24 * 60 * 60),
                    )
                });
                (true, time(login.created_at), next.unwrap_or_else(|| "not_supported".to_owned()))
            }
        };
        // There is no place to sign in with a password.
        let used = if enabled { "no_information" } else { "N/A" };
        write!(
            table,
            "\n{},{},{},{enabled},{used},{changed},{rotation},false,{},false,N/A,false,N/A",
            user.name,
            users::arn(account, &user),
            time(user.created_at),
            keys(view, &user.id)
        )
        .expect("writing to a string");
    }
    table
}

/// The columns of the two access keys that a user or the root may have, the older first.
fn keys(view: &View, owner: &str) -> String {
    let mut keys: Vec<_> = view
        .by_index::<AccessKey>(&global(), "owner", owner)
        .filter(|(_, key)| !key.is_temporary())
        .collect();
    keys.sort_by_key(|(_, key)| key.created_at);
    let columns = (0..2).map(|number| match keys.get(number) {
        None => "false,N/A,N/A,N/A,N/A".to_owned(),
        Some((id, key)) => {
            let used = match view.get::<LastUse>(&global(), id) {
                Some(last) => format!("{},{},{}", time(last.at), last.region, last.service),
                None => "N/A,N/A,N/A".to_owned(),
            };
            format!("{},{},{used}", key.active, time(key.created_at))
        }
    });
    columns.collect::<Vec<_>>().join(",")
}

fn time(time: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp(time.as_millis().div_euclid(1000));
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
