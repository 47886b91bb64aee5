//! An identity token: a JSON Web Token (RFC 7519) with a signature (RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

/// How far the clock of a provider may be ahead of ours.
pub const SKEW_SECONDS: i64 = 300;

/// The claim that has tags of the session.
const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// A token taken apart; nothing of it is verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub algorithm: Algorithm,
    /// Which of the provider's keys signed it.
    pub key_id: Option<String>,
    pub claims: Claims,
    /// What is signed.
    pub signed: String,
    pub signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// `https://HOST/PATH`
    pub issuer: String,
    pub subject: String,
    pub audiences: Vec<String>,
    pub authorized_party: Option<String>,
    /// How the subject was authenticated.
    pub methods: Vec<String>,
    /// Seconds since 1970, as those below.
    pub expires_at: i64,
    pub not_before: Option<i64>,
    /// Of the session that is to begin.
    pub tags: Vec<(String, String)>,
    pub transitive_tags: Vec<String>,
    pub source_identity: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl Token {
    /// # Errors
    /// With what is wrong with it, in the words of STS where they are known.
    pub fn parse(text: &str) -> Result<Token, String> {
        let malformed = || "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed().to_owned());
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed().to_owned());
        let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed().to_owned())?;
        let algorithm = match head.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            "ES256" => Algorithm::Es256,
            "ES384" => Algorithm::Es384,
            other => return Err(format!("Tokens that are signed with {other} are not accepted.")),
        };
        let claims: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| malformed().to_owned())?;
        Ok(Token {
            algorithm,
            key_id: head.kid,
            claims: Claims::of(&claims)?,
            signed: format!("{header}.{payload}"),
            signature: decode(signature)?,
        })
    }
}

impl Claims {
    fn of(json: &Value) -> Result<Claims, String> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let needed = |name: &str| text(name).ok_or_else(|| format!("Missing a required claim: {name}"));
        let seconds = |name: &str| json[name].as_f64().map(|seconds| seconds as i64);
        let expires_at = seconds("exp").ok_or("Missing a required claim: exp")?;
        seconds("iat").ok_or("Missing a required claim: iat")?;
        let tags = json[TAGS]["principal_tags"].as_object().into_iter().flatten();
        let tags = tags.filter_map(|(name, value)| {
            // A list of one, as the published form has it, or the value alone.
            let value = value.as_str().or_else(|| value[0].as_str())?;
            Some((name.clone(), value.to_owned()))
        });
        Ok(Claims {
            issuer: needed("iss")?,
            subject: needed("sub")?,
            audiences: texts(&json["aud"]),
            authorized_party: text("azp"),
            methods: texts(&json["amr"]),
            expires_at,
            not_before: seconds("nbf"),
            tags: tags.collect(),
            transitive_tags: texts(&json[TAGS]["transitive_tag_keys"]),
            source_identity: text(SOURCE_IDENTITY),
        })
    }

    /// The first audience that a provider knows as a client of its own.
    pub fn audience_among(&self, clients: &[String]) -> Option<&str> {
        self.audiences.iter().find(|audience| clients.contains(audience)).map(String::as_str)
    }
}

fn texts(json: &Value) -> Vec<String> {
    match json {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}
