//! Artifacts: released files of other projects, by name and version, that are what the project's lock says.
//!
//! They come from where they were published, or from a mirror that has a lock of its own. Knows nothing of
//! what is in them.

mod cache;
mod lock;
mod sums;
#[cfg(test)]
mod tests;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use cache::{Cache, Stored};
pub use lock::parse as parse_lock;
pub(crate) use lock::{Entry, FILE, Sums};
pub(crate) use sums::complete;

use super::input_tracking::{Input, InputTracker, of_path};
use crate::error::{Error, Place, Result};
use crate::trust::Guard;

/// The variable that names a mirror.
pub(crate) const MIRROR: &str = "artifact_mirror";

/// The artifacts of a project.
pub struct Artifacts {
    project: PathBuf,
    /// Where fetched files are kept.
    pub cache: Cache,
    locks: Mutex<BTreeMap<String, Arc<Vec<Entry>>>>,
    fetched: Mutex<BTreeMap<String, Stored>>,
    inputs: InputTracker,
    guard: Guard,
}

/// An artifact and whose lock it is in.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entry.
    pub entry: Entry,
    /// The folder or address that a path in the entry is relative to.
    pub beside: String,
}

impl Artifacts {
    /// Those of the project in a folder.
    pub fn new(project: PathBuf, cache: Cache) -> Self {
        let (inputs, guard) = (InputTracker::default(), Guard::default());
        Self { project, cache, locks: Mutex::default(), fetched: Mutex::default(), inputs, guard }
    }

    /// Has this one tell whether a lock may be obeyed.
    #[must_use]
    pub fn guarded_by(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// Tells these of the locks that are read.
    pub fn noted_by(self, inputs: InputTracker) -> Self {
        Self { inputs, ..self }
    }

    /// All that a project and a mirror offer; what the mirror has too comes from the mirror.
    ///
    /// # Errors
    /// A lock that cannot be read.
    pub fn all(&self, mirror: Option<&str>) -> Result<Vec<Found>> {
        let mut all: Vec<Found> = Vec::new();
        if let Some(mirror) = mirror {
            let beside = if lock::is_remote(mirror) {
                trimmed(mirror).to_owned()
            } else {
                self.project.join(mirror).display().to_string()
            };
            let entries = self.lock_of(mirror)?;
            all.extend(entries.iter().map(|entry| Found { entry: entry.clone(), beside: beside.clone() }));
        }
        let file = self.project.join(FILE);
        self.noted(&file);
        if file.exists() {
            let titles: BTreeSet<String> = all.iter().map(|found| found.entry.title()).collect();
            let beside = self.project.display().to_string();
            let entries = self.read(&file.display().to_string(), || lock::read(&file, &self.guard))?;
            let own = entries.iter().filter(|entry| !titles.contains(&entry.title()));
            all.extend(own.map(|entry| Found { entry: entry.clone(), beside: beside.clone() }));
        }
        Ok(all)
    }

    /// The artifact of a name, for an architecture; the version is needed only where there
    /// are several.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, name: &str, version: Option<&str>, arch: &str, mirror: Option<&str>) -> Result<Found> {
        let all = self.all(mirror)?;
        let named: Vec<&Found> = all.iter().filter(|found| found.entry.name == name).collect();
        if named.is_empty() {
            let error = Error::playbook(format!("there is no artifact `{name}`"));
            let places = format!("`{}`", self.project.join(FILE).display());
            let known = all.iter().map(|found| found.entry.name.as_str());
            let mirror = mirror.map(|m| format!(" and `{m}`")).unwrap_or_default();
            return Err(error.suggest_or(name, known, format!("looked for in {places}{mirror}")));
        }
        let fits = |found: &&&Found| {
            let entry = &found.entry;
            (entry.arch == arch || entry.arch == "any") && version.is_none_or(|version| entry.version == version)
        };
        let fitting: Vec<&&Found> = named.iter().filter(fits).collect();
        match fitting.as_slice() {
            [one] => Ok((**one).clone()),
            [] => {
                let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
                Err(Error::playbook(format!("there is no artifact `{wanted}` for {arch}"))
                    .hint(format!("there is {}", titles(named.iter().copied()))))
            }
            several => Err(Error::playbook(format!("there are several artifacts `{name}` for {arch}"))
                .hint(format!("say which `version`: {}", titles(several.iter().map(|found| **found))))),
        }
    }

    /// The file of an artifact, fetched when it is not here.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what its lock says.
    pub fn get(&self, found: &Found) -> Result<Stored> {
        let Found { entry, beside } = found;
        let stored = match (entry.is_remote(), lock::is_remote(beside)) {
            (true, _) => self.cache.fetched(&entry.url, &entry.sums),
            (false, true) => self.cache.fetched(&format!("{beside}/{}", entry.url), &entry.sums),
            (false, false) => {
                let path = Path::new(beside).join(&entry.url);
                let wrong = |e| Error::step(format!("`{}` is not what was expected", path.display())).because(e);
                self.cache.verified(&path, &entry.sums).map_err(wrong)
            }
        };
        stored.map_err(|e| {
            let Place { file, line, .. } = &entry.place;
            e.hint(format!("{} is in line {line} of `{file}`", entry.title()))
        })
    }

    /// The file of an artifact if it is here, read through whatever was known of it; `None` when it is not here.
    ///
    /// # Errors
    /// When it is not what its lock says.
    pub fn verify(&self, found: &Found) -> Result<Option<Stored>> {
        let path = self.path(found);
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |e| Error::step(format!("`{}` is not what was expected", path.display())).because(e);
        cache::checked(&path, &found.entry.sums).map(Some).map_err(wrong)
    }

    /// Whether the file of an artifact is on this machine.
    pub fn is_here(&self, found: &Found) -> bool {
        self.path(found).exists()
    }

    /// Where the file of an artifact is, or would be.
    fn path(&self, found: &Found) -> PathBuf {
        let Found { entry, beside } = found;
        match entry.is_remote() || lock::is_remote(beside) {
            true => self.cache.folder().join("files").join(entry.sums.name()),
            false => Path::new(beside).join(&entry.url),
        }
    }

    /// The file at an address whose sum nobody knows, fetched once a run.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub fn unverified(&self, url: &str) -> Result<Stored> {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetched.get(url) {
            return Ok(known.clone());
        }
        let stored = self.cache.unverified(url)?;
        fetched.insert(url.to_owned(), stored.clone());
        Ok(stored)
    }

    fn lock_of(&self, mirror: &str) -> Result<Arc<Vec<Entry>>> {
        if !lock::is_remote(mirror) {
            let file = self.project.join(mirror).join(FILE);
            self.noted(&file);
            return self.read(&file.display().to_string(), || lock::read(&file, &self.guard));
        }
        let url = format!("{}/{FILE}", trimmed(mirror));
        let pin = pin(mirror)?;
        self.read(&url.clone(), || {
            let text = web::text(&url, lock::LONGEST)?;
            let found = crate::change::digest(text.as_bytes());
            if let Some(pin) = pin.filter(|pin| *pin != found) {
                return Err(Error::step(format!("the lock of the mirror is not the one that was pinned: `{url}`"))
                    .because(format!("its sha256 is {found}, not {pin}")));
            }
            lock::with_sums(lock::parse(&url, &text)?)
        })
    }

    fn noted(&self, lock: &Path) {
        self.inputs.note(Input::File(lock.to_owned()), || of_path(lock));
    }

    fn read(&self, name: &str, read: impl FnOnce() -> Result<Vec<Entry>>) -> Result<Arc<Vec<Entry>>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = locks.get(name) {
            return Ok(Arc::clone(known));
        }
        let entries = Arc::new(read()?);
        locks.insert(name.to_owned(), Arc::clone(&entries));
        Ok(entries)
    }
}

/// The address of a mirror without its pin and its last slash.
fn trimmed(mirror: &str) -> &str {
    mirror.split('#').next().unwrap_or(mirror).trim_end_matches('/')
}

/// The sum that the lock of a mirror must have: `http://mirror/#sha256=…`. Over plain http anybody on the way
/// could put in sums of his own, so there it must be given, but for a mirror on this machine.
fn pin(mirror: &str) -> Result<Option<&str>> {
    if let Some((_, pin)) = mirror.split_once("#sha256=") {
        return Ok(Some(pin));
    }
    let rest = mirror.strip_prefix("http://").unwrap_or_default();
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if rest.is_empty() || host == "localhost" || loopback || rest.starts_with("[::1]") {
        return Ok(None);
    }
    Err(Error::playbook(format!(
        "the mirror `{mirror}` is spoken to in the clear, and nothing says what its lock must be"
    ))
    .hint(format!("use https, or pin its lock: `{}/#sha256=…`", trimmed(mirror))))
}

/// An architecture as the kernel names it, in the words that releases are named by.
pub(crate) fn release_arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i586" | "i686" => "386",
        "armv6l" | "armv7l" | "armv8l" => "arm",
        other => other,
    }
}

fn titles<'a>(found: impl Iterator<Item = &'a Found>) -> String {
    found.map(|found| format!("{} ({})", found.entry.version, found.entry.arch)).collect::<Vec<_>>().join(", ")
}
