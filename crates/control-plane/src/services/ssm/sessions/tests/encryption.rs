//! Sessions that are encrypted under a key of KMS's.

use aws_schema::{Operation, Shape};
use aws_shapes_kms as kms;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::{
        board::IDLE_TIMEOUT,
        cipher::{Cipher, context},
        plan::{self, Plan},
        wire::{ChannelClosed, Kind, Message, Payload},
    },
    client::{Client, Node},
};
use crate::{
    gateway::{Answer, Operations},
    services::testing::{Fixture, text},
};

const TARGET: &str = "ecs:web_t1_t1-1";

/// Calls an operation of KMS as the account's root.
async fn call<O: Operation>(fixture: &Fixture, input: O::Input) -> O::Output
where
    O::Input: Shape,
    O::Output: Shape,
{
    let mut operations = Operations::default();
    crate::services::kms::register(&mut operations);
    let answer = operations.answer(kms::SERVICE, O::TABLE, fixture.call(), input.into_value()).await.unwrap();
    let Answer::Value(value) = answer else { panic!("a value") };
    O::Output::from_value(value).unwrap()
}

async fn key(fixture: &Fixture) -> String {
    let made = call::<kms::CreateKey>(fixture, Default::default()).await;
    made.key_metadata.unwrap().key_id.unwrap()
}

/// A data key, in the clear and encrypted.
async fn data_key(fixture: &Fixture, key: &str, session: &str, target: &str) -> (Vec<u8>, Vec<u8>) {
    let input = kms::GenerateDataKeyRequest {
        key_id: text(key),
        number_of_bytes: Some(64),
        encryption_context: Some(context(session, target)),
        ..Default::default()
    };
    let made = call::<kms::GenerateDataKey>(fixture, input).await;
    (made.plaintext.unwrap(), made.ciphertext_blob.unwrap())
}

fn encrypted(key: &str) -> Plan {
    let plan = plan::of_document(None, &Default::default(), &Default::default(), IDLE_TIMEOUT).unwrap();
    Plan { key: text(key), ..plan }
}

/// Answers the handshake with this ciphertext.
async fn answer(client: &mut Client, blob: &[u8]) -> Value {
    let (kind, payload) = client.data().await;
    assert_eq!(kind, Payload::HandshakeRequest);
    let response = json!({
        "ClientVersion": "1.2.707.0",
        "ProcessedClientActions": [
            {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": ""},
            {"ActionType": "KMSEncryption", "ActionStatus": 1, "ActionResult": {"KMSCipherTextKey": STANDARD.encode(blob)}, "Error": ""},
        ],
        "Errors": null,
    });
    client.send(Payload::HandshakeResponse, response.to_string().as_bytes()).await;
    serde_json::from_slice(&payload).unwrap()
}

/// The challenge, as the client understands it.
async fn challenge(client: &mut Client, cipher: &Cipher) -> Vec<u8> {
    let (kind, payload) = client.data().await;
    assert_eq!(kind, Payload::EncryptionChallenge);
    let challenge: Value = serde_json::from_slice(&payload).unwrap();
    let sealed = STANDARD.decode(challenge["Challenge"].as_str().unwrap()).unwrap();
    cipher.open(&sealed).expect("it was sealed under the data key")
}

async fn meet(client: &mut Client, cipher: &Cipher, text: &[u8]) {
    let answer = json!({"Challenge": STANDARD.encode(cipher.seal(text, [3; 12]))});
    client.send(Payload::EncryptionAnswer, answer.to_string().as_bytes()).await;
}

#[tokio::test]
async fn both_directions_are_encrypted() {
    let mut node = Node::new().await;
    let key = key(&node.fixture).await;
    let opened = node.open_plan(encrypted(&key)).await;
    let mut client = node.connect(&opened).await;
    let (plain, blob) = data_key(&node.fixture, &key, &opened.id, TARGET).await;
    let cipher = Cipher::new(Kind::Input, &plain).unwrap();
    let request = answer(&mut client, &blob).await;
    let action = &request["RequestedClientActions"][1];
    assert_eq!(
        (&action["ActionType"], &action["ActionParameters"]),
        (&json!("KMSEncryption"), &json!({"KMSKeyId": key}))
    );
    let text = challenge(&mut client, &cipher).await;
    meet(&mut client, &cipher, &text).await;
    assert_eq!(client.data().await.0, Payload::HandshakeComplete);
    client.cipher = Some(cipher);
    node.begun().await;
    client.send(Payload::Size, br#"{"cols":132,"rows":50}"#).await;
    assert_eq!(node.resized().await.columns, 132);
    client.type_in("hello").await;
    // What the container got is the text, and what the line carries is not.
    let mut frame = None;
    while client.received.is_empty() {
        let message = client.next().await.unwrap();
        frame = Some(message).filter(|message: &Message| message.payload_kind == Payload::Output);
    }
    assert_eq!(client.data().await, (Payload::Output, b"hello".to_vec()));
    let frame = frame.unwrap();
    assert!(!frame.payload.windows(5).any(|window| window == b"hello"));
    assert_eq!(frame.payload.len(), 5 + 28);
}

/// The session's last word to a client that answered the handshake with this.
async fn refused(node: &Node, key: &str, made: impl AsyncFn(&str) -> Vec<u8>) -> ChannelClosed {
    let opened = node.open_plan(encrypted(key)).await;
    let mut client = node.connect(&opened).await;
    let blob = made(&opened.id).await;
    answer(&mut client, &blob).await;
    client.closed().await
}

#[tokio::test]
async fn a_data_key_that_is_not_the_sessions_is_refused() {
    let node = Node::new().await;
    let (own, other) = (key(&node.fixture).await, key(&node.fixture).await);
    let fixture = &node.fixture;
    let closed = refused(&node, &own, async |_| b"nonsense".to_vec()).await;
    assert!(closed.output.contains("was not made with the key"), "{}", closed.output);
    let closed = refused(&node, &own, async |id| data_key(fixture, &other, id, TARGET).await.1).await;
    assert!(closed.output.contains("was not made with the key"), "{}", closed.output);
    let closed =
        refused(&node, &own, async |id| data_key(fixture, &own, id, "ecs:web_t2_t2-1").await.1).await;
    assert!(closed.output.contains("InvalidCiphertextException"), "{}", closed.output);
    let closed =
        refused(&node, &own, async |_| data_key(fixture, &own, "root-another", TARGET).await.1).await;
    assert!(closed.output.contains("InvalidCiphertextException"), "{}", closed.output);
}

#[tokio::test]
async fn nothing_begins_before_the_challenge_is_met() {
    let node = Node::new().await;
    let key = key(&node.fixture).await;
    let opened = node.open_plan(encrypted(&key)).await;
    let mut client = node.connect(&opened).await;
    let (plain, blob) = data_key(&node.fixture, &key, &opened.id, TARGET).await;
    let cipher = Cipher::new(Kind::Input, &plain).unwrap();
    answer(&mut client, &blob).await;
    challenge(&mut client, &cipher).await;
    meet(&mut client, &cipher, b"something else").await;
    assert!(client.closed().await.output.contains("challenge"));

    // A client that takes no notice of encryption is let go.
    let opened = node.open_plan(encrypted(&key)).await;
    let mut client = node.connect(&opened).await;
    client.data().await;
    let response = br#"{"ClientVersion":"1.2.707.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}]}"#;
    client.send(Payload::HandshakeResponse, response).await;
    assert_eq!(client.closed().await.output, "the client does not encrypt the session");
}
