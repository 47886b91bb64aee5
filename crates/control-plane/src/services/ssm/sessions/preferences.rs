//! An account's preferences for sessions: the content of its document `SSM-SessionManagerRunShell`.
//!
//! What of it is acted on: idle timeout, longest duration, the log group, the bucket, the key of KMS's, the shell profile for Linux. Encrypted log groups
//! are not there: a document that asks for them is refused when it is written ([`parse`]). `runAsEnabled` and `runAsDefaultUser` are about managed nodes:
//! in a container everything runs as root, as on AWS.

use std::time::Duration;

use serde_json::Value;

use super::{
    plan::{BucketLog, LogTo},
    words,
};

/// The program of a session that names none.
const SHELL: &str = "sh";

#[derive(Debug, Clone, PartialEq)]
pub struct Preferences {
    /// As the platform has it when not given.
    pub idle_timeout: Option<Duration>,
    pub longest: Option<Duration>,
    pub log: Option<LogTo>,
    pub key: Option<String>,
    shell: String,
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences { idle_timeout: None, longest: None, log: None, key: None, shell: SHELL.to_owned() }
    }
}

impl Preferences {
    /// The command line of a session's shell.
    pub fn shell(&self) -> &str {
        &self.shell
    }
}

/// Reads a document's content, JSON of schema version 1.0.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn parse(content: &str) -> Result<Preferences, String> {
    let content: Value = serde_json::from_str(content).map_err(|error| format!("it is no JSON: {error}"))?;
    if content["schemaVersion"] != "1.0" {
        return Err("its schemaVersion is not 1.0".to_owned());
    }
    if content["sessionType"] != "Standard_Stream" {
        return Err("its sessionType is not Standard_Stream".to_owned());
    }
    let inputs = &content["inputs"];
    if !inputs.is_null() && !inputs.is_object() {
        return Err("its inputs are no object".to_owned());
    }
    let text = |name: &str| match &inputs[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(format!("its input {name} is no text")),
    };
    let is = |name: &str| match &inputs[name] {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(*value),
        _ => Err(format!("its input {name} is not true or false")),
    };
    let minutes = |name: &str, most: u64| {
        let given = text(name)?;
        match given.parse::<u64>() {
            _ if given.is_empty() => Ok(None),
            Ok(minutes) if (1..=most).contains(&minutes) => Ok(Some(Duration::from_secs(60 * minutes))),
            _ => Err(format!("its input {name} is not a number of minutes from 1 to {most}")),
        }
    };
    let filled = |name: &str| Ok::<_, String>(Some(text(name)?).filter(|text| !text.is_empty()));
    let group = filled("cloudWatchLogGroupName")?;
    if is("cloudWatchEncryptionEnabled")? && group.is_some() {
        return Err("encrypted log groups (cloudWatchEncryptionEnabled) are not implemented".to_owned());
    }
    // Read for their form alone.
    is("runAsEnabled")?;
    text("runAsDefaultUser")?;
    is("cloudWatchStreamingEnabled")?;
    let (prefix, encrypted) = (filled("s3KeyPrefix")?, is("s3EncryptionEnabled")?);
    let bucket = filled("s3BucketName")?.map(|name| BucketLog { name, prefix, encrypted });
    let log = LogTo::of(group, bucket);
    let shell = match &inputs["shellProfile"]["linux"] {
        Value::Null => String::new(),
        Value::String(profile) => profile.clone(),
        _ => return Err("its shellProfile for linux is no text".to_owned()),
    };
    // The profile is typed into the shell; here it is what the shell begins with.
    let shell = match shell.trim() {
        "" => SHELL.to_owned(),
        profile => words::join(&["sh".to_owned(), "-c".to_owned(), format!("{profile}\nexec sh")]),
    };
    Ok(Preferences {
        idle_timeout: minutes("idleSessionTimeout", 60)?,
        longest: minutes("maxSessionDuration", 1440)?,
        log,
        key: filled("kmsKeyId")?,
        shell,
    })
}
