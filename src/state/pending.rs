//! The steps that playbooks notified and that have not run yet: what they are, whole, until they have.
//!
//! The host knows only that one is due, by its id. So what is carried out there later is what the script wrote, content
//! and secrets with it, whatever has become of the playbook meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{StateDir, private_dir};
use crate::error::{Context, Error, Kind, Place, Result};
use crate::wire::Attachment;

/// A step that was notified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Its operation.
    pub op: String,
    /// What it is about, for people.
    pub subject: String,
    /// Its parameters, with tokens in place of secrets.
    pub args: Map<String, Value>,
    /// The user to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What was made ready for it.
    #[serde(default)]
    pub attachment: Attachment,
    /// The digests of the content that its host may ask for.
    #[serde(default)]
    pub contents: Vec<String>,
    /// The secrets behind the tokens: they are in this folder as authorities' keys are, for its user alone.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// On how many hosts it runs at the same time; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
    /// The call that notified it.
    pub place: Place,
    /// When, in seconds since 1970.
    pub at: i64,
    /// It is not due after all, which its host has not been told yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
}

/// The steps that are kept, by host and id.
#[derive(Debug, Clone)]
pub struct Pending(StateDir);

impl StateDir {
    /// The notified steps of the inventory's hosts, whichever project's playbook notified them.
    pub fn pending(&self) -> Pending {
        Pending(self.of_hosts())
    }
}

impl Pending {
    /// Keeps a step. It outlasts the end of this process; a loss of power may take it, and then the host still says
    /// that something is due.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, host: &str, id: &str, kept: &Kept) -> Result {
        let file = self.folder(host).join(format!("{id}.json"));
        let failed = || format!("cannot write mk's state `{}`", file.display());
        let text = serde_json::to_vec(kept).or_kind(Kind::Internal, failed)?;
        self.write(&file, &mut text.as_slice())
    }

    /// Keeps content that a step's host may ask for.
    ///
    /// # Errors
    /// When it cannot be read, or the disk refuses.
    pub fn keep_content(&self, sha256: &str, content: &mut dyn Read) -> Result {
        let file = self.content(sha256);
        if file.exists() { Ok(()) } else { self.write(&file, content) }
    }

    /// Where content is.
    pub fn content(&self, sha256: &str) -> PathBuf {
        self.0.folder.join("pending-content").join(sha256)
    }

    /// What is kept for a host, by id.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(&self, host: &str) -> Result<BTreeMap<String, Kept>> {
        let mut found = BTreeMap::new();
        for name in names(&self.folder(host))? {
            let Some(id) = name.strip_suffix(".json") else { continue };
            let text = self.0.read(&format!("pending/{host}/{name}"))?.unwrap_or_default();
            // What a loss of power has cut cannot be run, and must not stop what can: its host tells that it is due.
            if let Ok(kept) = serde_json::from_str(&text) {
                found.insert(id.to_owned(), kept);
            }
        }
        Ok(found)
    }

    /// A step is not due after all. It is forgotten when its host has been told.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn call_off(&self, host: &str, id: &str) -> Result {
        match self.of(host)?.remove(id) {
            Some(kept) => self.keep(host, id, &Kept { off: true, ..kept }),
            None => Ok(()),
        }
    }

    /// Removes what a run has left that was killed while it kept a step, secrets and all. Whoever asks has the host's
    /// lock, so that no other run keeps one now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn tidy(&self, host: &str) -> Result {
        for name in names(&self.folder(host))?.iter().filter(|name| Path::new(name).extension() == Some("new".as_ref()))
        {
            let _ = fs::remove_file(self.folder(host).join(name));
        }
        Ok(())
    }

    /// The hosts for which anything is kept.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn hosts(&self) -> Result<Vec<String>> {
        names(&self.0.folder.join("pending"))
    }

    /// A step has run, or is not wanted any more. Content that no other step needs goes with it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, host: &str, id: &str) -> Result {
        let folder = self.folder(host);
        let file = folder.join(format!("{id}.json"));
        match fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::internal(format!("cannot remove mk's state `{}`", file.display())).because(e));
            }
            _ => {}
        }
        // Refused while another step is kept for the host, or another host.
        if fs::remove_dir(&folder).is_ok() && fs::remove_dir(self.0.folder.join("pending")).is_ok() {
            let _ = fs::remove_dir_all(self.0.folder.join("pending-content"));
        }
        Ok(())
    }

    fn folder(&self, host: &str) -> PathBuf {
        self.0.folder.join("pending").join(host)
    }

    /// Whole or not at all, for this user alone.
    fn write(&self, file: &Path, content: &mut dyn Read) -> Result {
        let failed = || format!("cannot write mk's state `{}`", file.display());
        private_dir(file.parent().unwrap_or(&self.0.folder))?;
        // No two threads of this process or another write under one name.
        let own = format!("{}-{:?}", std::process::id(), std::thread::current().id());
        let temporary = file.with_extension(format!("{own}.new"));
        let _ = fs::remove_file(&temporary);
        let new = File::options().create_new(true).write(true).mode(0o600).open(&temporary);
        let mut new = new.or_kind(Kind::Internal, failed)?;
        let written = std::io::copy(content, &mut new).and_then(|_| new.flush());
        let kept = written.and_then(|()| fs::rename(&temporary, file));
        // What fills the disk, and may hold secrets, does not stay there.
        kept.inspect_err(|_| drop(fs::remove_file(&temporary))).or_kind(Kind::Internal, failed)
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.or_kind(Kind::Internal, || format!("cannot read `{}`", folder.display()))?,
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(subject: &str) -> Kept {
        Kept {
            op: "systemd".to_owned(),
            subject: subject.to_owned(),
            args: Map::new(),
            user: None,
            attachment: Attachment::Text("mk-secret-x".to_owned()),
            contents: Vec::new(),
            secrets: BTreeMap::from([("mk-secret-x".to_owned(), "canary".to_owned())]),
            at_once: None,
            place: Place::default(),
            at: 0,
            off: false,
        }
    }

    #[test]
    fn a_step_is_kept_with_its_content_for_its_user_alone_until_it_has_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pending = StateDir::at(folder.path().to_owned()).pending();
        assert!(pending.of("h").unwrap().is_empty() && pending.hosts().unwrap().is_empty());
        pending.keep_content("abc", &mut &b"bytes"[..]).unwrap();
        pending.keep("h", "1", &kept("a")).unwrap();
        pending.keep("h", "2", &kept("b")).unwrap();
        let found = pending.of("h").unwrap();
        assert_eq!(found.values().map(|kept| kept.subject.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found["1"].secrets["mk-secret-x"], "canary");
        let file = pending.folder("h").join("1.json");
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        pending.call_off("h", "1").unwrap();
        assert!(pending.of("h").unwrap()["1"].off && !pending.of("h").unwrap()["2"].off);
        pending.forget("h", "1").unwrap();
        assert_eq!(fs::read(pending.content("abc")).unwrap(), b"bytes");
        pending.forget("h", "2").unwrap();
        assert!(!pending.content("abc").exists() && pending.hosts().unwrap().is_empty());
    }
}
