//! `mk ledger`: what mk made on hosts.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::args::Common;
use super::out::{self, say};
use super::project::Project;
use super::setup;
use crate::error::Result;
use crate::state::{Entry, StateDir};

/// List what mk made on hosts and has not taken away, without connecting.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The hosts, as a pattern. Without it, all that the ledger knows.
    pattern: Option<String>,
    /// Only what calls in files with this in their path made, such as `07-etcd` or `worker.rhai`.
    #[arg(long, value_name = "FILE")]
    by: Option<String>,
    #[command(flatten)]
    common: Common,
    /// For machines: by host, each thing with the call that takes it away.
    #[arg(long)]
    json: bool,
}

/// Whether a thing was made by a call in a file of that name.
pub(super) fn is_by(entry: &Entry, by: Option<&str>) -> bool {
    by.is_none_or(|by| entry.by.as_deref().is_some_and(|place| place.contains(by)))
}

/// Prints what the ledger has; connects to nothing.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder, setup::guard(&args.common)?)?;
    let inventory = setup::inventory(&args.common, &project)?;
    let ledger = StateDir::of(&project.folder, inventory.file()).ledger();
    // Without a pattern, also the hosts that have left the inventory.
    let names = match &args.pattern {
        Some(pattern) => inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect(),
        None => ledger.hosts()?,
    };
    let mut all = Map::new();
    for name in names {
        let made = ledger.made(&name, None)?;
        let made: Vec<Entry> = made.into_iter().filter(|entry| is_by(entry, args.by.as_deref())).collect();
        if args.json {
            all.insert(name, json!(made));
            continue;
        }
        for entry in made {
            let by = entry.by.as_deref().unwrap_or("?");
            say!("{name:<14} {:<14} {}  ({by}, {})", entry.op, entry.subject, when(entry.at));
        }
    }
    if args.json {
        out::json(&Value::Object(all));
    }
    Ok(ExitCode::SUCCESS)
}

fn when(at: i64) -> String {
    jiff::Timestamp::from_second(at).map(|at| at.strftime("%F %T UTC").to_string()).unwrap_or_default()
}
