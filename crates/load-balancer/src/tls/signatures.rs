//! The part of a verifier that says whether the other side has the key of the certificate that it shows: the same for all, whatever they
//! think of the certificate.

/// The methods of a verifier's trait that are about signatures and not about certificates, by these `WebPkiSupportedAlgorithms`.
macro_rules! by_algorithms {
    ($own:ident => $algorithms:expr) => {
        fn verify_tls12_signature(
            &$own,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, certificate, signature, &$algorithms)
        }

        fn verify_tls13_signature(
            &$own,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &$algorithms)
        }

        fn supported_verify_schemes(&$own) -> Vec<rustls::SignatureScheme> {
            $algorithms.supported_schemes()
        }
    };
}

pub(super) use by_algorithms;
