//! Certificates, read by the load balancers and by ACM: either reads or refuses, and where both read they read the same.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/load-balancer/src/tls/certificate.rs"]
mod certificate;
#[path = "../../crates/control-plane/src/services/acm/der.rs"]
mod der;
#[path = "../../crates/control-plane/src/services/acm/x509.rs"]
mod x509;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (front, acm) = (certificate::read(data), x509::read(data));
    if let Some(front) = &front {
        _ = (front.issuer(), front.subject(), front.validity(), front.not_after_unix());
        for text in [front.issuer(), front.subject()] {
            // Both become headers.
            assert!(text.bytes().all(|byte| byte >= 0x20 && byte != 0x7f), "{text:?}");
        }
    }
    if let (Some(front), Ok(acm)) = (front, acm) {
        assert_eq!(front.serial.to_lowercase(), acm.serial.replace(':', ""));
        if let Ok(seconds) = u64::try_from(acm.not_after.as_millis() / 1000) {
            assert_eq!(front.not_after_unix(), Some(seconds));
        }
    }
});
