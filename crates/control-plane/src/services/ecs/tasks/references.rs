//! What the definition of a container names that is to be got for it. Pure: texts in, places out.
//!
//! Source: "Pass sensitive data to an Amazon ECS container" of the developer guide.

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:JSON-KEY:VERSION-STAGE:VERSION-ID]`
    Secret { arn: String, json_key: Option<String>, stage: Option<String>, version: Option<String> },
    /// A name, or an ARN.
    Parameter(String),
}

/// Parts of the ARN of a secret.
const SECRET_PARTS: usize = 7;

impl Source {
    /// Of a `valueFrom`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Source, String> {
        if !text.starts_with("arn:") {
            return Ok(Source::Parameter(text.to_owned()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        match parts.get(2).copied() {
            Some("ssm") => Ok(Source::Parameter(text.to_owned())),
            Some("secretsmanager") if parts.len() == SECRET_PARTS || parts.len() == SECRET_PARTS + 3 => {
                let given = |place: usize| {
                    parts.get(place).filter(|part| !part.is_empty()).map(|part| (*part).to_owned())
                };
                Ok(Source::Secret {
                    arn: parts[..SECRET_PARTS].join(":"),
                    json_key: given(SECRET_PARTS),
                    stage: given(SECRET_PARTS + 1),
                    version: given(SECRET_PARTS + 2),
                })
            }
            Some("secretsmanager") => Err(format!(
                "unexpected ARN format with parameters when trying to retrieve ASM secret: {text}"
            )),
            _ => Err(format!("invalid ARN of a secret: {text}")),
        }
    }
}

/// A member of a secret that is a JSON object.
///
/// # Errors
/// What is wrong with the secret; without anything of its value.
pub fn json_member(value: &str, key: &str) -> Result<String, String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value)
        .map_err(|_| "the value of the secret is no JSON object, and a JSON key is asked for".to_owned())?;
    match object.get(key) {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
        None => Err(format!("retrieved secret from Secrets Manager did not contain json key {key}")),
    }
}

/// Bucket and key of `arn:aws:s3:::BUCKET/KEY`.
pub fn s3_object(arn: &str) -> Option<(&str, &str)> {
    let (bucket, key) = arn.strip_prefix("arn:aws:s3:::")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf";

    #[test]
    fn a_secret_may_name_a_key_a_stage_and_a_version() {
        let secret = |json_key: Option<&str>, stage: Option<&str>, version: Option<&str>| Source::Secret {
            arn: SECRET.to_owned(),
            json_key: json_key.map(str::to_owned),
            stage: stage.map(str::to_owned),
            version: version.map(str::to_owned),
        };
        for (ending, expected) in [
            ("", secret(None, None, None)),
            (":::", secret(None, None, None)),
            (":password::", secret(Some("password"), None, None)),
            ("::AWSPREVIOUS:", secret(None, Some("AWSPREVIOUS"), None)),
            (
                ":password:AWSPREVIOUS:9d4cb84b",
                secret(Some("password"), Some("AWSPREVIOUS"), Some("9d4cb84b")),
            ),
        ] {
            assert_eq!(Source::parse(&format!("{SECRET}{ending}")), Ok(expected), "{ending}");
        }
        assert!(Source::parse(&format!("{SECRET}:password")).unwrap_err().contains("unexpected ARN format"));
        assert!(Source::parse("arn:aws:s3:::bucket/key").is_err());
    }

    #[test]
    fn everything_else_is_a_parameter() {
        for text in ["name", "/path/name", "arn:aws:ssm:eu-west-1:111122223333:parameter/path/name"] {
            assert_eq!(Source::parse(text), Ok(Source::Parameter(text.to_owned())));
        }
    }

    #[test]
    fn members_are_texts_and_what_is_none_is_written_as_json() {
        let value = r#"{"user":"ann","port":5432,"tls":true}"#;
        for (key, expected) in [("user", "ann"), ("port", "5432"), ("tls", "true")] {
            assert_eq!(json_member(value, key).unwrap(), expected);
        }
        assert!(json_member(value, "none").unwrap_err().ends_with("did not contain json key none"));
        assert!(!json_member("hunter2", "user").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn objects_have_a_bucket_and_a_key() {
        assert_eq!(s3_object("arn:aws:s3:::b/a/b.env"), Some(("b", "a/b.env")));
        for wrong in ["s3://b/k", "arn:aws:s3:::b", "arn:aws:s3:::b/", "arn:aws:s3:::/k"] {
            assert_eq!(s3_object(wrong), None, "{wrong}");
        }
    }
}
