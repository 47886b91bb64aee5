//! What stands at the doors beside the gateway: TLS, the authority that signs its certificate, and the key that opens the strict door first.

mod authority;
pub mod bootstrap;
mod tls;

pub use tls::{CertificateFiles, Tls, TlsError};
