//! `mk facts`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::args::{Common, Reach};
use super::hosts;
use super::out;
use crate::error::Result;
use crate::run;

/// Print the facts of hosts, as JSON.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The hosts, as a pattern.
    pattern: String,
    /// Only these facts.
    #[arg(long, value_delimiter = ',', value_name = "FACT")]
    only: Vec<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    reach: Reach,
}

/// Prints a map by host name.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let ready = hosts::silent(&args.common, &args.reach)?;
    let run = Arc::clone(&ready.run);
    let mut parameters = Map::new();
    if !args.only.is_empty() {
        parameters.insert("only".to_owned(), json!(args.only));
    }
    run::checked("facts", &parameters)?;
    let found: Mutex<Map<String, Value>> = Mutex::default();
    let folder = std::env::current_dir().unwrap_or_default();
    let names = hosts::named(&run, &args.pattern)?;
    let faults = run::each(&run, names.clone(), |host| {
        let outcome = run::ad_hoc(&run, host, "facts", parameters.clone(), &folder)?;
        let facts = Value::Object(outcome.values);
        found.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), facts);
        Ok(())
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let sorted: Map<String, Value> =
        names.into_iter().filter_map(|name| found.remove(&name).map(|facts| (name, facts))).collect();
    out::json(&Value::Object(sorted));
    drop(run);
    Ok(hosts::finished(ready, &faults, |_| false))
}
