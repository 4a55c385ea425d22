//! Which notified steps are due on this host: a note for each, written before the change that calls for it.
//!
//! A note says that a step is due and what it is called, never what to do: that is kept by the control side which
//! noted it, and nothing in this folder is ever carried out.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::sys::directories;
use crate::wire::Due;

/// How many notes are told at most: far more than any run leaves.
const MOST: usize = 1000;

/// How much of a note is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The notes on this host.
pub(super) struct Notes(PathBuf);

impl Default for Notes {
    fn default() -> Self {
        Self(directories().0.join("pending"))
    }
}

impl Notes {
    /// Notes that steps are due, and gives the ids of those that were not yet.
    ///
    /// # Errors
    /// When the host refuses; then the change must not be made either.
    pub(super) fn add(&self, due: &[Due]) -> Result<Vec<String>> {
        let boot = boot_id();
        let (mut new, mut written) = (Vec::new(), false);
        for due in due {
            let file = self.file(due)?;
            let known = file.exists();
            // One of an earlier boot is written anew: what calls for it now, that boot did not follow.
            if known && read(&file).is_some_and(|noted| noted.boot == boot) {
                continue;
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).or_step(|| self.failed())?;
            let noted = Due { boot: boot.clone(), ..due.clone() };
            write(&file, &noted).or_step(|| self.failed())?;
            written = true;
            if !known {
                new.push(due.id.clone());
            }
        }
        // A loss of power must not take the note and leave the change that follows it.
        if written {
            let _ = fs::File::open(&self.0).and_then(|folder| folder.sync_all());
        }
        Ok(new)
    }

    /// Strikes one off; one that is not there is.
    ///
    /// # Errors
    /// When the host refuses.
    pub(super) fn strike(&self, id: &str) -> Result {
        let due = Due::noted(id.to_owned(), b"");
        match fs::remove_file(self.file(&due)?) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::step("cannot strike off a notified step").because(e))
            }
            _ => Ok(()),
        }
    }

    /// All that are due, the oldest first. One that cannot be read is due all the same. What an agent has left that was
    /// killed while it wrote one goes: it is asked for under the host's lock, so nobody writes one now.
    pub(super) fn all(&self) -> Vec<Due> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let is = |path: &Path, ending: &str| path.extension().is_some_and(|x| x == ending);
        let (mut files, rest): (Vec<_>, Vec<_>) = entries.flatten().partition(|entry| is(&entry.path(), "json"));
        for cut in rest.iter().filter(|entry| is(&entry.path(), "new")) {
            let _ = fs::remove_file(cut.path());
        }
        files.sort_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok());
        files.iter().take(MOST).filter_map(|entry| read(&entry.path())).collect()
    }

    fn file(&self, due: &Due) -> Result<PathBuf> {
        let name = due.file().ok_or_else(|| Error::internal("a notified step whose id is none"))?;
        Ok(self.0.join(name))
    }

    fn failed(&self) -> String {
        format!("cannot note in `{}` that a step is due", self.0.display())
    }
}

/// Which start of the machine this is; empty where the kernel does not tell.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Whole or not at all: a note that is cut says nothing of what is due.
fn write(file: &Path, due: &Due) -> std::io::Result<()> {
    use std::io::Write as _;
    let temporary = file.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut note = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    note.write_all(&serde_json::to_vec(due)?)?;
    note.sync_all()?;
    fs::rename(&temporary, file)
}

fn read(file: &Path) -> Option<Due> {
    use std::io::Read as _;
    let id = file.file_stem()?.to_str()?.to_owned();
    let mut bytes = Vec::new();
    let _ = fs::File::open(file).ok()?.take(LONGEST).read_to_end(&mut bytes);
    Some(Due::noted(id, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: &str) -> Due {
        Due { id: id.to_owned(), name: "systemd nginx".to_owned(), by: "me".to_owned(), boot: boot_id() }
    }

    #[test]
    fn what_is_due_stands_until_it_is_struck_off() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes(folder.path().join("pending"));
        assert_eq!(notes.all(), []);
        assert_eq!(notes.add(&[due("a"), due("b")]).unwrap(), ["a", "b"]);
        assert_eq!(notes.add(&[due("b")]).unwrap(), Vec::<String>::new());
        notes.strike("a").unwrap();
        notes.strike("a").unwrap();
        fs::write(folder.path().join("pending/c.new"), "cut").unwrap();
        assert_eq!(notes.all(), [due("b")]);
        assert!(!folder.path().join("pending/c.new").exists());
    }

    #[test]
    fn an_id_never_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes(folder.path().join("pending"));
        for id in ["../x", "", "a/b", ".", "a.b"] {
            assert!(notes.add(&[due(id)]).is_err() && notes.strike(id).is_err(), "{id}");
        }
    }

    #[test]
    fn of_a_note_that_an_older_agent_wrote_only_the_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes(folder.path().to_owned());
        let step = r#"{"op":"fetch","subject":"/etc/x","args":{"@path":"/root/.ssh/authorized_keys"},"user":null}"#;
        fs::write(folder.path().join("aaaa.json"), step).unwrap();
        let expected =
            Due { id: "aaaa".to_owned(), name: "fetch /etc/x".to_owned(), by: String::new(), boot: String::new() };
        assert_eq!(notes.all(), [expected]);
    }

    #[test]
    fn a_note_tells_the_boot_of_the_last_change_that_called_for_its_step() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes(folder.path().to_owned());
        write(&notes.file(&due("a")).unwrap(), &Due { boot: "an earlier one".to_owned(), ..due("a") }).unwrap();
        assert_eq!(notes.all()[0].boot, "an earlier one");
        assert_eq!(notes.add(&[due("a")]).unwrap(), Vec::<String>::new());
        assert_eq!(notes.all()[0].boot, boot_id());
    }
}
