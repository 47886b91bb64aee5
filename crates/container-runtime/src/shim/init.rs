//! The small first process of a container that asks for one (`initProcessEnabled`).
//!
//! It is the container's own process, already confined like the program, that forks the program instead of becoming it: nothing needs to be in
//! the image. It passes signals on, reaps what is left to it, and ends as the program ends.

use super::process;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;

/// Forks: returns in the child, which becomes the program. The parent stays here until the child ends.
pub(super) fn split() -> io::Result<()> {
    let before = process::block_signals()?;
    match process::fork()? {
        None => {
            // A group of its own, in front of the terminal if there is one, so that the keyboard's signals reach it once.
            let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
            before.thread_set_mask()?;
            Ok(())
        }
        Some(program) => {
            process::close_all_but(&[]);
            watch(program)
        }
    }
}

fn watch(program: Pid) -> ! {
    loop {
        match process::next_signal() {
            libc::SIGCHLD => {}
            // A terminal's, to those who use it from behind.
            libc::SIGTTIN | libc::SIGTTOU => continue,
            signal => {
                // Gone: its end is on the way.
                let _ = process::send_signal(program, signal);
                continue;
            }
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == program => process::exit(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                    process::exit(128 + signal as i32)
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}
