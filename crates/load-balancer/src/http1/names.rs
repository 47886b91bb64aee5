//! The headers that the load balancer itself has to do with.

/// What a header's name means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Other,
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Expect,
    Te,
    Trailer,
    Cookie,
    UserAgent,
    Server,
    Date,
    SetCookie,
    ForwardedFor,
    ForwardedProto,
    ForwardedPort,
    TraceId,
    TlsVersion,
    TlsCipher,
    Http2Settings,
}

const NAMES: &[(&[u8], Known)] = &[
    (b"host", Known::Host),
    (b"connection", Known::Connection),
    (b"keep-alive", Known::KeepAlive),
    (b"proxy-connection", Known::ProxyConnection),
    (b"transfer-encoding", Known::TransferEncoding),
    (b"content-length", Known::ContentLength),
    (b"upgrade", Known::Upgrade),
    (b"expect", Known::Expect),
    (b"te", Known::Te),
    (b"trailer", Known::Trailer),
    (b"cookie", Known::Cookie),
    (b"user-agent", Known::UserAgent),
    (b"server", Known::Server),
    (b"date", Known::Date),
    (b"set-cookie", Known::SetCookie),
    (b"x-forwarded-for", Known::ForwardedFor),
    (b"x-forwarded-proto", Known::ForwardedProto),
    (b"x-forwarded-port", Known::ForwardedPort),
    (b"x-amzn-trace-id", Known::TraceId),
    (b"x-amzn-tls-version", Known::TlsVersion),
    (b"x-amzn-tls-cipher-suite", Known::TlsCipher),
    (b"http2-settings", Known::Http2Settings),
];

pub(crate) fn known(name: &[u8]) -> Known {
    // Most names are told apart by their length and first letter.
    let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return Known::Other };
    NAMES
        .iter()
        .find(|(known, _)| known.len() == name.len() && known[0] == first && known.eq_ignore_ascii_case(name))
        .map_or(Known::Other, |(_, known)| *known)
}
