//! The project: the folder of the playbook, or the nearest one above it that has an `mk.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Kind, Place, Result};
use crate::inventory::Variable;
use crate::trust::{Folder, Guard};

/// The file with a project's defaults.
const FILE: &str = "mk.toml";

/// A project's defaults.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// The inventory, relative to the file.
    pub inventory: Option<PathBuf>,
    /// How many hosts at a time.
    pub forks: Option<usize>,
    /// How often it is tried to reach a host, a second apart, where neither inventory nor command line say.
    pub connect_attempts: Option<u32>,
    /// Variables that everything else beats.
    pub vars: BTreeMap<String, Value>,
}

/// A project.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// Its defaults.
    pub settings: Settings,
    /// Who tells what of it, and of all else, may be obeyed.
    pub guard: Guard,
}

impl Project {
    /// The project that a playbook or folder belongs to. Never that of the current folder, which may be somebody else's.
    ///
    /// The search goes up as far as folders are ours: it ends in a folder like `/tmp`, which is nobody's project, and
    /// refuses the `mk.toml` of somebody else. A file must be one that is obeyed. A folder need not: a command that reads
    /// nothing in it may be given anywhere, and what is read is looked at then.
    ///
    /// # Errors
    /// When `mk.toml` is wrong, or others could have written it or the playbook.
    pub(super) fn of(path: &Path, guard: Guard) -> Result<Self> {
        let own = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("/")) };
        let own = if own.as_os_str().is_empty() { Path::new(".") } else { own };
        // The folder as it is: above `here/../there` is not what is above `here`.
        let own = std::fs::canonicalize(own).or_kind(Kind::Usage, || format!("there is no `{}`", own.display()))?;
        let folder = with_settings(&own, &guard)?;
        guard.enter(folder.as_deref().unwrap_or(&own));
        if path.is_file() {
            guard.check(path)?;
        }
        let settings = folder.as_ref().map(|folder| read(&folder.join(FILE), &guard)).transpose()?;
        Ok(Self { folder: folder.unwrap_or(own), settings: settings.unwrap_or_default(), guard })
    }

    /// Its variables, as the inventory takes them.
    pub(super) fn variables(&self) -> Vec<Variable> {
        let place = || Place::new(self.folder.join(FILE).display().to_string(), 0, 0);
        self.settings.vars.iter().map(|(key, value)| Variable::new(key, value.clone(), "project").at(place())).collect()
    }
}

/// The nearest folder, from this one up, that has settings.
fn with_settings(own: &Path, guard: &Guard) -> Result<Option<PathBuf>> {
    for folder in own.ancestors() {
        let there = folder.join(FILE).is_file();
        match guard.folder(folder) {
            Folder::Own if there => return Ok(Some(folder.to_owned())),
            Folder::Own => {}
            Folder::Foreign(why) if there => {
                let file = folder.join(FILE);
                return Err(why.because(format!("`{}` is there", file.display())));
            }
            Folder::Foreign(_) | Folder::Shared => break,
        }
    }
    Ok(None)
}

fn read(file: &Path, guard: &Guard) -> Result<Settings> {
    let text = guard.text(file)?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        Error::usage(e.message().to_owned()).at(Place::after(file.display().to_string(), before))
    })
}
