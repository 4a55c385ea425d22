//! The inventory as the rest of mk sees it: hosts, groups, and the questions that can be asked of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Place, Result};

use super::names;
use super::vars::{Layer, Variable};
use super::way::Way;

/// The group every host is in.
pub(crate) const ALL: &str = "all";

/// The group of the hosts that are in no other.
pub(crate) const UNGROUPED: &str = "ungrouped";

/// A host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name, unique in the inventory, and no group's.
    pub name: String,
    /// The ways in, at least one, in the order to try them.
    pub ways: Vec<Way>,
    /// The user to become through sudo after login. `None` stays the login user.
    pub become_user: Option<String>,
    /// Every group it is in, ancestors too, sorted. [`ALL`] is left out; a host in no group is in [`UNGROUPED`].
    pub groups: Vec<String>,
    /// Where it is defined.
    pub place: Place,
    /// What gives it variables, lowest first.
    pub(super) layers: Vec<Layer>,
}

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The hosts it names itself, in inventory order.
    pub hosts: Vec<String>,
    /// The groups it names itself. Those of [`ALL`] are the groups that no other contains.
    pub children: Vec<String>,
    /// How many groups are above it at most: 0 for [`ALL`], 1 for its children.
    pub depth: usize,
    /// The positions of all its hosts, descendants' too, ascending.
    pub(super) members: Vec<usize>,
}

/// Hosts, groups and variables, completely checked: no question asked later finds the inventory wrong.
#[derive(Debug, Clone)]
pub struct Inventory {
    pub(super) file: PathBuf,
    pub(super) hosts: Vec<Host>,
    /// [`ALL`], [`UNGROUPED`], then the others as the file has them.
    pub(super) groups: Vec<Group>,
    pub(super) host_index: HashMap<String, usize>,
    pub(super) group_index: HashMap<String, usize>,
    /// What gives every host variables, lowest first.
    pub(super) global: Vec<Layer>,
}

impl Inventory {
    /// The file it was read from, absolute.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Every host, in inventory order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host> {
        if let Some(index) = self.host_index.get(name) {
            return Ok(&self.hosts[*index]);
        }
        let fault = Error::inventory(format!("no host is called `{name}`"));
        Err(names::suggest(fault, name, self.hosts.iter().map(|host| host.name.as_str())))
    }

    /// Every group: [`ALL`] and [`UNGROUPED`] first, then in the order of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group called `name`. The tree begins at [`ALL`].
    ///
    /// # Errors
    /// When there is none.
    pub fn group(&self, name: &str) -> Result<&Group> {
        if let Some(index) = self.group_index.get(name) {
            return Ok(&self.groups[*index]);
        }
        let fault = Error::inventory(format!("no group is called `{name}`"));
        Err(names::suggest(fault, name, self.groups.iter().map(|group| group.name.as_str())))
    }

    /// The hosts of a group and of every group in it, in inventory order.
    pub fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Host> {
        group.members.iter().map(|index| &self.hosts[*index])
    }

    /// Every variable of a host, with the value that wins.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn vars(&self, host: &str) -> Result<Map<String, Value>> {
        Ok(self.host(host)?.vars())
    }

    /// The variables that hold for every host, with the values that win among those.
    pub fn vars_of_all(&self) -> Map<String, Value> {
        let variables = self.global.iter().flat_map(|layer| layer.iter());
        variables.map(|variable| (variable.key.clone(), variable.value.clone())).collect()
    }

    /// Everything that gave a variable of a host its value, from the one that wins to the lowest.
    ///
    /// # Errors
    /// When there is no such host, or it has no such variable.
    pub fn why(&self, host: &str, key: &str) -> Result<Vec<&Variable>> {
        self.host(host)?.why(key)
    }

    /// All of it as data: hosts with their ways, groups and variables; groups with all hosts in them.
    pub fn to_json(&self) -> Value {
        let hosts: Map<String, Value> = self.hosts.iter().map(|host| (host.name.clone(), host.to_json())).collect();
        let group = |group: &Group| {
            let members: Vec<_> = self.members(group).map(|host| &host.name).collect();
            (group.name.clone(), json!({ "hosts": members, "children": group.children }))
        };
        json!({ "hosts": hosts, "groups": self.groups.iter().map(group).collect::<Map<_, _>>() })
    }
}

impl Host {
    fn to_json(&self) -> Value {
        json!({
            "groups": self.groups,
            "become": self.become_user,
            // Fails only for a path that is not UTF-8.
            "ways": serde_json::to_value(&self.ways).unwrap_or_default(),
            "vars": self.vars(),
        })
    }
}
