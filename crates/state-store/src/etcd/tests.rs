//! How etcd is named.

use super::{EtcdOptions, InvalidEtcdUrl};

#[test]
fn urls_name_members_and_prefix() {
    let check = |text: &str, endpoints: &[&str], prefix: &str| {
        let options: EtcdOptions = text.parse().unwrap();
        assert_eq!(
            (options.endpoints, options.prefix.as_str()),
            (endpoints.iter().map(|e| (*e).to_owned()).collect(), prefix)
        );
    };
    check("etcd://localhost", &["localhost:2379"], "");
    check("etcd://10.0.0.1:23790,10.0.0.2", &["10.0.0.1:23790", "10.0.0.2:2379"], "");
    check("etcd://[::1]:2379/longshore/", &["[::1]:2379"], "longshore/");
    for text in
        ["", "sqlite", "etcd://", "etcd://a,,b", "etcd://a:b", "etcd://user@host", "http://localhost:2379"]
    {
        let refused = text.parse::<EtcdOptions>().map(|options| options.endpoints);
        assert_eq!(refused, Err(InvalidEtcdUrl(text.to_owned())));
    }
}
