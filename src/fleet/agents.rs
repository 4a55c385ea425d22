//! The agents' executables, one an architecture.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::change::digest;
use crate::error::{Context, Error, Kind, Result};
use crate::trust::Guard;

/// Executables built into mk, by architecture; empty in a build that had none at hand.
static BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/agents.rs"));

/// One executable.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their hex SHA-256, which is also its name on hosts.
    pub sha256: String,
}

/// The executables at hand.
#[derive(Debug, Clone)]
pub(crate) struct Agents(BTreeMap<String, Agent>);

impl Agents {
    /// Those in the folder that `MK_AGENT_DIR` names, else those built in, else those beside mk itself. They run on the
    /// hosts, mostly as root, so they are obeyed as scripts are: whose mk this is may have written them, too.
    ///
    /// # Errors
    /// When there are none, or others could have written one.
    pub(crate) fn load(guard: &Guard) -> Result<Self> {
        let exe = std::env::current_exe().ok();
        let owner = exe.as_ref().and_then(|exe| Some(std::fs::metadata(exe).ok()?.uid()));
        let guard = owner.map_or_else(|| guard.clone(), |uid| guard.and_of(uid));
        let mut found = BTreeMap::new();
        let named = std::env::var_os("MK_AGENT_DIR").map(PathBuf::from);
        if named.is_none() {
            for (arch, bytes) in BUILT_IN {
                found.insert((*arch).to_owned(), Agent { bytes: bytes.to_vec(), sha256: digest(bytes) });
            }
        }
        let beside = exe.and_then(|exe| Some(exe.parent()?.to_owned()));
        let folders =
            named.into_iter().chain(beside.iter().flat_map(|dir| [dir.join("agents"), dir.join("../agents")]));
        for folder in folders {
            if found.is_empty() {
                found = read(&folder, &guard)?;
            }
        }
        if found.is_empty() {
            return Err(Error::new(Kind::Internal, "there is no agent to send to hosts")
                .hint("build them with `.ci/build`, or name their folder in `MK_AGENT_DIR`"));
        }
        Ok(Self(found))
    }

    /// None at all: for a fleet that never connects.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The agent for an architecture, as `uname -m` names it.
    pub(crate) fn get(&self, arch: &str) -> Option<&Agent> {
        self.0.get(arch)
    }

    /// All of them, by architecture.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Agent)> {
        self.0.iter().map(|(arch, agent)| (arch.as_str(), agent))
    }
}

fn read(folder: &Path, guard: &Guard) -> Result<BTreeMap<String, Agent>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(arch) = name.strip_prefix("mk-agent-") {
            let mut bytes = Vec::new();
            let read = guard.open(&entry.path())?.read_to_end(&mut bytes);
            read.or_kind(Kind::Internal, || format!("cannot read the agent `{}`", entry.path().display()))?;
            let sha256 = digest(&bytes);
            found.insert(arch.to_owned(), Agent { bytes, sha256 });
        }
    }
    Ok(found)
}
