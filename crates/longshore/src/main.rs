//! The `longshore` binary: the control plane and the node agent of one machine, and the tools around them.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

/// Requests make and drop many small things on every thread: placements are up to a quarter faster than with the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else, and before any thread: the shim is this same binary, started by the agent for each task.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "shim") {
        return container_runtime::shim_main(args);
    }
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("longshore: {error:#}");
            ExitCode::FAILURE
        }
    }
}
