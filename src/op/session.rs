//! What an agent remembers between the steps of one run.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{Digests, Jobs, Overlay, Traces, directories};

/// The state of one run on one host.
pub struct Session {
    /// What a check has planned so far.
    pub overlay: RefCell<Overlay>,
    /// What runs now.
    pub jobs: Jobs,
    /// Digests of big files.
    pub digests: RefCell<Digests>,
    /// What the running step makes.
    pub traces: RefCell<Traces>,
}

impl Session {
    /// A session whose commands can be stopped through `jobs`.
    pub fn new(jobs: Jobs) -> Self {
        let digests = Digests::load(directory().join("digests.json"));
        Self { overlay: RefCell::default(), jobs, digests: RefCell::new(digests), traces: RefCell::default() }
    }

    /// A session that remembers nothing from earlier runs.
    pub fn fresh() -> Self {
        Self {
            overlay: RefCell::default(),
            jobs: Jobs::default(),
            digests: RefCell::default(),
            traces: RefCell::default(),
        }
    }
}

/// Where mk keeps what must survive a reboot of this host.
fn directory() -> PathBuf {
    directories().0
}

/// Steps that were notified and have not run yet: written down before the change that calls for them, so
/// that neither a failure nor a kill loses them.
pub mod pending {
    use super::{Context, Error, Kind, Path, PathBuf, Result, Value, directory, fs};
    use crate::sys::Hands;

    fn folder() -> PathBuf {
        directory().join("pending")
    }

    fn file(folder: &Path, notify: &Value) -> PathBuf {
        folder.join(format!("{}.json", &crate::change::digest(notify.to_string().as_bytes())[..16]))
    }

    /// Writes one down.
    ///
    /// # Errors
    /// When the host refuses; then the change must not be made either.
    pub fn add(hands: &Hands, notify: &Value) -> Result {
        hands.note(&file(&folder(), notify), notify)
    }

    /// Strikes one off.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn settle(notify: &Value) -> Result {
        match fs::remove_file(file(&folder(), notify)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new(Kind::Step, "cannot strike off a notified step").because(e))
            }
            _ => Ok(()),
        }
    }

    /// All that were left by earlier runs, oldest first.
    ///
    /// # Errors
    /// When one cannot be read: running the others without it could hide a lost restart.
    pub fn all() -> Result<Vec<Value>> {
        let Ok(entries) = fs::read_dir(folder()) else { return Ok(Vec::new()) };
        let mut files: Vec<_> =
            entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "json")).collect();
        files.sort_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok());
        files
            .iter()
            .map(|entry| {
                let failed = || format!("cannot read the notified step `{}`", entry.path().display());
                serde_json::from_slice(&fs::read(entry.path()).or_step(failed)?).or_step(failed)
            })
            .collect()
    }
}
