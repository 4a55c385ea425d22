//! `mk agent`: what mk leaves on hosts.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args as ClapArgs, Subcommand};

use super::args::{Common, Reach};
use super::hosts;
use super::out::say;
use crate::error::Result;
use crate::run;

/// Look after the agents that mk leaves on hosts.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What to do with agents.
#[derive(Debug, Subcommand)]
enum Command {
    /// Remove the agent and all it keeps from hosts, over the bare connection.
    Remove {
        /// The hosts, as a pattern.
        pattern: String,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        reach: Reach,
    },
}

/// Does what was asked.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let Command::Remove { pattern, common, reach } = &args.command;
    remove(pattern, common, reach)
}

fn remove(pattern: &str, common: &Common, reach: &Reach) -> Result<ExitCode> {
    let ready = hosts::silent(common, reach)?;
    let run = Arc::clone(&ready.run);
    let names = hosts::named(&run, pattern)?;
    let faults = run::each(&run, names, |host| {
        let gone = run.fleet.remove_agent(host)?;
        let what =
            if gone.is_empty() { "nothing was there".to_owned() } else { format!("removed {}", gone.join(", ")) };
        say!("{host:<14} {what}");
        Ok(())
    });
    drop(run);
    Ok(hosts::finished(ready, &faults, |_| false))
}
