//! Resource limits by name, clamped to what this process may set.

use crate::config::Rlimit;

/// A limit that can be set, by OCI name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) name: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

const NAMES: [(&str, u32); 15] = [
    ("CORE", libc::RLIMIT_CORE),
    ("CPU", libc::RLIMIT_CPU),
    ("DATA", libc::RLIMIT_DATA),
    ("FSIZE", libc::RLIMIT_FSIZE),
    ("LOCKS", libc::RLIMIT_LOCKS),
    ("MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("NICE", libc::RLIMIT_NICE),
    ("NOFILE", libc::RLIMIT_NOFILE),
    ("NPROC", libc::RLIMIT_NPROC),
    ("RSS", libc::RLIMIT_RSS),
    ("RTPRIO", libc::RLIMIT_RTPRIO),
    ("RTTIME", libc::RLIMIT_RTTIME),
    ("SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("STACK", libc::RLIMIT_STACK),
];

/// CAP_SYS_RESOURCE, which may raise hard limits.
const SYS_RESOURCE: u64 = 1 << 24;

/// The limits to set and what was clamped, in words.
///
/// # Errors
/// An unknown name, or a soft limit above the hard one.
pub(crate) fn settle(
    wanted: &[Rlimit],
    own_capabilities: u64,
) -> Result<(Vec<Settled>, Vec<String>), String> {
    let may_raise = own_capabilities & SYS_RESOURCE != 0;
    let (mut settled, mut warnings) = (Vec::new(), Vec::new());
    for limit in wanted {
        let upper = limit.name.to_ascii_uppercase();
        let bare = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        let Some((name, resource)) = NAMES.iter().find(|(name, _)| *name == bare) else {
            return Err(format!("unknown ulimit {:?}", limit.name));
        };
        let (mut soft, mut hard) = (unlimited_if_negative(limit.soft), unlimited_if_negative(limit.hard));
        if soft > hard {
            return Err(format!("ulimit {}: the soft limit is above the hard limit", limit.name));
        }
        let ceiling = ceiling(*resource, may_raise);
        if hard > ceiling {
            warnings.push(format!(
                "ulimit {} lowered from {} to {ceiling}, this machine's hard limit",
                limit.name, limit.hard
            ));
            hard = ceiling;
            soft = soft.min(ceiling);
        }
        settled.push(Settled { name: format!("RLIMIT_{name}"), soft, hard });
    }
    Ok((settled, warnings))
}

fn unlimited_if_negative(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(libc::RLIM_INFINITY)
}

fn ceiling(resource: u32, may_raise: bool) -> u64 {
    // Nobody may have more open files than the kernel's own ceiling.
    let kernel = match resource {
        libc::RLIMIT_NOFILE => {
            std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|t| t.trim().parse().ok())
        }
        _ => None,
    };
    let kernel = kernel.unwrap_or(libc::RLIM_INFINITY);
    if may_raise {
        return kernel;
    }
    let own = hard_limit(resource).unwrap_or(libc::RLIM_INFINITY);
    own.min(kernel)
}

/// This process's hard limit, from the table that the kernel prints: every name is there, the safe wrappers lack some.
fn hard_limit(resource: u32) -> Option<u64> {
    let title = match resource {
        libc::RLIMIT_CORE => "Max core file size",
        libc::RLIMIT_CPU => "Max cpu time",
        libc::RLIMIT_DATA => "Max data size",
        libc::RLIMIT_FSIZE => "Max file size",
        libc::RLIMIT_LOCKS => "Max file locks",
        libc::RLIMIT_MEMLOCK => "Max locked memory",
        libc::RLIMIT_MSGQUEUE => "Max msgqueue size",
        libc::RLIMIT_NICE => "Max nice priority",
        libc::RLIMIT_NOFILE => "Max open files",
        libc::RLIMIT_NPROC => "Max processes",
        libc::RLIMIT_RSS => "Max resident set",
        libc::RLIMIT_RTPRIO => "Max realtime priority",
        libc::RLIMIT_RTTIME => "Max realtime timeout",
        libc::RLIMIT_SIGPENDING => "Max pending signals",
        libc::RLIMIT_STACK => "Max stack size",
        _ => return None,
    };
    let table = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(title))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(libc::RLIM_INFINITY),
        number => number.parse().ok(),
    }
}
