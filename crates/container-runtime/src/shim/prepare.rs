//! What is computed and made for a container before its process is: the program, generated files, the terminal's socket.

use super::executor::Program;
use super::{files, helper};
use crate::config::{ContainerConfig, Seccomp};
use crate::error::FailureKind;
use crate::protocol::Refusal;
use crate::seccomp;
use crate::spec::oci::Surroundings;
use crate::spec::{capabilities, users};
use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// What Docker sets when the image does not.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(files::ShortPath::of(path)?.path())?;
    // What is to come has come by the time it is looked for.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The controlling end of the container's terminal, sent while it was set up.
pub(super) fn receive_terminal(listener: &UnixListener) -> io::Result<File> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (stream, _) = listener.accept()?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 256];
    let mut parts = [io::IoSliceMut::new(&mut name)];
    recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let terminal = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let terminal = File::from(terminal.ok_or_else(|| io::Error::other("none was sent"))?);
    helper::nonblocking(&terminal)?;
    Ok(terminal)
}

pub(super) fn write_world_readable(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Everything about the program that is known before its process is.
pub(super) fn program(
    config: &ContainerConfig,
    rootfs: &Path,
    around: &Surroundings,
    report: RawFd,
) -> Result<(Program, Vec<String>), Refusal> {
    let invalid = |message| Refusal::new(FailureKind::Invalid, message);
    let identity = users::resolve(rootfs, &config.user, &config.additional_gids).map_err(invalid)?;
    let wanted = if config.privileged {
        capabilities::all() & around.own_capabilities
    } else {
        capabilities::mask(&config.cap_add, &config.cap_drop).map_err(invalid)?
    };
    let mut warnings = Vec::new();
    let missing = wanted & !around.own_capabilities;
    if missing != 0 {
        let names = capabilities::names(missing).join(", ");
        warnings.push(format!("{names} not given: this machine's root does not have it"));
    }
    let capabilities = wanted & around.own_capabilities;
    let mut env = Vec::new();
    if !config.env.iter().any(|v| v.starts_with("PATH=")) {
        env.push(DEFAULT_PATH.to_owned());
    }
    if !config.env.iter().any(|v| v.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    if config.tty && !config.env.iter().any(|v| v.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    for variable in &config.env {
        set_variable(&mut env, variable);
    }
    let filtered = config.seccomp == Seccomp::Default && !config.privileged;
    let program = Program {
        args: config.args.clone(),
        env,
        cwd: if config.cwd.as_os_str().is_empty() { PathBuf::from("/") } else { config.cwd.clone() },
        uid: identity.uid,
        gid: identity.gid,
        groups: identity.groups,
        capabilities,
        no_new_privileges: config.no_new_privileges && !config.privileged,
        filter: filtered.then(|| seccomp::filter(capabilities)),
        terminal: None,
        under_init: config.init,
        alive: around.alive,
        report,
    };
    Ok((program, warnings))
}

/// The last of two variables of one name counts.
pub(super) fn set_variable(env: &mut Vec<String>, variable: &str) {
    let name = variable.split('=').next().unwrap_or_default();
    env.retain(|known| known.split('=').next() != Some(name));
    env.push(variable.to_owned());
}
