//! The shim process: one task's containers, their output and their ends, in a single-threaded poll loop.

pub(crate) mod files;

use std::ffi::OsString;
use std::process::ExitCode;

/// The shim's `main`. `args` are those after `EXE shim`. Call it before any thread exists: libcontainer clones this process.
/// Returns when the task was shut down, or when no task was assigned before the agent went away.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    drop(args.into_iter());
    ExitCode::FAILURE
}
