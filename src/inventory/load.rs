//! Reading an inventory from disk and putting its parts together.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Place, Result};
use crate::trust::Guard;

use super::decode::Fields;
use super::groups::Tree;
use super::hosts::{self, Defaults};
use super::model::{ALL, Host, Inventory, UNGROUPED};
use super::names;
use super::vars::{Extras, Layer, Variable, variables};
use super::way::Way;
use super::yaml::{self, Node};

/// The file of an inventory that is a folder.
const FILE: &str = "inventory.yml";

impl Inventory {
    /// An inventory without hosts, for playbooks that work on this machine only.
    pub fn none(extras: &Extras) -> Self {
        let global = vec![extras.defaults.as_slice().into(), extras.command_line.as_slice().into()];
        let (host_index, group_index) = (std::collections::HashMap::new(), std::collections::HashMap::new());
        Self { file: PathBuf::new(), hosts: Vec::new(), groups: Vec::new(), host_index, group_index, global }
    }

    /// Loads a folder with `inventory.yml` in it, or a file. `group_vars` and `host_vars` are beside the file.
    ///
    /// It names programs that run on this side, the ways through a `proxy`: so it is read only where `guard` lets it.
    ///
    /// # Errors
    /// When anything in it is wrong, with the place.
    pub fn load(path: &Path, extras: &Extras, guard: &Guard) -> Result<Self> {
        let file = locate(path)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        guard.enter(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|e| Error::inventory(format!("`{}` has no absolute path", path.display())).because(e))
        };
        let file_absolute = absolute(&file)?;

        let mut top = Fields::of(read_yaml(&file, guard)?, "the inventory", &["vars", "defaults", "groups", "hosts"])?;
        let defaults = Defaults::decode(top.take("defaults"))?;
        let key_folder = file_absolute.parent().unwrap_or(Path::new("/"));
        let (drafts, host_index) = hosts::decode(top.take("hosts"), &defaults, key_folder)?;
        let mut tree = Tree::decode(top.take("groups"), &host_index)?;
        let label = format!("group `{ALL}`");
        tree.vars[0] = top.take("vars").map(|node| variables(node, "`vars`", &label)).transpose()?.unwrap_or_default();

        let mut group_layers: Vec<Vec<Layer>> = tree.vars.drain(..).map(|own| vec![own.into()]).collect();
        for (name, path) in variable_files(folder, "group_vars")? {
            let Some(group) = tree.index.get(&name) else {
                return Err(stray(&path, "group", &name, tree.groups.iter().map(|group| group.name.as_str())));
            };
            group_layers[*group].push(read_variables(&path, &format!("group `{name}`"), guard)?.into());
        }
        let mut host_files: Vec<Option<Layer>> = vec![None; drafts.len()];
        for (name, path) in variable_files(folder, "host_vars")? {
            let Some(host) = host_index.get(&name) else {
                return Err(stray(&path, "host", &name, drafts.iter().map(|host| host.name.as_str())));
            };
            host_files[*host] = Some(read_variables(&path, "host", guard)?.into());
        }

        let lowest: Layer = extras.defaults.as_slice().into();
        let highest: Layer = extras.command_line.as_slice().into();
        let mut global = vec![lowest.clone()];
        global.extend(group_layers[0].iter().cloned());
        global.push(highest.clone());
        let hosts = drafts.into_iter().zip(&tree.of_host).zip(host_files).map(|((draft, groups), file)| {
            let mut layers = vec![lowest.clone()];
            layers.extend(groups.iter().flat_map(|group| group_layers[*group].iter().cloned()));
            layers.push(draft.vars);
            layers.extend(file);
            layers.extend(extras.learned.get(&draft.name).map(|learned| Layer::from(learned.as_slice())));
            layers.push(highest.clone());
            layers.retain(|layer| !layer.is_empty());
            let names = groups.iter().map(|group| tree.groups[*group].name.clone());
            let mut groups: Vec<String> = names.filter(|name| name != ALL).collect();
            groups.sort_unstable();
            Host {
                name: draft.name,
                ways: draft.ways,
                become_user: draft.become_user,
                groups,
                place: draft.place,
                layers,
            }
        });
        let hosts: Vec<Host> = hosts.collect();
        // Who may write to these says which hosts are the right ones.
        let known_hosts = hosts.iter().flat_map(|host| &host.ways).filter_map(|way| match way {
            Way::Ssh(way) => way.known_hosts.as_ref(),
            Way::Local {} => None,
        });
        for file in known_hosts.collect::<BTreeSet<_>>() {
            guard.check(file).map_err(|e| e.as_kind(Kind::Inventory))?;
        }
        Ok(Self { file: file_absolute, hosts, groups: tree.groups, host_index, group_index: tree.index, global })
    }
}

/// The file that `path` means.
fn locate(path: &Path) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::inventory(format!("there is no inventory at `{}`", path.display())),
        _ => unreadable(path, &e),
    })?;
    if !metadata.is_dir() {
        return Ok(path.to_owned());
    }
    let file = path.join(FILE);
    match fs::metadata(&file) {
        Ok(_) => Ok(file),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::inventory(format!("the folder `{}` has no `{FILE}`", path.display())))
        }
        Err(e) => Err(unreadable(&file, &e)),
    }
}

/// Reads and parses a file.
pub(super) fn read_yaml(path: &Path, guard: &Guard) -> Result<Node> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that an endless file ends and is still seen to be too large.
    let most = u64::try_from(yaml::LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let file =
        guard.open(path).map_err(|e| e.as_kind(Kind::Inventory).at(Place::new(path.display().to_string(), 0, 0)))?;
    file.take(most).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    yaml::parse_bytes(&path.display().to_string(), &bytes)
}

fn read_variables(path: &Path, label: &str, guard: &Guard) -> Result<Vec<Variable>> {
    variables(read_yaml(path, guard)?, "a file of variables", label)
}

/// The files of variables in a folder beside the inventory, each with the name it is for, sorted by name.
///
/// A file that would not be read is refused: variables that are silently not there are hard to find.
fn variable_files(folder: &Path, name: &str) -> Result<Vec<(String, PathBuf)>> {
    let folder = folder.join(name);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(&folder, &e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(&folder, &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What editors and version control leave lying about, and notes for people.
        let is_note = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md"));
        if name.starts_with('.') || name.ends_with(['~', '#']) || is_note {
            continue;
        }
        let Some(stem) = name.strip_suffix(".yml") else {
            let stem = name.strip_suffix(".yaml").unwrap_or(&name);
            return Err(Error::inventory(format!("`{}` would not be read", path.display()))
                .at(Place::new(path.display().to_string(), 0, 0))
                .hint(format!("name the file `{stem}.yml`")));
        };
        files.push((stem.to_owned(), path));
    }
    files.sort_unstable();
    Ok(files)
}

/// The fault of a file of variables that is for nothing in the inventory.
fn stray<'a>(path: &Path, what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let path = path.display().to_string();
    let known = known.filter(|known| *known != UNGROUPED);
    let fault = Error::inventory(format!("`{path}` is for the {what} `{name}`, which is not in the inventory"));
    names::suggest(fault.at(Place::new(path, 0, 0)), name, known)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let path = path.display().to_string();
    Error::inventory(format!("cannot read `{path}`")).because(error).at(Place::new(path, 0, 0))
}
