//! `mk vars`: the variables of a host, and where each came from.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::args::Common;
use super::inventory::load;
use super::out::say;
use crate::error::Result;

/// Show the variables of a host, or where one came from.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The host.
    host: String,
    /// Show everything that gave this variable a value, the winner first.
    #[arg(long, value_name = "KEY")]
    why: Option<String>,
}

/// Prints a host's variables, or the origins of one.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let inventory = load(&args.common)?;
    let host = &args.host;
    match args.why.as_deref() {
        None => {
            for (key, value) in inventory.vars(host)? {
                say!("{key}: {value}");
            }
        }
        Some(key) => {
            for variable in inventory.why(host, key)? {
                let place = variable.origin.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
                say!("{key}: {}  ({}{place})", variable.value, variable.origin.label);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
