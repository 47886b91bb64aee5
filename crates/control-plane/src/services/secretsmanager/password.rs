//! GetRandomPassword.

use aws_shapes_secretsmanager::{GetRandomPasswordRequest, GetRandomPasswordResponse};
use vocabulary::Ids;

use super::errors::{invalid_parameter, invalid_request};
use crate::gateway::{ApiError, Call};

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

const DEFAULT_LENGTH: usize = 32;

pub async fn get(call: Call, input: GetRandomPasswordRequest) -> Result<GetRandomPasswordResponse, ApiError> {
    let password = make(&input, &mut call.services.ids())?;
    Ok(GetRandomPasswordResponse { random_password: Some(password) })
}

/// A password of the wanted kind.
///
/// # Errors
/// `InvalidParameterException`, `InvalidRequestException`.
fn make(input: &GetRandomPasswordRequest, ids: &mut impl Ids) -> Result<String, ApiError> {
    let excluded = input.exclude_characters.as_deref().unwrap_or_default();
    let wanted = [
        (LOWER, input.exclude_lowercase != Some(true)),
        (UPPER, input.exclude_uppercase != Some(true)),
        (DIGITS, input.exclude_numbers != Some(true)),
        (PUNCTUATION, input.exclude_punctuation != Some(true)),
        (" ", input.include_space == Some(true)),
    ];
    let of = |(kind, wanted): &(&str, bool)| -> Option<Vec<char>> {
        wanted.then(|| kind.chars().filter(|character| !excluded.contains(*character)).collect())
    };
    let kinds: Vec<Vec<char>> = wanted.iter().filter_map(of).collect();
    let all: Vec<char> = kinds.iter().flatten().copied().collect();
    if all.is_empty() {
        return Err(invalid_request("No characters are left to make a password of."));
    }
    let length = match input.password_length {
        None => DEFAULT_LENGTH,
        Some(length) => usize::try_from(length)
            .ok()
            .filter(|length| (1..=4096).contains(length))
            .ok_or_else(|| invalid_parameter("The password length must be between 1 and 4096."))?,
    };
    let mut password = Vec::with_capacity(length);
    if input.require_each_included_type != Some(false) {
        if kinds.iter().any(Vec::is_empty) {
            return Err(invalid_request("Every included type of characters needs one that is not excluded."));
        }
        if length < kinds.len() {
            return Err(invalid_parameter(format!(
                "Password length {length} is too short based on the required types."
            )));
        }
        password.extend(kinds.iter().map(|kind| kind[below(ids, kind.len())]));
    }
    while password.len() < length {
        password.push(all[below(ids, all.len())]);
    }
    // So that the required ones are anywhere.
    for at in (1..password.len()).rev() {
        password.swap(at, below(ids, at + 1));
    }
    Ok(password.into_iter().collect())
}

/// A number below `limit`, each as likely as the others.
fn below(ids: &mut impl Ids, limit: usize) -> usize {
    let limit = limit as u32;
    // What lies beyond the last whole multiple would favour the small ones.
    let fair = u32::MAX - u32::MAX % limit;
    loop {
        let mut bytes = [0; 4];
        ids.fill(&mut bytes);
        let number = u32::from_le_bytes(bytes);
        if number < fair {
            return (number % limit) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::SeededIds;

    use super::*;

    #[test]
    fn a_password_has_every_kind_that_is_wanted_and_nothing_that_is_not() {
        let ids = &mut SeededIds::new(1);
        for _ in 0..100 {
            let password = make(&GetRandomPasswordRequest::default(), ids).unwrap();
            assert_eq!(password.chars().count(), 32);
            for kind in [LOWER, UPPER, DIGITS, PUNCTUATION] {
                assert!(password.chars().any(|character| kind.contains(character)), "{password}");
            }
            assert!(!password.contains(' '));
        }
        let input = GetRandomPasswordRequest {
            exclude_characters: Some("xyz".to_owned()),
            exclude_uppercase: Some(true),
            exclude_punctuation: Some(true),
            exclude_numbers: Some(true),
            password_length: Some(4096),
            ..Default::default()
        };
        let password = make(&input, ids).unwrap();
        assert_eq!(password.len(), 4096);
        assert!(password.chars().all(|character| LOWER[..23].contains(character)), "{password}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let ids = &mut SeededIds::new(1);
        let short = GetRandomPasswordRequest { password_length: Some(3), ..Default::default() };
        assert_eq!(make(&short, ids).unwrap_err().code, "InvalidParameterException");
        let loose = GetRandomPasswordRequest { require_each_included_type: Some(false), ..short };
        assert_eq!(make(&loose, ids).unwrap().len(), 3);
        let nothing = GetRandomPasswordRequest {
            exclude_characters: Some(format!("{LOWER}{UPPER}{DIGITS}{PUNCTUATION}")),
            ..Default::default()
        };
        assert_eq!(make(&nothing, ids).unwrap_err().code, "InvalidRequestException");
    }
}
