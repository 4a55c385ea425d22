//! What was fetched, by what it must be: files whose name is their sum, and a note of when each was found to
//! be right, so that a run does not read gigabytes again to see it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use super::lock::Sums;
use super::web;
use crate::change::hex;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::file_version;

/// A file that is what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it lies.
    pub path: PathBuf,
    /// Hex SHA-256 of its bytes, whatever sum it was asked for by.
    pub sha256: String,
    /// Their number.
    pub size: u64,
}

/// A folder of files by their sums.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What was found out about a file, and which version of it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    path: PathBuf,
    version: String,
    sha256: String,
    size: u64,
}

impl Cache {
    /// The cache of this user: below `XDG_CACHE_HOME`, else the system's for root, else below the home folder.
    pub fn of_user() -> Self {
        use etcetera::BaseStrategy as _;
        let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let usual = || match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/var/cache"),
            false => etcetera::choose_base_strategy().map_or_else(|_| std::env::temp_dir(), |base| base.cache_dir()),
        };
        Self::at(named.unwrap_or_else(usual).join("mk/artifacts"))
    }

    /// A cache in a folder of the caller's choice.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with these sums from an address, fetched when it is not here.
    ///
    /// # Errors
    /// When it cannot be fetched, or is something else.
    pub fn fetched(&self, url: &str, sums: &Sums) -> Result<Stored> {
        let name = sums.name();
        let path = self.file(&name)?;
        let _lock = self.lock(&name)?;
        if path.exists() {
            match self.verified(&path, sums) {
                Ok(stored) => return Ok(stored),
                // A disk can lose bytes; what is not right any more is fetched again.
                Err(_) => fs::remove_file(&path).or_step(|| format!("cannot remove `{}`", path.display()))?,
            }
        }
        let part = path.with_extension("part");
        loop {
            let resumed = web::download(url, &part)?;
            match checked(&part, sums) {
                Ok(_) => break,
                // The file may have been replaced since the first half came.
                Err(_) if resumed => {
                    fs::remove_file(&part).or_step(|| format!("cannot remove `{}`", part.display()))?;
                }
                Err(e) => {
                    let _ = fs::remove_file(&part);
                    return Err(Error::step(format!("`{url}` is not what was expected")).because(e));
                }
            }
        }
        fs::rename(&part, &path).or_step(|| format!("cannot write `{}`", path.display()))?;
        self.verified(&path, sums)
    }

    /// The file at an address whose sum nobody knows, fetched anew.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub fn unverified(&self, url: &str) -> Result<Stored> {
        let name = format!("url-{}", crate::change::digest(url.as_bytes()));
        let path = self.file(&name)?;
        let _lock = self.lock(&name)?;
        let part = path.with_extension("part");
        let _ = fs::remove_file(&part);
        web::download(url, &part)?;
        let found = checked(&part, &Sums::default())?;
        // Under its own digest, so that another run's copy of a newer file does not take its place.
        let path = self.file(&format!("sha256-{}", found.sha256))?;
        fs::rename(&part, &path).or_step(|| format!("cannot write `{}`", path.display()))?;
        Ok(Stored { path, ..found })
    }

    /// A file on this machine that must have these sums.
    ///
    /// # Errors
    /// When it is not there, or is something else.
    pub fn verified(&self, path: &Path, sums: &Sums) -> Result<Stored> {
        let failed = || format!("cannot read `{}`", path.display());
        let meta = fs::metadata(path).or_step(failed)?;
        let version = file_version(&meta);
        let note = self.folder.join("notes").join(format!("{}.json", sums.name()));
        let known = fs::read(&note).ok().and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
        if let Some(known) = known.filter(|known| known.path == path && known.version == version) {
            return Ok(Stored { path: path.to_owned(), sha256: known.sha256, size: known.size });
        }
        let stored = checked(path, sums)?;
        let known = Note { path: path.to_owned(), version, sha256: stored.sha256.clone(), size: stored.size };
        self.write("notes", &format!("{}.json", sums.name()), &serde_json::to_vec(&known).unwrap_or_default())?;
        Ok(stored)
    }

    /// Something kept beside the files; `None` when it is not there.
    pub fn read(&self, kind: &str, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(kind).join(name)).ok()
    }

    /// Keeps something beside the files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, kind: &str, name: &str, bytes: &[u8]) -> Result {
        let folder = self.folder.join(kind);
        private_dir(&folder)?;
        let failed = || format!("cannot write to the cache `{}`", folder.display());
        let mut new = tempfile::NamedTempFile::new_in(&folder).or_step(failed)?;
        std::io::Write::write_all(&mut new, bytes).or_step(failed)?;
        new.persist(folder.join(name)).map(drop).or_step(failed)
    }

    /// A private folder beside the files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, kind: &str) -> Result<PathBuf> {
        let folder = self.folder.join(kind);
        private_dir(&folder).map(|()| folder)
    }

    /// Waits until no other run on this machine works on what is called `name`, and keeps them away.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.dir("locks")?.join(name);
        let failed = || format!("cannot lock the cache with `{}`", path.display());
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).or_step(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).or_step(failed)?;
        Ok(file)
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        Ok(self.dir("files")?.join(name))
    }
}

fn private_dir(path: &Path) -> Result {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.or_kind(Kind::Step, || format!("cannot make the cache `{}`", path.display()))
}

/// Reads a whole file and holds it against its sums.
pub(super) fn checked(path: &Path, sums: &Sums) -> Result<Stored> {
    let failed = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).or_step(failed)?;
    let (mut short, mut long) = (Sha256::new(), sums.sha512.as_ref().map(|_| Sha512::new()));
    let mut buffer = vec![0; 1024 * 1024];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).or_step(failed)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        short.update(&buffer[..count]);
        if let Some(long) = &mut long {
            long.update(&buffer[..count]);
        }
    }
    let sha256 = hex(&short.finalize());
    let found = [
        ("sha256", sums.sha256.as_ref(), Some(sha256.clone())),
        ("sha512", sums.sha512.as_ref(), long.map(|long| hex(&long.finalize()))),
    ];
    for (name, wanted, found) in found {
        if let (Some(wanted), Some(found)) = (wanted, found)
            && *wanted != found
        {
            return Err(Error::step(format!("its {name} is {found}, not {wanted}")));
        }
    }
    Ok(Stored { path: path.to_owned(), sha256, size })
}
