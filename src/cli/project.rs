//! The project: the folder of the playbook, or the nearest one above it that has an `mk.toml`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Kind, Place, Result};
use crate::inventory::Variable;

/// The file with a project's defaults.
const FILE: &str = "mk.toml";

/// A project's defaults.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
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
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// Its defaults.
    pub settings: Settings,
}

impl Project {
    /// The project that a playbook or folder belongs to. Never that of the current folder, which may be somebody else's.
    ///
    /// # Errors
    /// When `mk.toml` is wrong, or anybody could have written it.
    pub fn of(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).or_kind(Kind::Usage, || format!("`{}` is no path", path.display()))?;
        let own = if path.is_dir() { path.clone() } else { path.parent().unwrap_or(Path::new("/")).to_owned() };
        let folder = own.ancestors().find(|folder| folder.join(FILE).is_file()).unwrap_or(&own).to_owned();
        trusted(&folder)?;
        let file = folder.join(FILE);
        let settings = if file.is_file() { read(&file)? } else { Settings::default() };
        Ok(Self { folder, settings })
    }

    /// Its variables, as the inventory takes them.
    pub fn variables(&self) -> Vec<Variable> {
        let place = || Place::new(self.folder.join(FILE).display().to_string(), 0, 0);
        self.settings.vars.iter().map(|(key, value)| Variable::new(key, value.clone(), "project").at(place())).collect()
    }
}

fn trusted(folder: &Path) -> Result {
    let meta = std::fs::metadata(folder).or_kind(Kind::Usage, || format!("cannot look at `{}`", folder.display()))?;
    if meta.mode() & 0o002 != 0 {
        return Err(Error::usage(format!("anybody may write to `{}`, so nothing is run from it", folder.display()))
            .hint("move the playbook to a folder of your own, or take the right away: `chmod o-w`"));
    }
    Ok(())
}

fn read(file: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(file).or_kind(Kind::Usage, || format!("cannot read `{}`", file.display()))?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Error::usage(e.message().to_owned()).at(Place::new(file.display().to_string(), line, column))
    })
}
