//! Bundles and revocation lists as they come from S3: checked as a whole before anything is kept.

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};

use crate::services::acm::der::{
    BOOLEAN, INTEGER, Malformed, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE,
};

/// Certificates of a trust store.
const MOST_AUTHORITIES: usize = 25;
/// Of one certificate, in DER.
const LARGEST_AUTHORITY_BYTES: usize = 16 << 10;
/// Of one revocation list, in DER: lists travel with the configuration of load balancers. AWS takes larger ones.
pub const LARGEST_LIST_BYTES: usize = 512 << 10;

/// A bundle that can be trusted.
pub struct Bundle {
    pub pem: String,
    pub authorities: u32,
}

/// A list that can be looked into.
pub struct List {
    pub pem: String,
    pub entries: u64,
}

/// Checks that there are certificates of authorities and no others.
///
/// # Errors
/// Why not, for people to read.
pub fn bundle(content: &[u8]) -> Result<Bundle, String> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(content).take(MOST_AUTHORITIES + 1).collect();
    let found = found.map_err(|_| "The CA certificates bundle is not in PEM format".to_owned())?;
    if found.is_empty() {
        return Err("The CA certificates bundle contains no certificates in PEM format".to_owned());
    }
    if found.len() > MOST_AUTHORITIES {
        return Err(format!("The CA certificates bundle contains more than {MOST_AUTHORITIES} certificates"));
    }
    let mut pem = String::new();
    for (index, certificate) in found.iter().enumerate() {
        let bad = |why: &str| format!("Certificate {} of the CA certificates bundle {why}", index + 1);
        if certificate.len() > LARGEST_AUTHORITY_BYTES {
            return Err(bad("is too large"));
        }
        webpki::anchor_from_trusted_cert(certificate)
            .map_err(|why| bad(&format!("cannot be used: {why}")))?;
        if !is_authority(certificate).map_err(|why| bad(&format!("is {why}")))? {
            return Err(bad("is not the certificate of a certificate authority"));
        }
        pem.push_str(&armored("CERTIFICATE", certificate));
    }
    Ok(Bundle { pem, authorities: u32::try_from(found.len()).unwrap_or(u32::MAX) })
}

/// Checks one revocation list, in PEM or DER.
///
/// # Errors
/// Why it cannot be used, for people to read.
pub fn list(content: &[u8]) -> Result<List, String> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(content).take(2).collect();
    let der = match found.as_deref() {
        Ok([one]) => one.as_ref(),
        Ok([]) if content.first() == Some(&SEQUENCE) => content,
        Ok([_, ..]) => return Err("The revocation file contains more than one list".to_owned()),
        _ => return Err("The revocation file is not a certificate revocation list".to_owned()),
    };
    if der.len() > LARGEST_LIST_BYTES {
        return Err(format!("Longshore takes revocation lists of at most {LARGEST_LIST_BYTES} bytes"));
    }
    let unusable = |why: webpki::Error| format!("The revocation list cannot be used: {why}");
    let parsed = webpki::BorrowedCertRevocationList::from_der(der).map_err(unusable)?;
    let mut entries = 0;
    for entry in &parsed {
        entry.map_err(unusable)?;
        entries += 1;
    }
    Ok(List { pem: armored("X509 CRL", der), entries })
}

/// Whether its basic constraints say so: RFC 5280 §4.2.1.9.
fn is_authority(certificate: &[u8]) -> Result<bool, Malformed> {
    let mut signed = Reader::new(certificate).within(SEQUENCE)?.within(SEQUENCE)?;
    signed.optional(0xa0)?;
    signed.expect(INTEGER)?;
    // Signature, issuer, validity, subject, key.
    for _ in 0..5 {
        signed.expect(SEQUENCE)?;
    }
    signed.optional(0x81)?;
    signed.optional(0x82)?;
    let Some(extensions) = signed.optional(0xa3)? else { return Ok(false) };
    let mut extensions = Reader::new(extensions).within(SEQUENCE)?;
    while !extensions.is_empty() {
        let mut extension = extensions.within(SEQUENCE)?;
        // 2.5.29.19
        let wanted = extension.expect(OBJECT_IDENTIFIER)? == [0x55, 0x1d, 0x13];
        extension.optional(BOOLEAN)?;
        let value = extension.expect(OCTET_STRING)?;
        if wanted {
            let mut constraints = Reader::new(value).within(SEQUENCE)?;
            return Ok(constraints.optional(BOOLEAN)? == Some(&[0xff]));
        }
    }
    Ok(false)
}

fn armored(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
