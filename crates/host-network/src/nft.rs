//! Runs the `nft` program on a script. One run is one transaction: all of it happens or nothing.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::NetworkError;

/// Its messages quote the script; more than this helps no one.
const MESSAGE_BYTES: u64 = 4096;

#[derive(Debug, Clone)]
pub(crate) struct Nft {
    program: PathBuf,
}

impl Nft {
    pub(crate) fn new(program: &Path) -> Nft {
        Nft { program: program.to_owned() }
    }

    /// Carries out `script` in the calling thread's namespace. `what` completes "nft could not …".
    pub(crate) fn run(&self, what: &str, script: &str) -> Result<(), NetworkError> {
        self.with_input(&["-f", "-"], script).map(drop).map_err(|message| failed(what, message))
    }

    /// What `nft` prints for `arguments`.
    pub(crate) fn output(&self, what: &str, arguments: &[&str]) -> Result<String, NetworkError> {
        self.with_input(arguments, "").map_err(|message| failed(what, message))
    }

    fn with_input(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))?;
        // It reads the whole script before it answers. A failed write shows as its refusal of half a script.
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let mut message = String::new();
        let mut output = String::new();
        let errors = child.stderr.take();
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut errors = errors?;
                errors.by_ref().take(MESSAGE_BYTES).read_to_string(&mut message).ok()?;
                std::io::copy(&mut errors, &mut std::io::sink()).ok()
            });
            child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut output))
        });
        let status = child.wait().map_err(|error| format!("cannot wait for it: {error}"))?;
        match (status.success(), written, read) {
            (true, Some(Ok(())), Some(Ok(_))) => Ok(output),
            (true, ..) => Err("its input or output broke off".to_owned()),
            (false, ..) => Err(format!("{status}: {}", message.trim())),
        }
    }
}

fn failed(what: &str, message: String) -> NetworkError {
    NetworkError::Nft { what: what.to_owned(), message }
}
