//! Input tracking: what a playbook reads on this side, so that a later run can tell whether it would read the same.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::sources::Found;
use crate::change::digest;

/// One thing that was read, by how it was named: a file that would now be found elsewhere is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A file, template or folder that a script named.
    Source {
        /// The script's own name.
        by: String,
        /// What it named.
        name: PathBuf,
    },
    /// A module that a script imported.
    Module {
        /// The script's own name.
        by: String,
        /// What it named.
        name: String,
    },
    /// A file of the project that no script names, such as the lock of its artifacts.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// An answer of the person at the keyboard, which nobody can foretell.
    Answer(String),
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source { name, .. } | Self::File(name) => write!(f, "`{}`", name.display()),
            Self::Module { name, .. } => write!(f, "the module `{name}`"),
            Self::Environment(name) => write!(f, "`{name}` of the environment"),
            Self::Answer(name) => write!(f, "the answer to `{name}`"),
        }
    }
}

/// What was read, with the digest of its name and content at that time.
pub(crate) type InputDigests = BTreeMap<Input, String>;

/// Who wants to know what is read. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct InputTracker {
    open: Arc<Mutex<Opened>>,
}

#[derive(Debug, Default)]
struct Opened {
    next: u64,
    open: BTreeMap<u64, InputDigests>,
}

impl InputTracker {
    /// Begins to note what is read, by whichever thread, until [`InputTracker::end`] is called with this number.
    pub fn begin(&self) -> u64 {
        let mut opened = self.lock();
        opened.next += 1;
        let id = opened.next;
        opened.open.insert(id, InputDigests::new());
        id
    }

    /// What was read since the beginning of that number.
    pub fn end(&self, id: u64) -> InputDigests {
        self.lock().open.remove(&id).unwrap_or_default()
    }

    /// Notes what was read; its digest is taken only when somebody wants to know, and has not noted it yet.
    pub fn note(&self, input: Input, taken: impl FnOnce() -> String) {
        if self.lock().open.values().all(|read| read.contains_key(&input)) {
            return;
        }
        // Reading a file takes a while, and others must not wait for it.
        let taken = taken();
        for read in self.lock().open.values_mut() {
            read.entry(input.clone()).or_insert_with(|| taken.clone());
        }
    }

    /// Notes what was read at another time, such as when a module was first imported.
    pub fn note_all(&self, earlier: &InputDigests) {
        for read in self.lock().open.values_mut() {
            for (input, taken) in earlier {
                read.entry(input.clone()).or_insert_with(|| taken.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of something found, or of nothing. What is built into mk changes only with mk.
pub(super) fn taken(found: Option<&Found>) -> String {
    match found {
        None => "nothing".to_owned(),
        Some(Found::BuiltIn(name, _)) => name.clone(),
        Some(Found::Disk(path)) => of_path(path),
    }
}

/// The digest of a file's name and content, or of all that is in a folder.
pub(super) fn of_path(path: &Path) -> String {
    let mut all = format!("{}\0", path.display());
    // A link that leads round in a circle ends the walk there: what cannot be read cannot be sent either.
    for entry in WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter().flatten() {
        let mode = entry.metadata().map_or(0, |meta| meta.permissions().mode());
        let content = match entry.file_type().is_file() {
            true => std::fs::read(entry.path()).map_or_else(|e| e.kind().to_string(), |bytes| digest(&bytes)),
            false => String::new(),
        };
        all += &format!("{}\0{mode:o}\0{content}\0", entry.path().display());
    }
    digest(all.as_bytes())
}

/// The digest of a variable of the environment.
pub(super) fn of_environment(name: &str) -> String {
    std::env::var_os(name).map_or_else(|| "nothing".to_owned(), |value| digest(value.as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Input {
        Input::Environment(name.to_owned())
    }

    #[test]
    fn everybody_who_listens_hears_and_nobody_else_pays() {
        let inputs = InputTracker::default();
        inputs.note(environment("A"), || panic!("nobody wants to know"));
        let outer = inputs.begin();
        inputs.note(environment("A"), || "1".to_owned());
        let inner = inputs.begin();
        inputs.note(environment("A"), || "2".to_owned());
        inputs.note(environment("A"), || panic!("all know it"));
        let read = inputs.end(inner);
        assert_eq!(read, InputDigests::from([(environment("A"), "2".to_owned())]));
        inputs.note_all(&InputDigests::from([(environment("B"), "3".to_owned())]));
        let known = [(environment("A"), "1".to_owned()), (environment("B"), "3".to_owned())];
        assert_eq!(inputs.end(outer), InputDigests::from(known));
    }

    #[test]
    fn a_folder_is_another_when_anything_in_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b");
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(&file, "1").unwrap();
        let first = of_path(dir.path());
        assert_eq!(of_path(dir.path()), first);
        std::fs::write(&file, "2").unwrap();
        let second = of_path(dir.path());
        assert_ne!(second, first);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(of_path(dir.path()), second);
    }
}
