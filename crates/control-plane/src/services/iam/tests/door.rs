//! Issued keys at the strict front door, over HTTP with real signatures.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Fixture, text};
use crate::{
    gateway::{Gateway, Trust},
    services::{self, iam::keys, sts},
};
use aws_shapes_iam as api;

/// A key as a client has it.
struct Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `GetCallerIdentity` as a client signs it (Signature Version 4): status line and body.
async fn caller_identity(address: std::net::SocketAddr, key: &Credentials) -> (u16, String) {
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let now = time::OffsetDateTime::now_utc();
    let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
    let clock = format!("{date}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
    let digest = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
    let mut headers = vec![("host", address.to_string()), ("x-amz-date", clock.clone())];
    if let Some(token) = &key.token {
        headers.push(("x-amz-security-token", token.clone()));
    }
    let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = signed.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let request = format!("POST\n/\n\n{lines}\n{signed}\n{}", digest(body));
    let scope = format!("{date}/us-east-1/sts/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{clock}\n{scope}\n{}", digest(&request));
    let start = mac(format!("AWS4{}", key.secret).as_bytes(), &date);
    let derived =
        ["us-east-1", "sts", "aws4_request"].iter().fold(start, |derived, part| mac(&derived, part));
    let signature = hex::encode(mac(&derived, &to_sign));
    let mut message = format!(
        "POST / HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}\r\n",
        body.len(),
        key.id
    );
    for (name, value) in headers {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    message.push_str(&format!("\r\n{body}"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(message.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, answer)
}

#[tokio::test]
async fn only_a_right_signature_of_an_issued_key_opens_the_strict_door() {
    let fixture = Fixture::new().await;
    let gateway = Arc::new(Gateway::new(fixture.services.clone(), services::operations()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let door = gateway.listen(listener, Trust::Strict, None).unwrap();
    fixture.user("bob").await;
    let made = fixture.key("bob").await;
    let key = |id: &Option<String>, secret: &Option<String>, token: Option<&str>| Credentials {
        id: id.clone().unwrap(),
        secret: secret.clone().unwrap(),
        token: token.map(str::to_owned),
    };
    let bob = key(&made.access_key_id, &made.secret_access_key, None);
    let (status, body) = caller_identity(door.address, &bob).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<Arn>arn:aws:iam::000000000000:user/bob</Arn>"), "{body}");

    let wrong =
        Credentials { secret: "wrong".to_owned(), ..key(&made.access_key_id, &made.secret_access_key, None) };
    let (status, body) = caller_identity(door.address, &wrong).await;
    assert!(status == 403 && body.contains("<Code>SignatureDoesNotMatch</Code>"), "{body}");

    // The session's clock is the real one, as the door's is.
    let now = services::now().as_millis();
    let principal = fixture.signer(&bob.id, now).unwrap();
    let call = fixture.call_by(principal, now);
    let session = sts::federation::get_session_token(call, Default::default()).await.unwrap();
    let session = session.credentials.unwrap();
    let token = session.session_token.as_deref();
    let temporary = key(&session.access_key_id, &session.secret_access_key, token);
    let (status, body) = caller_identity(door.address, &temporary).await;
    assert_eq!(status, 200, "{body}");
    for token in [None, Some("another")] {
        let incomplete = key(&session.access_key_id, &session.secret_access_key, token);
        let (status, body) = caller_identity(door.address, &incomplete).await;
        assert!(status == 403 && body.contains("<Code>InvalidClientTokenId</Code>"), "{body}");
    }

    let delete = api::DeleteAccessKeyRequest { user_name: text("bob"), access_key_id: made.access_key_id };
    keys::delete(fixture.call(), delete).await.unwrap();
    let (status, body) = caller_identity(door.address, &bob).await;
    assert!(status == 403 && body.contains("<Code>InvalidClientTokenId</Code>"), "{body}");
    door.close().await;
}
