//! What a certificate says of itself. Source: RFC 5280.
//!
//! Nothing is verified here: whether a key belongs to it and whether a chain leads on is for the TLS library to say.

use serde::{Deserialize, Serialize};
use time::{Date, Month, PrimitiveDateTime, Time};
use vocabulary::Timestamp;

use super::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, Malformed, OBJECT_IDENTIFIER, OCTET_STRING, Reader,
    SEQUENCE, SET, UTC_TIME, bits, object_identifier,
};

/// What ACM shows of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Hexadecimal bytes with colons between.
    pub serial: String,
    /// Short names and values, in the certificate's order: `("CN", "example.com")`.
    pub subject: Vec<(String, String)>,
    pub issuer: Vec<(String, String)>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The DNS names among the alternative names.
    pub names: Vec<String>,
    /// As ACM names it: `RSA_2048`; none for kinds that it does not have.
    pub key_algorithm: Option<String>,
    /// `SHA256WITHRSA`
    pub signature_algorithm: String,
    /// As ACM names them.
    pub key_usages: Vec<String>,
    /// ACM's name and the object identifier.
    pub extended_key_usages: Vec<(String, String)>,
}

impl Facts {
    /// The name that the certificate is listed by.
    pub fn domain_name(&self) -> Option<&str> {
        let common = self.subject.iter().find(|(name, _)| name == "CN").map(|(_, value)| value.as_str());
        common.or_else(|| self.names.first().map(String::as_str))
    }
}

const NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
];

const SIGNATURES: [(&str, &str); 8] = [
    ("1.2.840.113549.1.1.5", "SHA1WITHRSA"),
    ("1.2.840.113549.1.1.11", "SHA256WITHRSA"),
    ("1.2.840.113549.1.1.12", "SHA384WITHRSA"),
    ("1.2.840.113549.1.1.13", "SHA512WITHRSA"),
    ("1.2.840.10045.4.3.2", "SHA256WITHECDSA"),
    ("1.2.840.10045.4.3.3", "SHA384WITHECDSA"),
    ("1.2.840.10045.4.3.4", "SHA512WITHECDSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
];

const USAGES: [&str; 9] = [
    "DIGITAL_SIGNATURE",
    "NON_REPUDIATION",
    "KEY_ENCIPHERMENT",
    "DATA_ENCIPHERMENT",
    "KEY_AGREEMENT",
    "CERTIFICATE_SIGNING",
    "CRL_SIGNING",
    "ENCIPHER_ONLY",
    "DECIPHER_ONLY",
];

const EXTENDED_USAGES: [(&str, &str); 7] = [
    ("1.3.6.1.5.5.7.3.1", "TLS_WEB_SERVER_AUTHENTICATION"),
    ("1.3.6.1.5.5.7.3.2", "TLS_WEB_CLIENT_AUTHENTICATION"),
    ("1.3.6.1.5.5.7.3.3", "CODE_SIGNING"),
    ("1.3.6.1.5.5.7.3.4", "EMAIL_PROTECTION"),
    ("1.3.6.1.5.5.7.3.8", "TIME_STAMPING"),
    ("1.3.6.1.5.5.7.3.9", "OCSP_SIGNING"),
    ("2.5.29.37.0", "ANY"),
];

fn named(table: &[(&str, &'static str)], oid: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

/// Reads a certificate in DER.
///
/// # Errors
/// [`Malformed`].
pub fn read(der: &[u8]) -> Result<Facts, Malformed> {
    let mut certificate = Reader::new(der).within(SEQUENCE)?;
    let mut signed = certificate.within(SEQUENCE)?;
    let signature = object_identifier(certificate.within(SEQUENCE)?.expect(OBJECT_IDENTIFIER)?)?;
    let version =
        signed.optional(0xa0)?.map_or(Ok(&[0_u8][..]), |content| Reader::new(content).expect(INTEGER))?;
    // Counted from zero; those before have no extensions, and clients that look for names refuse them.
    if version != [2] {
        return Err(Malformed);
    }
    let serial = match signed.expect(INTEGER)? {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    };
    signed.expect(SEQUENCE)?;
    let issuer = name(signed.within(SEQUENCE)?)?;
    let mut validity = signed.within(SEQUENCE)?;
    let (not_before, not_after) = (moment(validity.any()?)?, moment(validity.any()?)?);
    let subject = name(signed.within(SEQUENCE)?)?;
    let key_algorithm = key_algorithm(signed.within(SEQUENCE)?)?;
    signed.optional(0x81)?;
    signed.optional(0x82)?;
    let mut facts = Facts {
        serial: serial.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
        subject,
        issuer,
        not_before,
        not_after,
        names: Vec::new(),
        key_algorithm,
        signature_algorithm: named(&SIGNATURES, &signature).map_or(signature.clone(), str::to_owned),
        key_usages: Vec::new(),
        extended_key_usages: Vec::new(),
    };
    if let Some(extensions) = signed.optional(0xa3)? {
        let mut extensions = Reader::new(extensions).within(SEQUENCE)?;
        while !extensions.is_empty() {
            extension(&mut facts, extensions.within(SEQUENCE)?)?;
        }
    }
    Ok(facts)
}

fn extension(facts: &mut Facts, mut extension: Reader<'_>) -> Result<(), Malformed> {
    let oid = object_identifier(extension.expect(OBJECT_IDENTIFIER)?)?;
    extension.optional(BOOLEAN)?;
    let mut value = Reader::new(extension.expect(OCTET_STRING)?);
    match oid.as_str() {
        "2.5.29.15" => {
            let set = bits(value.expect(BIT_STRING)?)?;
            let is_set = |bit: usize| set.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
            let usages = USAGES.iter().enumerate().filter(|(bit, _)| is_set(*bit));
            facts.key_usages = usages.map(|(_, name)| (*name).to_owned()).collect();
        }
        "2.5.29.37" => {
            let mut usages = value.within(SEQUENCE)?;
            while !usages.is_empty() {
                let oid = object_identifier(usages.expect(OBJECT_IDENTIFIER)?)?;
                let name = named(&EXTENDED_USAGES, &oid).unwrap_or("CUSTOM").to_owned();
                facts.extended_key_usages.push((name, oid));
            }
        }
        "2.5.29.17" => {
            let mut names = value.within(SEQUENCE)?;
            while !names.is_empty() {
                // dNSName; the other kinds are no names of hosts.
                if let (0x82, name) = names.any()? {
                    facts.names.push(std::str::from_utf8(name).map_err(|_| Malformed)?.to_owned());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn name(mut sequence: Reader<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let mut parts = Vec::new();
    while !sequence.is_empty() {
        let mut set = sequence.within(SET)?;
        while !set.is_empty() {
            let mut part = set.within(SEQUENCE)?;
            let oid = object_identifier(part.expect(OBJECT_IDENTIFIER)?)?;
            let (_, value) = part.any()?;
            let short = named(&NAMES, &oid).map_or_else(|| oid.clone(), str::to_owned);
            parts.push((short, String::from_utf8_lossy(value).into_owned()));
        }
    }
    Ok(parts)
}

fn key_algorithm(mut info: Reader<'_>) -> Result<Option<String>, Malformed> {
    let mut algorithm = info.within(SEQUENCE)?;
    let oid = object_identifier(algorithm.expect(OBJECT_IDENTIFIER)?)?;
    let key = bits(info.expect(BIT_STRING)?)?;
    Ok(match oid.as_str() {
        "1.2.840.113549.1.1.1" => {
            let modulus = Reader::new(key).within(SEQUENCE)?.expect(INTEGER)?;
            let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
            Some(format!("RSA_{}", significant * 8))
        }
        "1.2.840.10045.2.1" => {
            let curve = object_identifier(algorithm.expect(OBJECT_IDENTIFIER)?)?;
            let curves = [
                ("1.2.840.10045.3.1.7", "EC_prime256v1"),
                ("1.3.132.0.34", "EC_secp384r1"),
                ("1.3.132.0.35", "EC_secp521r1"),
            ];
            named(&curves, &curve).map(str::to_owned)
        }
        _ => None,
    })
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment((tag, content): (u8, &[u8])) -> Result<Timestamp, Malformed> {
    let text = std::str::from_utf8(content).map_err(|_| Malformed)?;
    let digits = text.strip_suffix('Z').ok_or(Malformed)?;
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u8>().ok());
    let (year, rest) = match tag {
        UTC_TIME => {
            let short = i32::from(number(0, 2).ok_or(Malformed)?);
            (if short < 50 { 2000 + short } else { 1900 + short }, 2)
        }
        GENERALIZED_TIME => {
            let (century, short) = number(0, 2).zip(number(2, 4)).ok_or(Malformed)?;
            (i32::from(century) * 100 + i32::from(short), 4)
        }
        _ => return Err(Malformed),
    };
    let part = |index: usize| number(rest + 2 * index, rest + 2 * index + 2).ok_or(Malformed);
    let month = Month::try_from(part(0)?).map_err(|_| Malformed)?;
    let date = Date::from_calendar_date(year, month, part(1)?).map_err(|_| Malformed)?;
    let clock = Time::from_hms(part(2)?, part(3)?, part(4)?).map_err(|_| Malformed)?;
    let seconds = PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp();
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
