//! Arguments, exit codes, and the remedy added to a fault. Nothing below prints or ends the process.
//!
//! A command is a file: its arguments with their help, and what it does.

mod ad_hoc;
mod agent;
mod args;
mod artifacts;
mod completions;
mod connect;
mod doc;
mod exit;
mod explain;
mod facts;
mod hostkeys;
mod hosts;
mod inventory;
mod ledger;
mod lint;
mod out;
mod pending;
mod project;
mod prompt;
mod prune;
mod run;
mod setup;
mod trust;
mod vars;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use exit::code;

/// An automation engine whose playbooks are Rhai scripts.
///
/// Exit codes: 0 converged, 1 a step failed, 2 usage, playbook or inventory error, 3 a check found changes
/// (with --exit-code), 4 a host could not be reached, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "mk", version, propagate_version = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What mk can do. What each is for stands with its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Do(ad_hoc::Args),
    Lint(lint::Args),
    Doc(doc::Args),
    Explain(explain::Args),
    Inventory(inventory::Args),
    Vars(vars::Args),
    Ledger(ledger::Args),
    Prune(prune::Args),
    Pending(pending::Args),
    Facts(facts::Args),
    Hostkeys(hostkeys::Args),
    Agent(agent::Args),
    Artifacts(artifacts::Args),
    Trust(trust::Args),
    Completions(completions::Args),
}

/// Runs mk as the command line asks.
pub fn main() -> ExitCode {
    crate::sys::keep_memory_private();
    let outcome = match Args::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Do(args) => ad_hoc::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Doc(args) => doc::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Inventory(args) => inventory::run(&args),
        Command::Vars(args) => vars::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Prune(args) => prune::run(&args),
        Command::Pending(args) => pending::run(&args),
        Command::Facts(args) => facts::run(&args),
        Command::Hostkeys(args) => hostkeys::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Artifacts(args) => artifacts::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    let failed = |error: crate::error::Error| {
        out::fault(&error);
        ExitCode::from(code(error.kind()))
    };
    let ended = outcome.unwrap_or_else(failed);
    match out::ended() {
        // Nothing is graver but that the user has ended it.
        Err(unwritten) if ended != ExitCode::from(130) => failed(unwritten),
        _ => ended,
    }
}
