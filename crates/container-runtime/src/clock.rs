//! How far the machine's clock may be off, as the kernel knows from whoever disciplines it.
//!
//! JUSTIFICATION for `unsafe`: `adjtimex(2)` has no safe wrapper in what the project depends on.
#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit};

/// The clock's state. Source: adjtimex(2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockState {
    /// Whether something keeps it right.
    pub is_synchronized: bool,
    /// The most that it may be off.
    pub error_bound_milliseconds: f64,
}

/// Asks the kernel; changes nothing.
///
/// # Errors
/// What the kernel says: a sandbox may not let anybody ask.
pub fn clock_state() -> io::Result<ClockState> {
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all zeroes are a valid `timex`, whose `modes` then say that nothing is to be changed; the kernel writes into it and keeps
    // no pointer to it.
    let (code, state) = unsafe {
        let code = libc::adjtimex(state.as_mut_ptr());
        (code, state.assume_init())
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockState {
        is_synchronized: code != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0,
        // In microseconds.
        error_bound_milliseconds: state.maxerror as f64 / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_how_far_the_clock_may_be_off() {
        match super::clock_state() {
            Ok(state) => assert!(state.error_bound_milliseconds >= 0.0),
            // Not everywhere may it be asked.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        }
    }
}
