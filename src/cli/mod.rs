//! Arguments, exit codes, and the remedy added to a fault. Nothing below prints or ends the process.

mod ad_hoc;
mod args;
mod artifacts;
mod connect;
mod doc;
mod exit;
mod explain;
mod hostkeys;
mod hosts;
mod lint;
mod out;
mod project;
mod prompt;
mod prune;
mod run;
mod setup;
mod show;

use std::process::ExitCode;

use clap::Parser;

use crate::report::{Look, render_fault};
use out::complain;

pub use args::Args;
pub use exit::code;

/// Runs mk as the command line asks.
pub fn main() -> ExitCode {
    let args = Args::parse();
    crate::secret::keep_memory_private();
    let outcome = match args.command {
        args::Command::Run(run) => run::run(&run),
        args::Command::Do(ad_hoc) => ad_hoc::run(&ad_hoc),
        args::Command::Lint(args) => lint::run(&args),
        args::Command::Doc { name } => doc::run(name.as_deref()),
        args::Command::Explain { topic } => explain::run(topic.as_deref()),
        args::Command::Facts(args) => hosts::facts(&args),
        args::Command::Agent { command: args::AgentCommand::Remove { pattern, common, reach } } => {
            hosts::remove_agent(&pattern, &common, &reach)
        }
        args::Command::Hostkeys { command: args::HostkeysCommand::Scan { pattern, common, reach, yes } } => {
            hostkeys::scan(&pattern, &common, &reach, yes)
        }
        args::Command::Ledger(args) => prune::ledger(&args),
        args::Command::Prune(args) => prune::prune(&args),
        args::Command::Inventory { common, json } => show::inventory(&common, json),
        args::Command::Vars { common, host, why } => show::vars(&common, &host, why.as_deref()),
        args::Command::Artifacts(artifacts) => artifacts::run(&artifacts),
        args::Command::Completions { shell } => {
            args::completions(shell);
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        complain!("{}", render_fault(&error, Look::of(&std::io::stderr())));
        ExitCode::from(code(error.kind()))
    })
}
