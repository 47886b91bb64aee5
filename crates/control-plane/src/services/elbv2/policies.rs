//! SSL policies: which versions and ciphers a listener speaks.
//!
//! Names are AWS's. What is shown of each is what the data plane really does: TLS 1.2 with ephemeral keys and authenticated ciphers, and TLS 1.3. The
//! older versions and weaker ciphers of some policies are left out of them; policies that promise validated modules or
//! key agreements which are not there do not exist here.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{DescribeSSLPoliciesInput, DescribeSSLPoliciesOutput, errors};

use super::page;
use crate::gateway::{ApiError, Call};

/// Of listeners whose request names none.
pub const DEFAULT: &str = "ELBSecurityPolicy-2016-08";

const TLS_1_2: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
const TLS_1_3: &[&str] =
    &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// A policy: its name, and whether it speaks TLS 1.2 and 1.3.
const POLICIES: [(&str, bool, bool); 18] = [
    ("ELBSecurityPolicy-2016-08", true, false),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-1-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-0-2021-06", true, true),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", false, true),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", true, false),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", true, false),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", true, false),
    ("ELBSecurityPolicy-FS-2018-06", true, false),
    ("ELBSecurityPolicy-2015-05", true, false),
    ("ELBSecurityPolicy-TLS-1-0-2015-04", true, false),
    ("ELBSecurityPolicy-FS-1-2-Res-2019-08", true, false),
    ("ELBSecurityPolicy-FS-1-1-2019-08", true, false),
    ("ELBSecurityPolicy-FS-1-2-2019-08", true, false),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", true, false),
];

/// Whether there is such a policy.
///
/// # Errors
/// `SSLPolicyNotFound`.
pub fn check(name: &str) -> Result<(), ApiError> {
    if POLICIES.iter().any(|(known, ..)| *known == name) {
        return Ok(());
    }
    Err(ApiError::new(&errors::SSL_POLICY_NOT_FOUND_EXCEPTION, format!("SSL policy '{name}' not found")))
}

/// The names of all policies.
pub fn names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|(name, ..)| *name)
}

pub async fn describe(
    call: Call,
    input: DescribeSSLPoliciesInput,
) -> Result<DescribeSSLPoliciesOutput, ApiError> {
    let names = input.names.unwrap_or_default();
    for name in &names {
        check(name)?;
    }
    let chosen = POLICIES.iter().filter(|(name, ..)| names.is_empty() || names.iter().any(|one| one == name));
    let numbered = chosen.enumerate();
    let page = page(
        &call,
        "policies",
        numbered,
        |(number, _)| format!("{number:03}"),
        input.marker,
        input.page_size,
    )?;
    Ok(DescribeSSLPoliciesOutput {
        ssl_policies: Some(page.items.into_iter().map(|(_, policy)| shape(*policy)).collect()),
        next_marker: page.next_token,
    })
}

fn shape((name, tls_1_2, tls_1_3): (&str, bool, bool)) -> elbv2::SslPolicy {
    let mut protocols = Vec::new();
    let mut ciphers = Vec::new();
    for (speaks, version, of_version) in [(tls_1_3, "TLSv1.3", TLS_1_3), (tls_1_2, "TLSv1.2", TLS_1_2)] {
        if speaks {
            protocols.push(version.to_owned());
            ciphers.extend(of_version);
        }
    }
    let cipher = |(number, name): (usize, &&str)| elbv2::Cipher {
        name: Some((*name).to_owned()),
        priority: i32::try_from(number + 1).ok(),
    };
    elbv2::SslPolicy {
        name: Some(name.to_owned()),
        ssl_protocols: Some(protocols),
        ciphers: Some(ciphers.iter().enumerate().map(cipher).collect()),
        supported_load_balancer_types: Some(vec!["application".to_owned(), "network".to_owned()]),
    }
}
