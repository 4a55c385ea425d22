//! The plan of a check (dry run): what its earlier steps would have left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::Content;

/// What kind of thing stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// A path as a planned step would leave it. What is `None` stays as the host has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Planned {
    /// What will stand there; `None` when nothing will.
    pub kind: Option<Kind>,
    /// Its bytes, when they are known.
    pub content: Option<Content>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner's name.
    pub owner: Option<String>,
    /// The group's name.
    pub group: Option<String>,
    /// Where a link points.
    pub target: Option<String>,
}

/// What a change means to steps of other operations.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A path will be like this.
    Path(PathBuf, Planned),
    /// A path and everything below it will be gone.
    Gone(PathBuf),
    /// Files will appear below this path whose names and contents are not known here, and why.
    Below(PathBuf, String),
    /// A user will be there with this primary group and home.
    User(String, String, String),
    /// A user will be gone.
    UserGone(String),
    /// A group will be there.
    Group(String),
    /// A group will be gone.
    GroupGone(String),
    /// Packages will be there, and files with them that nobody knows yet.
    Packages(Vec<String>),
    /// Packages will be gone.
    PackagesGone(Vec<String>),
}

impl Effect {
    /// Whether it changes what is found at a path.
    pub fn is_of_a_path(&self) -> bool {
        matches!(self, Self::Path(..) | Self::Gone(_) | Self::Below(..))
    }
}

/// The host as planned, laid over the host as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    paths: BTreeMap<PathBuf, Planned>,
    below: BTreeMap<PathBuf, String>,
    users: BTreeMap<String, Option<(String, String)>>,
    groups: BTreeMap<String, bool>,
    packages: BTreeMap<String, bool>,
    states: BTreeMap<String, Value>,
    #[serde(default)]
    ran: bool,
}

impl Plan {
    /// Takes an effect in.
    pub fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Path(path, planned) => {
                let known = self.paths.remove(&path);
                let merged = match known {
                    // A step that manages only some of what an earlier one planned keeps the rest.
                    Some(old) if old.kind.is_some() && old.kind == planned.kind => Planned {
                        kind: planned.kind,
                        content: planned.content.or(old.content),
                        mode: planned.mode.or(old.mode),
                        owner: planned.owner.or(old.owner),
                        group: planned.group.or(old.group),
                        target: planned.target.or(old.target),
                    },
                    _ => planned,
                };
                self.paths.insert(path, merged);
            }
            Effect::Gone(path) => {
                self.paths.retain(|known, _| !known.starts_with(&path));
                self.paths.insert(path, Planned::default());
            }
            Effect::Below(path, reason) => drop(self.below.insert(path, reason)),
            Effect::User(name, group, home) => {
                self.groups.insert(group.clone(), true);
                self.users.insert(name, Some((group, home)));
            }
            Effect::UserGone(name) => drop(self.users.insert(name, None)),
            Effect::Group(name) => drop(self.groups.insert(name, true)),
            Effect::GroupGone(name) => drop(self.groups.insert(name, false)),
            Effect::Packages(names) => self.packages.extend(names.into_iter().map(|name| (name, true))),
            Effect::PackagesGone(names) => self.packages.extend(names.into_iter().map(|name| (name, false))),
        }
    }

    /// Whether no step has planned anything yet.
    pub fn is_empty(&self) -> bool {
        let Self { paths, below, users, groups, packages, states, ran } = self;
        let things = paths.is_empty() && below.is_empty() && packages.is_empty() && states.is_empty();
        things && users.is_empty() && groups.is_empty() && !ran
    }

    /// Takes note that a command would have run, whatever it does.
    pub fn would_run(&mut self) {
        self.ran = true;
    }

    /// The plan for a path, if there is one.
    pub fn path(&self, path: &Path) -> Option<&Planned> {
        if let Some(planned) = self.paths.get(path) {
            return Some(planned);
        }
        // Below something that will be gone, everything is gone.
        let gone = |parent: &Path| self.paths.get(parent).filter(|planned| planned.kind.is_none());
        path.ancestors().skip(1).find_map(gone)
    }

    /// Why a path that is not there now may be there then.
    pub fn doubt(&self, path: &Path) -> Option<String> {
        if let Some(reason) = path.ancestors().find_map(|parent| self.below.get(parent)) {
            return Some(reason.clone());
        }
        self.packages_planned().map(|names| format!("{names} not installed yet"))
    }

    /// The packages planned, in words.
    pub fn packages_planned(&self) -> Option<String> {
        let planned = self.packages.iter().filter(|(_, there)| **there);
        let names: Vec<String> = planned.map(|(name, _)| format!("`{name}`")).collect();
        match names.len() {
            0 => None,
            1 => Some(format!("package {} is", names[0])),
            _ => Some(format!("packages {} are", names.join(", "))),
        }
    }

    /// Whether a package is planned to be there or to be gone; `None` when no step cares for it.
    pub fn package(&self, name: &str) -> Option<bool> {
        self.packages.get(name).copied()
    }

    /// A planned user's primary group and home; an inner `None` when it is planned to be gone.
    #[expect(clippy::option_option, reason = "not planned, planned to be gone, planned to be there")]
    pub fn user(&self, name: &str) -> Option<Option<&(String, String)>> {
        self.users.get(name).map(Option::as_ref)
    }

    /// Whether a group is planned to be there or to be gone; `None` when no step cares for it.
    pub fn group(&self, name: &str) -> Option<bool> {
        self.groups.get(name).copied()
    }

    /// Remembers the state an operation planned for its subject.
    pub fn remember(&mut self, op: &str, subject: &str, state: Value) {
        self.states.insert(format!("{op} {subject}"), state);
    }

    /// The state an operation planned for its subject; null when it is planned to be absent.
    pub fn recall(&self, op: &str, subject: &str) -> Option<&Value> {
        self.states.get(&format!("{op} {subject}"))
    }

    /// Planned files directly below a directory.
    pub fn children(&self, dir: &Path) -> impl Iterator<Item = (&Path, &Planned)> {
        let dir = dir.to_owned();
        self.paths
            .iter()
            .filter(move |(path, _)| path.parent() == Some(&dir))
            .map(|(path, planned)| (path.as_path(), planned))
    }
}
