//! Running a command where everybody can see it.

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context, bail};
use tokio::{io::AsyncWriteExt, process::Command};

use super::find;

/// Prints and runs commands in the demo's own directory and environment.
pub struct Steps {
    directory: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    colour: bool,
    number: u32,
}

impl Steps {
    pub fn new(directory: &Path, environment: Vec<(&'static str, OsString)>) -> Steps {
        Steps {
            directory: directory.to_owned(),
            environment,
            colour: std::io::stdout().is_terminal(),
            number: 0,
        }
    }

    /// Begins a step.
    pub fn title(&mut self, text: &str) {
        self.number += 1;
        let line = format!("{}. {text}", self.number);
        self.print(&format!("\n{}", self.painted("1", &line)));
    }

    /// Says something beneath the step.
    pub fn note(&self, text: &str) {
        for line in text.lines() {
            self.print(&format!("   {}", self.painted("2", line)));
        }
    }

    /// Runs a command and returns what it printed, without the line's end.
    pub async fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        self.run_with_input(words, None).await
    }

    /// As [`Steps::run`], with text on its standard input.
    pub async fn run_with_input(&self, words: &[&str], input: Option<&str>) -> anyhow::Result<String> {
        let shown: Vec<String> = without_endpoint(words).map(quoted).collect();
        self.print(&format!("   {} {}", self.painted("2", "$"), shown.join(" ")));
        let output = self.output(words, input).await?;
        if !output.status.success() {
            bail!("`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    async fn output(&self, words: &[&str], input: Option<&str>) -> anyhow::Result<Output> {
        let (program, arguments) = words.split_first().context("a command has a program")?;
        let mut command = self.command(program)?;
        command.args(arguments).stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input.as_bytes()).await?;
        }
        Ok(child.wait_with_output().await?)
    }

    /// A command in the demo's directory and environment, not started yet.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let path = find(program).with_context(|| format!("{program} is not installed"))?;
        let mut command = Command::new(path);
        command.current_dir(&self.directory).envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            command.env_remove(name);
        }
        Ok(command)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// The words but `--endpoint-url` and its value: after `eval "$(longshore env)"` nobody has to type them.
fn without_endpoint<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let at = words.iter().position(|word| *word == "--endpoint-url");
    words
        .iter()
        .enumerate()
        .filter(move |(index, _)| at.is_none_or(|at| *index != at && *index != at + 1))
        .map(|(_, word)| *word)
}

/// As a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("--port"), "--port");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
