//! What stands at the doors beside the gateway: TLS, the authority that signs its certificate, and the key that opens the strict door first.

mod authority;
pub mod bootstrap;
mod certificates;
mod tls;

pub use certificates::Certificates;
pub use tls::{CertificateFiles, TlsError};
