//! The default system-call filter as a BPF program, without libseccomp.
//!
//! The list of allowed calls ([`table`]) is what Docker and containerd allow; calls that need a capability are allowed only to
//! containers that have it. A denied call fails with EPERM, `clone3` with ENOSYS (its flags are behind a pointer that BPF cannot follow,
//! and C libraries then fall back to `clone`). Calls of another architecture (32-bit programs, x32) fail with ENOSYS.
//!
//! The program is a binary search over ranges of call numbers, so that a call costs about nine comparisons rather than hundreds.

mod table;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};
use std::collections::BTreeMap;

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENT_0: u32 = 16;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;

/// Numbers from here on are x32's on x86_64 and nobody's elsewhere.
const FOREIGN_NUMBERS: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Namespaces that an ordinary process may not make with `clone`: all but threads' own flags.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Return(u32),
    /// Allowed when the low half of the first argument is one of these.
    FirstArgumentIn(&'static [u32]),
    FirstArgumentIsNot(u32),
    /// Allowed when the first argument has none of these bits.
    FirstArgumentWithout(u32),
}

/// The filter for a container with these capabilities (bit N: capability N).
pub(crate) fn filter(capabilities: u64) -> Vec<sock_filter> {
    let rules = rules(capabilities);
    let mut program = vec![
        load(OFFSET_ARCH),
        jump(BPF_JEQ, AUDIT_ARCH, 1, 0),
        give(UNKNOWN),
        load(OFFSET_NUMBER),
        jump(BPF_JGE, FOREIGN_NUMBERS, 0, 1),
        give(UNKNOWN),
    ];
    search(&ranges(&rules), &mut program);
    program
}

fn rules(capabilities: u64) -> BTreeMap<u32, Rule> {
    let has = |capability: u32| capabilities & (1 << capability) != 0;
    let mut rules: BTreeMap<u32, Rule> = table::always().map(|n| (n, Rule::Return(ALLOW))).collect();
    rules.insert(libc::SYS_socket as u32, Rule::FirstArgumentIsNot(libc::AF_VSOCK as u32));
    rules.insert(libc::SYS_personality as u32, Rule::FirstArgumentIn(table::PERSONALITIES));
    rules.insert(libc::SYS_clone as u32, Rule::FirstArgumentWithout(NAMESPACE_FLAGS));
    rules.insert(libc::SYS_clone3 as u32, Rule::Return(UNKNOWN));
    for (capability, numbers) in table::BY_CAPABILITY {
        if has(*capability) {
            rules.extend(numbers.iter().map(|n| (*n, Rule::Return(ALLOW))));
        }
    }
    rules
}

/// Neighbouring numbers with the same fate, each range by its first number, ascending and without gaps from zero.
fn ranges(rules: &BTreeMap<u32, Rule>) -> Vec<(u32, Rule)> {
    let refuse = Rule::Return(REFUSE);
    let mut ranges = vec![(0, refuse)];
    let mut push = |first: u32, rule: Rule| match ranges.last_mut() {
        Some(last) if last.0 == first => last.1 = rule,
        Some(last) if last.1 == rule => {}
        _ => ranges.push((first, rule)),
    };
    for (number, rule) in rules {
        push(*number, *rule);
        if !rules.contains_key(&(number + 1)) {
            push(number + 1, refuse);
        }
    }
    // A range that took over its predecessor's first number may now equal the one before.
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    ranges
}

/// Appends code that finds the range of the number in the accumulator and applies its rule.
fn search(ranges: &[(u32, Rule)], program: &mut Vec<sock_filter>) {
    if let [(_, rule)] = ranges {
        return apply(*rule, program);
    }
    let middle = ranges.len() / 2;
    let mut low = Vec::new();
    search(&ranges[..middle], &mut low);
    let first = ranges[middle].0;
    // A conditional jump reaches 255 instructions; an unconditional one any distance.
    if let Ok(distance) = u8::try_from(low.len()) {
        program.push(jump(BPF_JGE, first, distance, 0));
    } else {
        program.push(jump(BPF_JGE, first, 0, 1));
        program.push(statement(BPF_JMP | libc::BPF_JA, low.len() as u32));
    }
    program.append(&mut low);
    search(&ranges[middle..], program);
}

fn apply(rule: Rule, program: &mut Vec<sock_filter>) {
    match rule {
        Rule::Return(value) => program.push(give(value)),
        Rule::FirstArgumentIn(values) => {
            program.push(load(OFFSET_ARGUMENT_0));
            for (index, value) in values.iter().enumerate() {
                // To the last instruction below.
                program.push(jump(BPF_JEQ, *value, (values.len() - index) as u8, 0));
            }
            program.extend([give(REFUSE), give(ALLOW)]);
        }
        Rule::FirstArgumentIsNot(value) => {
            program.extend([load(OFFSET_ARGUMENT_0), jump(BPF_JEQ, value, 1, 0), give(ALLOW), give(REFUSE)]);
        }
        Rule::FirstArgumentWithout(bits) => {
            program.extend([
                load(OFFSET_ARGUMENT_0),
                statement(BPF_ALU | BPF_AND | BPF_K, bits),
                jump(BPF_JEQ, 0, 1, 0),
                give(REFUSE),
                give(ALLOW),
            ]);
        }
    }
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn give(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value)
}

fn jump(condition: u32, k: u32, when: u8, otherwise: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | condition | BPF_K) as u16, jt: when, jf: otherwise, k }
}

#[cfg(test)]
mod tests;
