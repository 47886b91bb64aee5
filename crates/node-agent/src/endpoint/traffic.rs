//! What went over a container's network interfaces, as the kernel counts it for the namespace that its first process is in.

use serde_json::{Map, Value, json};

/// Counters of one interface, in the kernel's order: bytes, packets, errors, dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub name: String,
    pub received: [u64; 4],
    pub sent: [u64; 4],
}

/// Those of the namespace that a process is in; empty when it is gone.
pub(super) fn of_process(pid: u32) -> Vec<Interface> {
    std::fs::read_to_string(format!("/proc/{pid}/net/dev")).map(|text| parse(&text)).unwrap_or_default()
}

/// `/proc/PID/net/dev`: two lines of headings, then one for each interface. Without the loopback.
fn parse(text: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> =
            counters.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let name = name.trim().to_owned();
        Some(Interface { received: *counters.first_chunk()?, sent: *counters.get(8..)?.first_chunk()?, name })
    };
    text.lines().skip(2).filter_map(interface).filter(|interface| interface.name != "lo").collect()
}

/// In Docker's shape.
pub(super) fn document(interfaces: &[Interface]) -> Value {
    let each = interfaces.iter().map(|one| {
        let ([rx_bytes, rx_packets, rx_errors, rx_dropped], [tx_bytes, tx_packets, tx_errors, tx_dropped]) =
            (one.received, one.sent);
        let counters = json!({
            "rx_bytes": rx_bytes, "rx_packets": rx_packets, "rx_errors": rx_errors, "rx_dropped": rx_dropped,
            "tx_bytes": tx_bytes, "tx_packets": tx_packets, "tx_errors": tx_errors, "tx_dropped": tx_dropped,
        });
        (one.name.clone(), counters)
    });
    Value::Object(each.collect::<Map<String, Value>>())
}

/// Bytes received and sent over all of them.
pub(super) fn totals(interfaces: &[Interface]) -> (u64, u64) {
    interfaces.iter().fold((0, 0), |(received, sent), one| {
        (received.saturating_add(one.received[0]), sent.saturating_add(one.sent[0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  \
                    eth0: 5000      40    1    2    0     0          0         0     700       7    3    4    0     0       0          0\n";
        let read = parse(text);
        assert_eq!(
            read,
            [Interface { name: "eth0".into(), received: [5000, 40, 1, 2], sent: [700, 7, 3, 4] }]
        );
        assert_eq!(document(&read)["eth0"]["tx_dropped"], 4);
        assert_eq!(totals(&read), (5000, 700));
        assert!(parse("nonsense\n\neth0: one two\n").is_empty());
    }
}
