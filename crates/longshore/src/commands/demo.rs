//! `longshore demo`: the platform at work, on a platform of its own that is gone afterwards.
//!
//! Everything is done by the clients that users have: the AWS CLI, buildah and curl. What is printed is what is run, so
//! that each line can be pasted into a shell.

mod run;
mod steps;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};

use crate::cli::DemoArgs;

/// What has to be installed, and by which package of Debian.
const TOOLS: [(&str, &str); 3] = [("aws", "awscli"), ("buildah", "buildah"), ("curl", "curl")];
const BUSYBOX: &str = "/bin/busybox";

pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| find(tool).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("the demo needs more tools; install them with: apt-get install {}", missing.join(" "));
    }
    if !is_static(BUSYBOX) {
        bail!(
            "the demo's image is made of a static busybox; install it with: apt-get install busybox-static"
        );
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(run::run(args))
}

/// Where a program is on the search path. Debian's own directories come first: its AWS CLI is version 2, which has `logs tail`.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = ["/usr/bin", "/bin"].map(PathBuf::from);
    own.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Whether a file is a program that needs no other files: an ELF file (64 bit, the machine's byte order) without an
/// interpreter among its program headers.
fn is_static(path: &str) -> bool {
    const INTERPRETER: u32 = 3;
    let Ok(bytes) = std::fs::read(path) else { return false };
    let number = |at: usize, length: usize| -> Option<usize> {
        let mut word = [0; 8];
        word[..length].copy_from_slice(bytes.get(at..at + length)?);
        usize::try_from(u64::from_le_bytes(word)).ok()
    };
    let headers =
        || -> Option<(usize, usize, usize)> { Some((number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?)) };
    let Some((offset, size, count)) = headers().filter(|_| bytes.starts_with(b"\x7fELF\x02\x01")) else {
        return false;
    };
    (0..count).all(|index| number(offset + index * size, 4) != Some(INTERPRETER as usize))
}
