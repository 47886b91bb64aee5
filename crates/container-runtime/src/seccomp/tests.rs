//! The filter is run on every call number by a small interpreter and held against the tables.

use super::*;

/// Runs the program as the kernel would.
fn run(program: &[sock_filter], arch: u32, number: u32, argument: u32) -> u32 {
    let (mut accumulator, mut at) = (0u32, 0usize);
    for _ in 0..program.len() {
        let instruction = program[at];
        let code = u32::from(instruction.code);
        at += 1;
        match code & 0x07 {
            BPF_LD => {
                accumulator = match instruction.k {
                    OFFSET_ARCH => arch,
                    OFFSET_NUMBER => number,
                    OFFSET_ARGUMENT_0 => argument,
                    other => panic!("load from {other}"),
                }
            }
            BPF_ALU => accumulator &= instruction.k,
            BPF_RET => return instruction.k,
            BPF_JMP => {
                at += match code & 0xf0 {
                    libc::BPF_JA => instruction.k as usize,
                    BPF_JEQ if accumulator == instruction.k => usize::from(instruction.jt),
                    BPF_JGE if accumulator >= instruction.k => usize::from(instruction.jt),
                    BPF_JEQ | BPF_JGE => usize::from(instruction.jf),
                    other => panic!("jump {other:x}"),
                }
            }
            other => panic!("class {other}"),
        }
    }
    panic!("the program does not end");
}

#[test]
fn every_number_gets_its_rule() {
    for capabilities in [0, 1 << 21, 1 << 18 | 1 << 38, u64::MAX] {
        let program = filter(capabilities);
        assert!(program.len() < 4096, "{} instructions", program.len());
        let rules = rules(capabilities);
        for number in 0..1024 {
            let expected = match rules.get(&number) {
                None => REFUSE,
                Some(Rule::Return(value)) => *value,
                // With a first argument of zero.
                Some(_) => ALLOW,
            };
            assert_eq!(
                run(&program, AUDIT_ARCH, number, 0),
                expected,
                "call {number} with capabilities {capabilities:x}"
            );
        }
    }
}

#[test]
fn arguments_decide() {
    let program = filter(0);
    let call = |number: i64, argument: u32| run(&program, AUDIT_ARCH, number as u32, argument);
    assert_eq!(call(libc::SYS_clone, libc::CLONE_NEWUSER as u32 | libc::SIGCHLD as u32), REFUSE);
    assert_eq!(call(libc::SYS_clone, (libc::CLONE_VM | libc::CLONE_THREAD) as u32), ALLOW);
    assert_eq!(call(libc::SYS_socket, libc::AF_VSOCK as u32), REFUSE);
    assert_eq!(call(libc::SYS_socket, libc::AF_INET as u32), ALLOW);
    assert_eq!(call(libc::SYS_personality, 0x20008), ALLOW);
    assert_eq!(call(libc::SYS_personality, 0x0040000), REFUSE);
    assert_eq!(call(libc::SYS_clone3, 0), UNKNOWN);
    assert_eq!(call(libc::SYS_unshare, 0), REFUSE);
    assert_eq!(call(libc::SYS_mount, 0), REFUSE);
}

#[test]
fn capabilities_open_calls() {
    let program = filter(1 << 21);
    assert_eq!(run(&program, AUDIT_ARCH, libc::SYS_mount as u32, 0), ALLOW);
    assert_eq!(run(&program, AUDIT_ARCH, libc::SYS_clone as u32, NAMESPACE_FLAGS), ALLOW);
    assert_eq!(run(&program, AUDIT_ARCH, libc::SYS_reboot as u32, 0), REFUSE);
}

#[test]
fn other_architectures_are_told_enosys() {
    let program = filter(u64::MAX);
    assert_eq!(run(&program, 0x4000_0003, libc::SYS_read as u32, 0), UNKNOWN);
    assert_eq!(run(&program, AUDIT_ARCH, FOREIGN_NUMBERS, 0), UNKNOWN);
}
