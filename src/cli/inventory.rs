//! `mk inventory`: what mk knows before it connects.

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::args::Common;
use super::out::{self, say};
use super::project::Project;
use super::setup;
use crate::error::{Error, Result};
use crate::inventory::{ALL, Inventory};

/// Show the inventory: groups, hosts, ways in.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// The inventory that is named.
pub(super) fn load(common: &Common) -> Result<Inventory> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder, setup::guard(common)?)?;
    if common.inventory.is_none() && project.settings.inventory.is_none() {
        return Err(Error::usage("no inventory is named").hint("name one: `-i inventories/lab`"));
    }
    setup::inventory(common, &project)
}

/// Prints the tree of groups and hosts.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let inventory = load(&args.common)?;
    if args.json {
        out::json(&inventory.to_json());
        return Ok(ExitCode::SUCCESS);
    }
    tree(&inventory, ALL, 0);
    Ok(ExitCode::SUCCESS)
}

fn tree(inventory: &Inventory, name: &str, depth: usize) {
    let Ok(group) = inventory.group(name) else { return };
    say!("{:width$}{name}", "", width = depth * 2);
    for host in &group.hosts {
        say!("{:width$}{host}", "", width = depth * 2 + 2);
    }
    for child in &group.children {
        tree(inventory, child, depth + 1);
    }
}
