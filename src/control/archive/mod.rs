//! Archives: what is in them, and the bytes of those members that a host wants.
//!
//! An archive is read through once to index it; the index is kept by the archive's digest. A member's bytes are
//! taken out only when a host asks for them, and kept by their own digest. Nothing is ever written to a path
//! that an archive names: that is for `choose`, and for the host, which writes below its target only.

mod choose;
mod formats;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use choose::Choice;

use super::artifacts::{Cache, Stored};
use crate::change::hex;
use crate::error::{Context, Error, Result};

/// The layout of kept indices; another layout is another name.
const LAYOUT: &str = "1";

/// Everything in an archive, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The members.
    pub members: Vec<Member>,
}

/// One member of an archive, as the archive describes it: nothing here is trusted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its path.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// What it is.
    pub what: MemberKind,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// A file with these bytes.
    File {
        /// Hex SHA-256.
        sha256: String,
        /// Their number.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link to this.
    Link(String),
    /// Something that is never taken out of an archive, in words.
    Refused(String),
}

/// A member as its format tells it, while the archive is read through.
struct Head {
    path: String,
    mode: u32,
    what: Raw,
}

enum Raw {
    File,
    Dir,
    Link(String),
    /// The same file as an earlier member.
    Same(String),
    Refused(String),
}

/// Visits a member; the reader has a file's bytes.
type Visit<'a> = dyn FnMut(Head, &mut dyn Read) -> Result + 'a;

/// The archives of a run.
pub struct Archives {
    cache: Cache,
    known: Mutex<BTreeMap<String, Arc<Index>>>,
}

impl Archives {
    /// Archives whose indices and members are kept in a cache.
    pub fn new(cache: Cache) -> Self {
        Self { cache, known: Mutex::default() }
    }

    /// What is in an archive, called `name` in faults.
    ///
    /// # Errors
    /// When it is no archive, is damaged, or is built to fill disks.
    pub fn index(&self, archive: &Stored, name: &str) -> Result<Arc<Index>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known.get(&archive.sha256) {
            return Ok(Arc::clone(index));
        }
        let file = format!("{LAYOUT}-{}.json", archive.sha256);
        let kept = self.cache.read("indices", &file).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let index = match kept {
            Some(index) => index,
            None => {
                let index = read(&archive.path).map_err(|e| named(e, name))?;
                self.cache.write("indices", &file, &serde_json::to_vec(&index).unwrap_or_default())?;
                index
            }
        };
        let index = Arc::new(index);
        known.insert(archive.sha256.clone(), Arc::clone(&index));
        Ok(index)
    }

    /// Opens the bytes of one member. The first time, all members in `wanted` are taken out together: most
    /// archives can only be read from the front.
    ///
    /// # Errors
    /// When the archive is not what it was when it was indexed.
    pub fn open(&self, archive: &Stored, index: &Index, wanted: &[String], sha256: &str) -> Result<File> {
        let folder = self.cache.dir("members")?;
        let path = folder.join(sha256);
        let open = || File::open(&path).or_step(|| format!("cannot read `{}`", path.display()));
        if path.exists() {
            return open();
        }
        let _lock = self.cache.lock(&format!("members-{}", archive.sha256))?;
        if !path.exists() {
            let missing: Vec<&String> = wanted.iter().filter(|sha256| !folder.join(sha256).exists()).collect();
            take_out(archive, index, &missing, &folder)?;
        }
        open()
    }
}

fn named(error: Error, name: &str) -> Error {
    let named = Error::step(format!("cannot unpack `{name}`")).because(error.message());
    error.causes().iter().fold(named, Error::because)
}

/// Reads an archive through.
fn read(path: &Path) -> Result<Index> {
    let mut members: Vec<Member> = Vec::new();
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    formats::walk(path, &mut |head, bytes| {
        let (mode, what) = match head.what {
            Raw::File => {
                let (sha256, size) = copy(bytes, &mut std::io::sink(), &head.path)?;
                files.insert(plain(&head.path), members.len());
                (head.mode, MemberKind::File { sha256, size })
            }
            Raw::Dir => (head.mode, MemberKind::Dir),
            Raw::Link(target) => (head.mode, MemberKind::Link(target)),
            Raw::Refused(why) => (head.mode, MemberKind::Refused(why)),
            Raw::Same(other) => match files.get(&plain(&other)).and_then(|at| members.get(*at)) {
                Some(first) => (first.mode, first.what.clone()),
                None => {
                    (head.mode, MemberKind::Refused(format!("a hard link to `{other}`, which is not in the archive")))
                }
            },
        };
        members.push(Member { path: head.path, mode, what });
        Ok(())
    })?;
    Ok(Index { members })
}

/// Takes the bytes of these digests out of an archive, each to a file of that name.
fn take_out(archive: &Stored, index: &Index, missing: &[&String], folder: &Path) -> Result {
    let mut left: Vec<&str> = missing.iter().map(|sha256| sha256.as_str()).collect();
    let mut position = 0;
    formats::walk(&archive.path, &mut |head, bytes| {
        let member = index.members.get(position);
        position += 1;
        let (Raw::File, Some(MemberKind::File { sha256, .. })) = (head.what, member.map(|member| &member.what)) else {
            return Ok(());
        };
        let Some(at) = left.iter().position(|wanted| wanted == sha256) else { return Ok(()) };
        let failed = || format!("cannot write to the cache `{}`", folder.display());
        let mut file = tempfile::NamedTempFile::new_in(folder).or_step(failed)?;
        let (found, _) = copy(bytes, &mut file, &head.path)?;
        if found != *sha256 {
            return Err(changed(&archive.path));
        }
        file.persist(folder.join(sha256)).or_step(failed)?;
        left.swap_remove(at);
        Ok(())
    })?;
    if left.is_empty() { Ok(()) } else { Err(changed(&archive.path)) }
}

fn changed(path: &Path) -> Error {
    Error::step(format!("`{}` was changed during the run", path.display()))
}

/// Copies a member's bytes; gives their digest and number.
fn copy(bytes: &mut dyn Read, to: &mut dyn Write, path: &str) -> Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let count = bytes.read(&mut buffer).or_step(|| format!("the archive is damaged in `{path}`"))?;
        if count == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        size += count as u64;
        hash.update(&buffer[..count]);
        to.write_all(&buffer[..count]).or_step(|| format!("cannot keep `{path}`"))?;
    }
}

/// A member's path without what says nothing: `.`, and slashes that are one too many.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let absolute = if path.starts_with('/') { "/" } else { "" };
    format!("{absolute}{}", parts.join("/"))
}
