//! Digests of files, remembered so that a converged run does not read gigabytes again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::probe::open;
use crate::change::{Content, SHOWN_TEXT, hex};
use crate::error::{Context, Error, Result};

/// Files shorter than this are always read: that is as cheap as looking them up.
const WORTH_KEEPING: u64 = 256 * 1024;

/// How much of a file is read at once, in bytes.
const MOST_AT_ONCE: usize = 128 * 1024;

/// How many digests are kept between runs.
const MOST: usize = 10_000;

/// Digests by what identifies a version of a file.
#[derive(Debug, Default)]
pub struct Digests {
    known: BTreeMap<String, Kept>,
    file: Option<PathBuf>,
    changed: bool,
    all: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    version: String,
    sha256: String,
}

impl Digests {
    /// The digests kept in a file; none when it is missing or unreadable.
    pub fn load(file: PathBuf) -> Self {
        let known = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { known, file: Some(file), changed: false, all: false }
    }

    /// Digests that are kept for this run only, those of short files too: where the same files are asked for
    /// once a host.
    pub fn of_all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Writes them back, if there is anything new. Losing them costs time only, so faults are passed over.
    pub fn save(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.changed) else { return };
        while self.known.len() > MOST {
            self.known.pop_first();
        }
        let temporary = file.with_extension("new");
        let bytes = serde_json::to_vec(&self.known).unwrap_or_default();
        if fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, file)).is_ok() {
            self.changed = false;
        }
    }

    /// Takes in what this process has just written to a file, and hashed meanwhile: it is not read again to look at
    /// it, as long as it is the same file at that path and nobody has written to it since.
    pub fn wrote(&mut self, path: &Path, meta: &fs::Metadata, sha256: &str) {
        if meta.size() >= WORTH_KEEPING {
            let kept = Kept { version: file_version(meta), sha256: sha256.to_owned() };
            self.known.insert(path.to_string_lossy().into_owned(), kept);
            self.changed = true;
        }
    }

    /// What a regular file holds; `None` when nothing is there.
    ///
    /// # Errors
    /// When something other than a file is there, or it cannot be read.
    pub fn content(&mut self, path: &Path) -> Result<Option<Content>> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        let failed = || format!("cannot read `{}`", path.display());
        let meta = file.metadata().or_step(failed)?;
        if !meta.is_file() {
            return Err(Error::step(format!("`{}` is not a file", path.display())));
        }
        let (key, version) = (path.to_string_lossy().into_owned(), file_version(&meta));
        if let Some(kept) = self.known.get(&key).filter(|kept| kept.version == version) {
            return Ok(Some(Content { sha256: kept.sha256.clone(), size: meta.size(), text: None }));
        }
        let mut hash = Sha256::new();
        let mut short = Vec::new();
        let mut size = 0;
        // A short file is read at once; one byte more than it has shows its end.
        let mut buffer =
            vec![0; usize::try_from(meta.len()).map_or(MOST_AT_ONCE, |size| (size + 1).clamp(4096, MOST_AT_ONCE))];
        loop {
            let count = file.read(&mut buffer).or_step(failed)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            size += count as u64;
            if short.len() <= SHOWN_TEXT {
                short.extend_from_slice(&buffer[..count]);
            }
        }
        let sha256 = hex(&hash.finalize());
        if self.all || size >= WORTH_KEEPING {
            self.known.insert(key, Kept { version, sha256: sha256.clone() });
            self.changed = true;
        }
        let text = if size <= SHOWN_TEXT as u64 { Content::shown(&short) } else { None };
        Ok(Some(Content { sha256, size, text }))
    }
}

/// What tells one version of a file from another. Change time cannot be set by a program, so a file that was written to
/// always has another one.
pub(crate) fn file_version(meta: &fs::Metadata) -> String {
    format!(
        "{}:{}:{}:{}.{}:{}.{}",
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_only_when_it_is_another_file_or_was_written_to_since() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, vec![7; 300_000]).unwrap();
        let mut digests = Digests::default();
        // A digest that it does not have shows where the answer comes from.
        digests.wrote(&path, &fs::metadata(&path).unwrap(), "told");
        assert_eq!(digests.content(&path).unwrap().unwrap().sha256, "told");
        fs::write(folder.path().join("other"), vec![7; 300_000]).unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        let read = digests.content(&path).unwrap().unwrap().sha256;
        assert_ne!(read, "told");
        digests.wrote(&path, &fs::metadata(&path).unwrap(), "told");
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, vec![7; 300_000]).unwrap();
        assert_eq!(digests.content(&path).unwrap().unwrap().sha256, read);
    }
}
