use std::os::unix::fs::PermissionsExt;

use state_store::SqliteStore;

use super::*;

#[test]
fn what_is_sealed_opens_with_its_key_and_context_alone() {
    let key = SealingKey::new([1; 32]);
    let sealed = key.seal("here", b"plain");
    assert_eq!(key.open("here", &sealed).as_deref(), Some(b"plain".as_slice()));
    assert_ne!(key.seal("here", b"plain"), sealed);
    assert_eq!(key.open("there", &sealed), None);
    assert_eq!(SealingKey::new([2; 32]).open("here", &sealed), None);
    let mut changed = sealed;
    changed[15] ^= 1;
    assert_eq!(key.open("here", &changed), None);
    assert_eq!(key.open("here", b"short"), None);
}

#[test]
fn the_root_key_is_made_once_and_readable_by_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = InstallationSecret::open(directory.path()).unwrap();
    let again = InstallationSecret::open(directory.path()).unwrap();
    assert_eq!(first.derive("x"), again.derive("x"));
    assert_ne!(first.derive("x"), first.derive("y"));
    let path = directory.path().join(ROOT_KEY);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = InstallationSecret::open(directory.path()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert!(refused.to_string().contains("0600"), "{refused}");
}

#[test]
fn what_is_no_key_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [&b"short"[..], &[7; 33]] {
        let path = directory.path().join("file");
        write_private(&path, bytes).unwrap();
        let refused = InstallationSecret::open_file(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn servers_of_one_root_key_have_names_of_their_own() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = server_name(one.path()).unwrap();
    assert_eq!(server_name(one.path()).unwrap(), name);
    assert_ne!(server_name(two.path()).unwrap(), name);
}

#[tokio::test]
async fn the_database_opens_under_its_own_root_key_alone() {
    let store = SqliteStore::in_memory().unwrap();
    let root = InstallationSecret([1; 32]);
    let sealed = open_store_key(&store, &root).await.unwrap().seal("x", b"plain");
    let again = open_store_key(&store, &root).await.unwrap();
    assert_eq!(again.open("x", &sealed).as_deref(), Some(b"plain".as_slice()));
    let other = open_store_key(&store, &InstallationSecret([2; 32])).await;
    assert!(matches!(other, Err(StoreKeyError::WrongRootKey)));
}
