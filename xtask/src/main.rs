//! The repository's own chores, each a subcommand: `cargo xtask models import`.

mod layers;
mod licences;
mod metadata;
mod models;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask <command>

  check                        layers, licences and duplicate dependencies
  models import [--from DIR]   fetch the pinned botocore package and write models/*.json
  models check  [--from DIR]   fail when an import would change models/*.json
                               (--from: an unpacked botocore package instead of a download)";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => {
            let metadata = metadata::Metadata::read()?;
            layers::check(&metadata)?;
            licences::check(&metadata)
        }
        ["models", "import", rest @ ..] => models::import(&models::Source::from_arguments(rest)?),
        ["models", "check", rest @ ..] => models::check(&models::Source::from_arguments(rest)?),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}
