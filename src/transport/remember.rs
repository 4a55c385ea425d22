//! Recording the key of a host seen for the first time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use russh::keys::PublicKey;
use rustix::fs::FlockOperation;

use super::known_hosts::{KnownHosts, Verdict, hashed};
use crate::error::{Context, Kind, Result};

/// What came of it.
#[derive(Debug)]
pub(super) enum Remembered {
    /// The line was added.
    Added,
    /// Meanwhile the file knew the host: by this key, or not.
    Known(Verdict),
}

/// Adds a line to a `known_hosts` file, unless it knows the host by now. The file is locked against other
/// runs of mk; the line is one write, so OpenSSH, which locks nothing, cannot tear it.
///
/// A file that may not be written is left alone: it is appended to, never replaced.
pub(super) fn remember(path: &Path, name: &str, key: &PublicKey, hash: bool) -> Result<Remembered> {
    let first = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { authority: None });
    add(path, name, key, hash, first)
}

/// Adds a line for one of a host's keys that a person has looked at, also beside keys of other types. Says
/// whether it did.
pub(super) fn remember_type(path: &Path, name: &str, key: &PublicKey, hash: bool) -> Result<bool> {
    let other = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { .. } | Verdict::NewType(_));
    Ok(matches!(add(path, name, key, hash, other)?, Remembered::Added))
}

fn add(path: &Path, name: &str, key: &PublicKey, hash: bool, may: fn(&Verdict) -> bool) -> Result<Remembered> {
    let doing = || format!("cannot record the host key in `{}`", path.display());
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).or_kind(Kind::HostKey, doing)?;
    }
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).or_kind(Kind::HostKey, doing)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).or_kind(Kind::HostKey, doing)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).or_kind(Kind::HostKey, doing)?;
    let mut known = KnownHosts::default();
    known.add(&path.display().to_string(), &text);
    let verdict = known.verdict(&[name.to_owned()], key);
    if !may(&verdict) {
        return Ok(Remembered::Known(verdict));
    }
    let line = line(name, key, hash).or_kind(Kind::HostKey, doing)?;
    append(&mut file, &text, &line).or_kind(Kind::HostKey, doing)?;
    Ok(Remembered::Added)
}

fn append(file: &mut File, before: &[u8], line: &str) -> std::io::Result<()> {
    let newline = if before.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
    file.seek(SeekFrom::End(0))?;
    file.write_all(format!("{newline}{line}\n").as_bytes())?;
    file.sync_data()
}

fn line(name: &str, key: &PublicKey, hash: bool) -> std::io::Result<String> {
    let name = if hash {
        let mut salt = [0; 20];
        File::open("/dev/urandom")?.read_exact(&mut salt)?;
        hashed(&salt, name)
    } else {
        name.to_owned()
    };
    Ok(format!("{name} {}", bare(key)))
}

/// The key as `known_hosts` wants it, without its comment.
pub(super) fn bare(key: &PublicKey) -> String {
    PublicKey::new(key.key_data().clone(), "").to_openssh().unwrap_or_default()
}
