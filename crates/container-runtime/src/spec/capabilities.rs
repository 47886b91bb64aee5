//! Capability sets as bit masks, and the default that Docker gives.

/// By number; `CAP_` left out.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container may do unless it is told otherwise: Docker's list.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

const ALL: u64 = (1 << NAMES.len()) - 1;

fn number(name: &str) -> Result<u32, String> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let found = NAMES.iter().position(|known| *known == bare);
    found.map(|n| n as u32).ok_or_else(|| format!("unknown capability {name:?}"))
}

/// The default with `add` and `drop` applied as Docker does: `ALL` first, then what is named.
///
/// # Errors
/// An unknown name.
pub(crate) fn mask(add: &[String], drop: &[String]) -> Result<u64, String> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL");
    let mut mask = if add.iter().any(is_all) {
        ALL
    } else if drop.iter().any(is_all) {
        0
    } else {
        DEFAULT.iter().try_fold(0, |mask, name| Ok::<_, String>(mask | 1 << number(name)?))?
    };
    for name in drop.iter().filter(|name| !is_all(name)) {
        mask &= !(1 << number(name)?);
    }
    for name in add.iter().filter(|name| !is_all(name)) {
        mask |= 1 << number(name)?;
    }
    Ok(mask)
}

pub(crate) fn all() -> u64 {
    ALL
}

/// The names with their prefix, as an OCI specification lists them.
pub(crate) fn names(mask: u64) -> Vec<String> {
    NAMES
        .iter()
        .enumerate()
        .filter(|(n, _)| mask & (1 << n) != 0)
        .map(|(_, name)| format!("CAP_{name}"))
        .collect()
}

/// What this process itself may do, from `/proc/self/status`: nobody can give more.
pub(crate) fn own() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "no CapPrm in /proc/self/status"))
}
