//! What mk keeps on this machine between runs: certificate authorities, shared keys, what playbooks learned,
//! and what was made on hosts.
//!
//! It lies under `$XDG_STATE_HOME/mk`, by project and inventory, so that two inventories never share an
//! authority. Everything is readable by its user only, and written whole or not at all. Never touches a host.

mod learned;
mod ledger;
mod pending;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub(crate) use learned::Learned;
pub(crate) use ledger::{Entry, Ledger, Line};
pub(crate) use pending::Kept;

use crate::change::digest;
use crate::error::{Context, Error, Kind, Result};

/// The state of one project and inventory.
#[derive(Debug, Clone)]
pub struct StateDir {
    folder: PathBuf,
    /// What is known of the inventory's hosts, whichever project's playbooks found it out.
    hosts: PathBuf,
}

impl StateDir {
    /// The state of the project in a folder, run against an inventory. Nothing is made before it is needed.
    pub fn of(project: &Path, inventory: &Path) -> Self {
        let inventory = named(inventory);
        Self { folder: root().join(named(project)).join(&inventory), hosts: root().join("inventories").join(inventory) }
    }

    /// What is kept for the user, whatever the project.
    pub fn of_user() -> Self {
        Self::at(root())
    }

    /// State in a folder of the caller's choice.
    pub fn at(folder: PathBuf) -> Self {
        Self { hosts: folder.join("hosts"), folder }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept under a name; `None` when nothing is.
    ///
    /// # Errors
    /// When it cannot be read, or others could have written it.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.folder.join(name);
        let failed = || format!("cannot read mk's state `{}`", path.display());
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::new(Kind::Internal, failed()).because(e)),
            Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 => {
                return Err(
                    Error::new(Kind::Internal, failed()).because("it belongs to, or can be written by, somebody else")
                );
            }
            Ok(_) => {}
        }
        fs::read_to_string(&path).map(Some).or_kind(Kind::Internal, failed)
    }

    /// Keeps several texts, by name, that belong together. None of them may be there yet.
    ///
    /// # Errors
    /// When one is there already, or the disk refuses.
    pub fn create(&self, texts: &[(&str, &str)]) -> Result {
        let _lock = self.lock()?;
        for (name, _) in texts {
            if self.folder.join(name).exists() {
                return Err(Error::new(Kind::Internal, format!("mk's state has `{name}` already")));
            }
        }
        texts.iter().try_for_each(|(name, text)| self.write(name, text))
    }

    /// Keeps a text under a name, in place of what was there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put(&self, name: &str, text: &str) -> Result {
        let _lock = self.lock()?;
        self.write(name, text)
    }

    /// Keeps under a name what `change` makes of what was kept there, and gives what else it gives. No other run on this
    /// machine comes between.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn change<T>(&self, name: &str, change: impl FnOnce(String) -> (String, T)) -> Result<T> {
        let _lock = self.lock()?;
        let (text, other) = change(self.read(name)?.unwrap_or_default());
        self.write(name, &text)?;
        Ok(other)
    }

    /// Removes everything that is kept under a folder's name; nothing there is no fault.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_all(&self, folder: &str) -> Result {
        let path = self.folder.join(folder);
        if !path.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        fs::remove_dir_all(&path).or_kind(Kind::Internal, || format!("cannot remove mk's state `{}`", path.display()))
    }

    /// Runs `work` while no other run on this machine can change this state.
    fn lock(&self) -> Result<File> {
        let failed = || format!("cannot lock mk's state in `{}`", self.folder.display());
        private_dir(&self.folder)?;
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(self.folder.join("lock"));
        let file = file.or_kind(Kind::Internal, failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).or_kind(Kind::Internal, failed)?;
        Ok(file)
    }

    fn write(&self, name: &str, text: &str) -> Result {
        let path = self.folder.join(name);
        let failed = || format!("cannot write mk's state `{}`", path.display());
        let parent = path.parent().unwrap_or(&self.folder);
        private_dir(parent)?;
        let temporary = path.with_extension("new");
        let _ = fs::remove_file(&temporary);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&temporary);
        let mut file = file.or_kind(Kind::Internal, failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).or_kind(Kind::Internal, failed)?;
        fs::rename(&temporary, &path).or_kind(Kind::Internal, failed)?;
        if let Ok(dir) = File::open(parent) {
            let _ = dir.sync_all();
        }
        Ok(())
    }
}

/// The folder of all state.
fn root() -> PathBuf {
    use etcetera::BaseStrategy as _;
    let home = etcetera::choose_base_strategy().ok().and_then(|base| base.state_dir());
    home.unwrap_or_else(|| PathBuf::from("/var/lib/mk/state")).join("mk")
}

/// A folder's name, and part of a digest of its whole path, so that two of one name are kept apart.
fn named(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path };
    let name = folder.file_name().map_or_else(|| "none".to_owned(), |name| name.to_string_lossy().into_owned());
    format!("{name}-{}", &digest(folder.to_string_lossy().as_bytes())[..8])
}

fn private_dir(path: &Path) -> Result {
    let failed = || format!("cannot make `{}`", path.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).or_kind(Kind::Internal, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("s"));
        assert_eq!(state.read("ca/x.key").unwrap(), None);
        state.create(&[("ca/x.key", "secret"), ("ca/x.crt", "public")]).unwrap();
        assert_eq!(state.read("ca/x.key").unwrap().as_deref(), Some("secret"));
        assert_eq!(fs::metadata(dir.path().join("s/ca/x.key")).unwrap().mode() & 0o777, 0o600);
        assert!(state.create(&[("ca/x.key", "other")]).is_err());
        assert_eq!(state.read("ca/x.key").unwrap().as_deref(), Some("secret"));
    }

    #[test]
    fn state_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().to_owned());
        fs::write(dir.path().join("k"), "x").unwrap();
        fs::set_permissions(dir.path().join("k"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(state.read("k").unwrap_err().to_string().contains("somebody else"));
    }
}
