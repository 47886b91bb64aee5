//! `longshore audit verify`: whether the audit trail is as it was written.

use std::{
    fs::{File, TryLockError},
    path::Path,
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Context, bail};
use control_plane::{
    AUDIT_KEPT_DAYS,
    audit_chain::{self, KEY_PURPOSE, Key, Verdict},
    secret::InstallationSecret,
};
use vocabulary::Timestamp;

use crate::cli::AuditVerifyArgs;

pub fn verify(args: &AuditVerifyArgs) -> anyhow::Result<ExitCode> {
    let directory = args.data_dir.join("audit");
    if !directory.join("catalog.sqlite").exists() {
        bail!("there is no audit trail in {}", directory.display());
    }
    let path = args.root_key.clone().unwrap_or_else(|| args.data_dir.join("root.key"));
    // Opened, it would be made.
    if !path.exists() {
        bail!("the root key {} is not there", path.display());
    }
    let secret = InstallationSecret::open_file(&path).context("the root key")?;
    let key = Key::new(secret.derive(KEY_PURPOSE));
    let running = is_open(&directory)?;
    let now = Timestamp::from(SystemTime::now());
    let head = args.head.as_deref().map(str::trim);
    let verdict = audit_chain::verify(&directory, &key, head, running, (AUDIT_KEPT_DAYS, now))
        .context("the audit trail cannot be read")?;
    tell(&verdict);
    Ok(if verdict.faults_total == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a platform has the trail open.
fn is_open(directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join("lock");
    let lock = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

fn tell(verdict: &Verdict) {
    for fault in &verdict.faults {
        println!("FAULT  {fault}");
    }
    let told = verdict.faults.len() as u64;
    if verdict.faults_total > told {
        println!("FAULT  and {} more", verdict.faults_total - told);
    }
    let notes = [
        (verdict.before, "events are older than is kept, and the chain says nothing of them any more"),
        (verdict.lost, "events were lost as the platform ended by force; the chain says which"),
        (verdict.under_way, "events are being written"),
    ];
    for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
        println!("{count} {what}");
    }
    let outcome = match verdict.faults_total {
        0 => "The audit trail is as it was written".to_owned(),
        1 if verdict.is_only_not_covered() => "The audit trail is NOT VERIFIED".to_owned(),
        1 => "The audit trail is NOT as it was written: 1 fault".to_owned(),
        many => format!("The audit trail is NOT as it was written: {many} faults"),
    };
    println!("{outcome}; {} events, {} links", verdict.events, verdict.links);
    if !verdict.head.is_empty() {
        println!("head {}", verdict.head);
    }
}
