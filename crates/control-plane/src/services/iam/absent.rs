//! Lists of things that nobody can make here: MFA devices, certificates, SSH keys, credentials of single services. Tools ask for them before
//! they delete a user; the lists are there, and empty.

use aws_schema::Unit;
use aws_shapes_iam::{
    DeleteServerCertificateRequest, GetServerCertificateRequest, GetServerCertificateResponse,
    ListMFADevicesRequest, ListMFADevicesResponse, ListSSHPublicKeysRequest, ListSSHPublicKeysResponse,
    ListServerCertificatesRequest, ListServerCertificatesResponse, ListServiceSpecificCredentialsRequest,
    ListServiceSpecificCredentialsResponse, ListSigningCertificatesRequest, ListSigningCertificatesResponse,
};

use super::{
    errors, names,
    records::{self, User},
};
use crate::gateway::{ApiError, Call};

/// Whoever is asked about has to be there.
fn user(call: &Call, name: Option<String>) -> Result<(), ApiError> {
    let Some(name) = name else { return Ok(()) };
    call.services.state.read(|view| records::see::<User>(view, &names::of(call), &name)).map(|_| ())
}

macro_rules! empty_lists {
    ($($name:ident: $request:ty => $response:ident . $member:ident;)*) => {
        $(pub async fn $name(call: Call, input: $request) -> Result<$response, ApiError> {
            user(&call, input.user_name)?;
            Ok($response { $member: Some(Vec::new()), is_truncated: Some(false), ..$response::default() })
        })*
    };
}

empty_lists! {
    mfa_devices: ListMFADevicesRequest => ListMFADevicesResponse.mfa_devices;
    signing_certificates: ListSigningCertificatesRequest => ListSigningCertificatesResponse.certificates;
    ssh_keys: ListSSHPublicKeysRequest => ListSSHPublicKeysResponse.ssh_public_keys;
    service_credentials: ListServiceSpecificCredentialsRequest
        => ListServiceSpecificCredentialsResponse.service_specific_credentials;
}

fn no_certificate(name: Option<String>) -> ApiError {
    let name = name.unwrap_or_default();
    errors::no_such_entity(format!("The Server Certificate with name {name} cannot be found."))
}

pub async fn get_server_certificate(
    _: Call,
    input: GetServerCertificateRequest,
) -> Result<GetServerCertificateResponse, ApiError> {
    Err(no_certificate(input.server_certificate_name))
}

pub async fn delete_server_certificate(
    _: Call,
    input: DeleteServerCertificateRequest,
) -> Result<Unit, ApiError> {
    Err(no_certificate(input.server_certificate_name))
}

pub async fn server_certificates(
    _: Call,
    _: ListServerCertificatesRequest,
) -> Result<ListServerCertificatesResponse, ApiError> {
    Ok(ListServerCertificatesResponse {
        server_certificate_metadata_list: Some(Vec::new()),
        is_truncated: Some(false),
        marker: None,
    })
}
