//! Passwords of users. Of a password only a salted, stretched digest is kept.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    ChangePasswordRequest, CreateLoginProfileRequest, CreateLoginProfileResponse, DeleteLoginProfileRequest,
    GetLoginProfileRequest, GetLoginProfileResponse, UpdateLoginProfileRequest,
    errors::{INVALID_USER_TYPE_EXCEPTION, PASSWORD_POLICY_VIOLATION_EXCEPTION},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use vocabulary::Ids;

use super::{
    errors,
    names::{self, time},
    records::{self, Account, Login, PasswordPolicy, User},
    users,
};
use crate::gateway::{ApiError, Call};

/// Rounds of PBKDF2: a guess costs tens of milliseconds.
const ROUNDS: usize = 50_000;

/// What AWS asks of passwords where the account has no policy.
fn default_policy() -> PasswordPolicy {
    PasswordPolicy {
        minimum_length: 8,
        symbols: false,
        numbers: false,
        uppercase: false,
        lowercase: false,
        users_may_change: false,
        max_age_days: None,
        reuse_prevention: None,
        hard_expiry: None,
    }
}

fn check(password: &str, policy: &PasswordPolicy) -> Result<(), ApiError> {
    let has = |kind: fn(&u8) -> bool| password.bytes().any(|byte| kind(&byte));
    let length = usize::try_from(policy.minimum_length).unwrap_or(0);
    let rule = if password.chars().count() < length {
        Some(format!("Password should have a minimum length of {length}"))
    } else if policy.uppercase && !has(u8::is_ascii_uppercase) {
        Some("Password should have at least one uppercase letter".to_owned())
    } else if policy.lowercase && !has(u8::is_ascii_lowercase) {
        Some("Password should have at least one lowercase letter".to_owned())
    } else if policy.numbers && !has(u8::is_ascii_digit) {
        Some("Password should have at least one number".to_owned())
    } else if policy.symbols && !has(u8::is_ascii_punctuation) {
        Some("Password should have at least one symbol".to_owned())
    } else {
        None
    };
    rule.map_or(Ok(()), |rule| Err(ApiError::new(&PASSWORD_POLICY_VIOLATION_EXCEPTION, rule)))
}

/// PBKDF2 with HMAC-SHA256 (RFC 8018), one block.
fn digest(password: &str, salt: &str) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(password.as_bytes()).expect("HMAC takes a key of any length");
    let mac = |input: &[u8]| -> [u8; 32] {
        let mut mac = keyed.clone();
        mac.update(input);
        mac.finalize().into_bytes().into()
    };
    let mut first = salt.as_bytes().to_vec();
    first.extend_from_slice(&1_u32.to_be_bytes());
    let mut round = mac(&first);
    let mut sum = round;
    for _ in 1..ROUNDS {
        round = mac(&round);
        for (sum, byte) in sum.iter_mut().zip(round) {
            *sum ^= byte;
        }
    }
    hex::encode(sum)
}

/// Away from the threads that answer other requests.
async fn stretched(call: &Call, password: String) -> Result<(String, String), ApiError> {
    let salt = call.services.ids().hex(32);
    let work = move || (digest(&password, &salt), salt);
    let (digest, salt) = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    Ok((salt, digest))
}

fn policy(call: &Call) -> PasswordPolicy {
    let account = call.services.state.read(|view| view.get::<Account>(&names::of(call), Account::ID));
    account.and_then(|account| account.password_policy.clone()).unwrap_or_else(default_policy)
}

fn missing(name: &str) -> ApiError {
    errors::no_such_entity(format!("Login Profile for User {name} cannot be found."))
}

fn exists(name: &str) -> ApiError {
    errors::already_exists(format!("Login Profile for user {name} already exists."))
}

fn shape(name: String, login: &Login) -> iam::LoginProfile {
    iam::LoginProfile {
        user_name: Some(name),
        create_date: Some(time(login.created_at)),
        password_reset_required: Some(login.reset_required),
    }
}

pub async fn create(
    call: Call,
    input: CreateLoginProfileRequest,
) -> Result<CreateLoginProfileResponse, ApiError> {
    let (scope, name) = (names::of(&call), users::named_or_caller(&call, input.user_name)?);
    let password = input.password.ok_or_else(|| errors::validation("Must specify a password."))?;
    // Whether there is anybody to have it comes before whether it is good; the transaction decides for good.
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    if user.login.is_some() {
        return Err(exists(&name));
    }
    check(&password, &policy(&call))?;
    let (salt, digest) = stretched(&call, password).await?;
    let reset_required = input.password_reset_required == Some(true);
    let login = Login { created_at: call.now(), reset_required, salt, digest };
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            if user.login.is_some() {
                return Err(exists(&name));
            }
            tx.put(&scope, &names::key(&name), User { login: Some(login.clone()), ..(*user).clone() });
            Ok(())
        })
        .await?;
    Ok(CreateLoginProfileResponse { login_profile: Some(shape(name, &login)) })
}

pub async fn get(call: Call, input: GetLoginProfileRequest) -> Result<GetLoginProfileResponse, ApiError> {
    let (scope, name) = (names::of(&call), users::named_or_caller(&call, input.user_name)?);
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    let login = user.login.as_ref().ok_or_else(|| missing(&name))?;
    Ok(GetLoginProfileResponse { login_profile: Some(shape(name, login)) })
}

pub async fn update(call: Call, input: UpdateLoginProfileRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    user.login.as_ref().ok_or_else(|| missing(&name))?;
    let mut renewed = None;
    if let Some(password) = input.password {
        check(&password, &policy(&call))?;
        renewed = Some(stretched(&call, password).await?);
    }
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            let mut login = user.login.clone().ok_or_else(|| missing(&name))?;
            if let Some((salt, digest)) = &renewed {
                (login.salt, login.digest) = (salt.clone(), digest.clone());
            }
            login.reset_required = input.password_reset_required.unwrap_or(login.reset_required);
            tx.put(&scope, &names::key(&name), User { login: Some(login), ..(*user).clone() });
            Ok(Unit)
        })
        .await
}

/// A user's own password.
pub async fn change(call: Call, input: ChangePasswordRequest) -> Result<Unit, ApiError> {
    let scope = names::of(&call);
    let name = match call.principal.arn.split_once(":user/") {
        Some((_, path)) => names::last_segment(path).to_owned(),
        None => {
            let message = "Only IAM Users can change their own password";
            return Err(ApiError::new(&INVALID_USER_TYPE_EXCEPTION, message));
        }
    };
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    let login = user.login.clone().ok_or_else(|| missing(&name))?;
    let (old, salt) = (input.old_password.unwrap_or_default(), login.salt.clone());
    let digested = tokio::task::spawn_blocking(move || digest(&old, &salt)).await;
    if digested.map_err(ApiError::internal)? != login.digest {
        return Err(ApiError::undeclared("AccessDenied", 403, "The old password was incorrect."));
    }
    let new = input.new_password.unwrap_or_default();
    check(&new, &policy(&call))?;
    let (salt, digest) = stretched(&call, new).await?;
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            if user.login.as_ref().is_none_or(|now| now.digest != login.digest) {
                return Err(missing(&name));
            }
            let renewed = Login {
                created_at: call.now(),
                reset_required: false,
                salt: salt.clone(),
                digest: digest.clone(),
            };
            tx.put(&scope, &names::key(&name), User { login: Some(renewed), ..(*user).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn delete(call: Call, input: DeleteLoginProfileRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), users::named_or_caller(&call, input.user_name)?);
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            if user.login.is_none() {
                return Err(missing(&name));
            }
            tx.put(&scope, &names::key(&name), User { login: None, ..(*user).clone() });
            Ok(Unit)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::{check, default_policy};
    use crate::services::iam::records::PasswordPolicy;

    #[test]
    fn passwords_follow_the_policy() {
        let strict = PasswordPolicy {
            minimum_length: 10,
            symbols: true,
            numbers: true,
            uppercase: true,
            lowercase: true,
            ..default_policy()
        };
        let outcome =
            |password: &str, policy: &PasswordPolicy| check(password, policy).map_err(|error| error.message);
        assert_eq!(outcome("eightlong", &default_policy()), Ok(()));
        assert_eq!(outcome("Abcdefgh1!", &strict), Ok(()));
        for (password, rule) in [
            ("Ab1!", "Password should have a minimum length of 10"),
            ("abcdefgh1!", "Password should have at least one uppercase letter"),
            ("ABCDEFGH1!", "Password should have at least one lowercase letter"),
            ("Abcdefghi!", "Password should have at least one number"),
            ("Abcdefghi1", "Password should have at least one symbol"),
        ] {
            assert_eq!(outcome(password, &strict), Err(rule.to_owned()));
        }
    }

    #[test]
    fn digests_are_those_of_pbkdf2() {
        // Made with Python's hashlib.pbkdf2_hmac.
        let expected = "f82b93b96bdddd4619004ef75f677f83025b40336d342ae69305448c26f8055d";
        assert_eq!(super::digest("correct horse", "salt"), expected);
    }
}
