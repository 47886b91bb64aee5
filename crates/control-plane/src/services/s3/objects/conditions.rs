//! Conditions on reading: entity tag and time of an object against what the client has.

use aws_schema::Timestamp as ShapeTime;

use crate::{
    gateway::ApiError,
    services::s3::{checks::names_etag, errors, records::Object},
};

/// What a reader makes its reading depend on.
#[derive(Debug, Clone, Default)]
pub struct Reading<'a> {
    pub if_match: Option<&'a str>,
    pub if_none_match: Option<&'a str>,
    pub if_modified_since: Option<ShapeTime>,
    pub if_unmodified_since: Option<ShapeTime>,
}

/// Whether the reader gets the object (RFC 9110 §13.2.2).
///
/// # Errors
/// `PreconditionFailed`; `NotModified`, status 304.
pub fn check(reading: &Reading<'_>, object: &Object) -> Result<(), ApiError> {
    // Times in headers have whole seconds.
    let modified = object.modified_at.as_millis().div_euclid(1000);
    let seconds = |time: ShapeTime| time.as_millis().div_euclid(1000);
    match (reading.if_match, reading.if_unmodified_since) {
        (Some(condition), _) if !names_etag(condition, &object.etag) => {
            return Err(errors::precondition_failed());
        }
        (None, Some(time)) if modified > seconds(time) => return Err(errors::precondition_failed()),
        _ => {}
    }
    match (reading.if_none_match, reading.if_modified_since) {
        (Some(condition), _) if names_etag(condition, &object.etag) => Err(errors::not_modified()),
        (None, Some(time)) if modified <= seconds(time) => Err(errors::not_modified()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use aws_schema::Timestamp as ShapeTime;
    use vocabulary::Timestamp;

    use super::{Reading, check};
    use crate::services::s3::{
        digests::{Algorithm, Checksum, Extent},
        records::Object,
    };

    fn outcome(reading: &Reading<'_>) -> u16 {
        let object = Object {
            length: 0,
            pieces: Vec::new(),
            in_parts: false,
            etag: "abc".to_owned(),
            checksum: Checksum { algorithm: Algorithm::Crc32, extent: Extent::Full, value: String::new() },
            modified_at: Timestamp::from_millis(10_500),
            description: Default::default(),
            tags: Default::default(),
        };
        check(reading, &object).map_or_else(|error| error.status, |()| 200)
    }

    #[test]
    fn each_condition_and_which_goes_before_which() {
        let at = |seconds: i64| Some(ShapeTime::from_millis(seconds * 1000));
        let none = Reading::default();
        for (reading, status) in [
            (none.clone(), 200),
            (Reading { if_match: Some("\"abc\""), ..none.clone() }, 200),
            (Reading { if_match: Some("\"x\", \"abc\""), ..none.clone() }, 200),
            (Reading { if_match: Some("x"), ..none.clone() }, 412),
            (Reading { if_none_match: Some("*"), ..none.clone() }, 304),
            (Reading { if_none_match: Some("W/\"abc\""), ..none.clone() }, 304),
            (Reading { if_none_match: Some("x"), ..none.clone() }, 200),
            (Reading { if_modified_since: at(10), ..none.clone() }, 304),
            (Reading { if_modified_since: at(9), ..none.clone() }, 200),
            (Reading { if_unmodified_since: at(10), ..none.clone() }, 200),
            (Reading { if_unmodified_since: at(9), ..none.clone() }, 412),
            // An entity tag says more than a time.
            (Reading { if_match: Some("abc"), if_unmodified_since: at(9), ..none.clone() }, 200),
            (Reading { if_none_match: Some("x"), if_modified_since: at(11), ..none }, 200),
        ] {
            assert_eq!(outcome(&reading), status, "{reading:?}");
        }
    }
}
