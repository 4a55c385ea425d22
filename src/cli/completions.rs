//! `mk completions`.

use std::process::ExitCode;

use clap::{Args as ClapArgs, CommandFactory as _};
use clap_complete::Shell;

use crate::error::Result;

/// Print completions for a shell.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints them.
#[expect(clippy::unnecessary_wraps, reason = "as every command")]
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Args::command(), "mk", &mut text);
    super::out::page(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}
