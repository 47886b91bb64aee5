//! Who a container's process is: `user[:group]` against the image's own `/etc/passwd` and `/etc/group`.
//!
//! The files are opened so that no link in the image leads out of it. Messages are those that Docker gives.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// An identity to run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// An image's account files are small; more than this is an attack.
const MOST_BYTES: u64 = 4 << 20;

pub(crate) fn resolve(rootfs: &Path, user: &str, additional_gids: &[u32]) -> Result<Identity, String> {
    let mut identity =
        resolve_in(user, &read_within(rootfs, "etc/passwd"), &read_within(rootfs, "etc/group"))?;
    identity.groups.extend(additional_gids);
    identity.groups.sort_unstable();
    identity.groups.dedup();
    Ok(identity)
}

/// Empty when there is no such file: then only numbers resolve.
fn read_within(rootfs: &Path, path: &str) -> String {
    let open = || {
        let root = File::open(rootfs)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?);
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    open().unwrap_or_default()
}

fn resolve_in(user: &str, passwd: &str, group: &str) -> Result<Identity, String> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number: Option<u32> = name.parse().ok();
    let accounts = || passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 4);
    // A name that looks like a number is looked up as a name first, as Docker does.
    let account = accounts()
        .find(|f| f[0] == name)
        .or_else(|| accounts().find(|f| number.is_some() && f[2].parse().ok() == number));
    let (uid, default_gid, account_name, home) = match (&account, number) {
        (Some(fields), _) => {
            let uid =
                fields[2].parse().map_err(|_| format!("user {name}: its number in passwd is not one"))?;
            let home = fields.get(5).filter(|home| !home.is_empty()).map_or("/", |home| home);
            (uid, fields[3].parse().unwrap_or(0), Some(fields[0]), home.to_owned())
        }
        (None, Some(uid)) => (uid, 0, None, if uid == 0 { "/root" } else { "/" }.to_owned()),
        (None, None) => {
            return Err(format!("unable to find user {name}: no matching entries in passwd file"));
        }
    };
    let groups = || group.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 4);
    if let Some(wanted) = group_name {
        let found = groups().find(|f| f[0] == wanted).and_then(|f| f[2].parse().ok());
        let gid = found
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| format!("unable to find group {wanted}: no matching entries in group file"))?;
        // A group that is named is the only one.
        return Ok(Identity { uid, gid, groups: Vec::new(), home });
    }
    let member_of = groups()
        .filter(|f| account_name.is_some_and(|name| f[3].split(',').any(|member| member == name)))
        .filter_map(|f| f[2].parse().ok())
        .collect();
    Ok(Identity { uid, gid: default_gid, groups: member_of, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\n1000:x:7:8::/odd:\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlogs:x:50:web,root\ndata:x:51:web\n";

    fn check(user: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let expected = Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(resolve_in(user, PASSWD, GROUP), Ok(expected), "{user:?}");
    }

    #[test]
    fn names_and_numbers() {
        check("", 0, 0, &[50], "/root");
        check("web", 33, 34, &[50, 51], "/var/www");
        check("33", 33, 34, &[50, 51], "/var/www");
        check("4242", 4242, 0, &[], "/");
        check("4242:99", 4242, 99, &[], "/");
        check("web:logs", 33, 50, &[], "/var/www");
        check("web:", 33, 34, &[50, 51], "/var/www");
        check("1000", 7, 8, &[], "/odd");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let error = |user| resolve_in(user, PASSWD, GROUP).expect_err("must fail");
        assert_eq!(error("nobody"), "unable to find user nobody: no matching entries in passwd file");
        assert_eq!(error("web:nogroup"), "unable to find group nogroup: no matching entries in group file");
        assert_eq!(resolve_in("12", "", "").map(|i| (i.uid, i.gid)), Ok((12, 0)));
    }
}
