//! `mk inventory` and `mk vars`: what mk knows before it connects.

use std::process::ExitCode;

use super::args::Common;
use super::out::{self, say};
use super::project::Project;
use super::setup;
use crate::error::{Error, Result};
use crate::inventory::{ALL, Inventory};

fn load(common: &Common) -> Result<Inventory> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder)?;
    if common.inventory.is_none() && project.settings.inventory.is_none() {
        return Err(Error::usage("no inventory is named").hint("name one: `-i inventories/lab`"));
    }
    setup::inventory(common, &project)
}

/// Prints the tree of groups and hosts.
pub(super) fn inventory(common: &Common, json: bool) -> Result<ExitCode> {
    let inventory = load(common)?;
    if json {
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

/// Prints a host's variables, or the origins of one.
pub(super) fn vars(common: &Common, host: &str, why: Option<&str>) -> Result<ExitCode> {
    let inventory = load(common)?;
    match why {
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
