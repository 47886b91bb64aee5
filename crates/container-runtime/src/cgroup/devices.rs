//! Which devices a container may open, under cgroup v2: a BPF program on its cgroup (v1 has files for it, which libcontainer writes).
//!
//! The kernel asks the program for each open and `mknod` with the device's type, numbers and the access wanted; everything that no rule
//! allows is refused. The program is written here instruction by instruction: five per rule, nothing to compile or link.
//!
//! JUSTIFICATION for `unsafe`: `bpf(2)` has no safe wrapper in what the project depends on.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// One allowance. `None` is any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) block: bool,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    /// Of [`MKNOD`], [`READ`], [`WRITE`].
    pub(crate) access: u32,
}

pub(crate) const MKNOD: u32 = 1;
pub(crate) const READ: u32 = 2;
pub(crate) const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// What every container may use: null, zero, full, random, urandom, tty, console, ptmx, terminals; and making nodes of any kind,
/// which does not let it open them.
pub(crate) fn defaults() -> Vec<Allowed> {
    let character =
        |major: u32, minor: Option<u32>| Allowed { block: false, major: Some(major), minor, access: ALL };
    let mut rules = vec![
        Allowed { block: false, major: None, minor: None, access: MKNOD },
        Allowed { block: true, major: None, minor: None, access: MKNOD },
        character(136, None),
    ];
    rules.extend(
        [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)].map(|(a, b)| character(a, Some(b))),
    );
    rules
}

pub(crate) fn access(permissions: &str) -> u32 {
    let bit = |letter, bit| if permissions.is_empty() || permissions.contains(letter) { bit } else { 0 };
    bit('r', READ) | bit('w', WRITE) | bit('m', MKNOD)
}

/// One instruction as the kernel reads it: opcode, registers (destination low), jump distance, constant.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER_32: u8 = 0xbc;
const MOVE_CONSTANT: u8 = 0xb7;
const AND_CONSTANT_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// The registers: 1 is the context; 2 the type, 3 the access, 4 and 5 the numbers, 6 scratch; 0 the answer.
fn program(rules: &[Allowed]) -> Vec<Instruction> {
    let op = |code, destination: u8, source: u8, offset, constant| Instruction {
        code,
        registers: destination | source << 4,
        offset,
        constant,
    };
    // The context: type in the low half and access in the high half of one word, then major, then minor.
    let mut program = vec![
        op(LOAD_WORD, 2, 1, 0, 0),
        op(MOVE_REGISTER_32, 3, 2, 0, 0),
        op(AND_CONSTANT_32, 2, 0, 0, 0xffff),
        op(SHIFT_RIGHT_32, 3, 0, 0, 16),
        op(LOAD_WORD, 4, 1, 4, 0),
        op(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        // Each condition that fails jumps behind the rule.
        let mut conditions = vec![(2u8, if rule.block { 1 } else { 2 })];
        conditions.extend(rule.major.map(|major| (4, major as i32)));
        conditions.extend(rule.minor.map(|minor| (5, minor as i32)));
        // What is wanted beyond what is allowed must be nothing: two instructions before its jump.
        let length = conditions.len() + 3 + 2;
        let mut at = 0;
        for (register, value) in conditions {
            at += 1;
            program.push(op(JUMP_NOT_EQUAL, register, 0, (length - at) as i16, value));
        }
        program.extend([
            op(MOVE_REGISTER_32, 6, 3, 0, 0),
            op(AND_CONSTANT_32, 6, 0, 0, !rule.access as i32),
            op(JUMP_NOT_EQUAL, 6, 0, 2, 0),
            op(MOVE_CONSTANT, 0, 0, 0, 1),
            op(EXIT, 0, 0, 0, 0),
        ]);
    }
    program.extend([op(MOVE_CONSTANT, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// The beginning of `union bpf_attr` for loading; the kernel takes missing fields as zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of a structure laid out as the command wants it; what it points to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// Lets the processes of a cgroup open these devices and no others. Holds for as long as the cgroup exists.
pub(crate) fn restrict(cgroup: &Path, rules: &[Allowed]) -> io::Result<()> {
    let instructions = program(rules);
    let license = c"Apache-2.0";
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    let loaded = bpf(BPF_PROG_LOAD, &load)?;
    // SAFETY: the kernel just made it for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let target = File::open(cgroup)?;
    let attach = Attach {
        target: target.as_raw_fd() as u32,
        program: loaded.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    bpf(BPF_PROG_ATTACH, &attach).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs a shell script in a new v2 cgroup with these rules; its output.
    fn under(rules: &[Allowed], script: &str) -> Option<String> {
        let mount =
            ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new).into_iter().find(|mount| {
                nix::sys::statfs::statfs(*mount)
                    .is_ok_and(|s| s.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
            })?;
        let dir = mount.join(format!("longshore-devices-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a cgroup");
        let result = restrict(&dir, rules).map(|()| {
            let script = format!("echo $$ > {}/cgroup.procs; {script}", dir.display());
            let output = Command::new("/bin/busybox").args(["sh", "-c", &script]).output().expect("busybox");
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        std::fs::remove_dir(&dir).expect("an empty cgroup");
        Some(result.expect("a program that the kernel takes"))
    }

    #[test]
    fn only_what_is_allowed_can_be_opened() {
        let script = "for d in null zero kmsg loop-control; do
            test -e /dev/$d || continue; (: < /dev/$d) 2>/dev/null && echo $d || echo no $d; done;
            (: > /dev/full) 2>/dev/null && echo full";
        // Without a v2 hierarchy there is nothing to test, and libcontainer's files do the work.
        let Some(text) = under(&defaults(), script) else { return };
        assert!(text.starts_with("null\nzero\nno kmsg\n") && text.ends_with("full\n"), "{text}");
        let read_only = [Allowed { block: false, major: Some(1), minor: Some(3), access: READ }];
        let script = "(: < /dev/null) && echo read; (: > /dev/null) 2>&- || echo not written; (: < /dev/zero) 2>&- || echo not zero";
        assert_eq!(under(&read_only, script).as_deref(), Some("read\nnot written\nnot zero\n"));
    }
}
