//! Changing a host. Only the loop in `op` makes a [`Hands`], and only when applying.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use serde_json::Value;

use super::command::{Command, Ran};
use super::creations::Creations;
use super::digests::Digests;
use super::jobs::Jobs;
use super::peer::Peer;
use super::probe::Probe;
use super::rehearsal;
use super::write::{self, Placement};
use crate::change::Thing;
use crate::error::{Context, Error, Result};
use crate::wire::Payload;

/// Read and write access to a host.
pub(crate) struct Hands<'a> {
    probe: Probe<'a>,
    creations: &'a RefCell<Creations>,
}

impl<'a> Deref for Hands<'a> {
    type Target = Probe<'a>;

    fn deref(&self) -> &Probe<'a> {
        &self.probe
    }
}

impl<'a> Hands<'a> {
    /// Hands on this host. What they make is noted in `creations`.
    pub(crate) fn new(
        peer: &'a dyn Peer,
        jobs: &'a Jobs,
        digests: &'a RefCell<Digests>,
        creations: &'a RefCell<Creations>,
        stream: bool,
    ) -> Self {
        Self { probe: Probe::new(None, peer, jobs, digests, stream), creations }
    }

    /// Takes note that something may come to stand at a path where nothing is yet: what a command makes, say.
    /// With `if_empty` it is taken away again only when nothing is in it then.
    pub(crate) fn makes(&self, path: &Path, if_empty: bool) {
        // What mk keeps for itself goes with the agent.
        if !path.starts_with(self.state_dir()) && !path.starts_with(self.run_dir()) {
            self.creations.borrow_mut().path(path, if_empty);
        }
    }

    /// Takes note of something that was made and that the step's state does not tell of.
    pub(crate) fn made(&self, thing: Thing) {
        self.creations.borrow_mut().made(thing);
    }

    /// Runs a command that may change the host. Its exit status is the caller's to judge.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time.
    pub(crate) fn run(&self, command: &Command) -> Result<Ran> {
        let command = Command { stream: self.probe.stream, ..command.clone() };
        command.execute(self.probe.jobs, self.probe.peer)
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// Also when it exits with another status than 0.
    pub(crate) fn must(&self, command: &Command) -> Result<Ran> {
        let ran = self.run(command)?;
        if ran.success() { Ok(ran) } else { Err(command.failure(&ran)) }
    }

    /// Writes a whole file, or nothing.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8], place: Placement) -> Result {
        self.makes(path, false);
        self.rewrite(path, bytes, place)
    }

    /// As [`Hands::write`], for a file that comes and goes with the things that the step's state tells of.
    ///
    /// # Errors
    /// When the host refuses.
    #[allow(clippy::unused_self, reason = "only hands change a host")]
    pub(crate) fn rewrite(&self, path: &Path, bytes: &[u8], place: Placement) -> Result {
        write::replace(&Self::real(path), &mut &bytes[..], None, place, None).map(drop)
    }

    /// As [`Hands::rewrite`], in a folder that a user may write to: a link at `path` is replaced, not followed.
    ///
    /// # Errors
    /// When the host refuses.
    #[allow(clippy::unused_self, reason = "only hands change a host")]
    pub(crate) fn supplant(&self, path: &Path, bytes: &[u8], place: Placement) -> Result {
        write::replace(path, &mut &bytes[..], None, place, None).map(drop)
    }

    /// Writes a payload to a file, whole or not at all; asks the control side for bytes that did not
    /// travel with the request.
    ///
    /// # Errors
    /// When `validate` does not accept the content, other bytes arrive, or the host refuses.
    pub(crate) fn write_payload(
        &self,
        path: &Path,
        payload: &Payload,
        place: Placement,
        validate: Option<&[String]>,
    ) -> Result {
        self.makes(path, false);
        let path = &Self::real(path);
        let looks = |temporary: &Path| self.validate(temporary, validate);
        let inspect: Option<&write::Inspect> = validate.is_some().then_some(&looks);
        match payload.bytes()? {
            Some(bytes) => write::replace(path, &mut &bytes[..], Some(&payload.sha256), place, inspect).map(drop),
            None => {
                let mut source = self.probe.peer.blob(&payload.sha256)?;
                let result = write::replace(path, &mut source, Some(&payload.sha256), place, inspect);
                // What is still under way belongs to this blob, and must not be taken for the next thing.
                let _ = std::io::copy(&mut source.take(u64::MAX), &mut std::io::sink());
                self.probe.digests.borrow_mut().wrote(path, &result?, &payload.sha256);
                Ok(())
            }
        }
    }

    /// Several contents from the control side, one after another.
    ///
    /// # Errors
    /// When the control side does not have one of them, or the connection broke.
    pub(crate) fn blobs(&self, sha256: &[String]) -> Result<Box<dyn Read + '_>> {
        self.probe.peer.blobs(sha256)
    }

    /// Writes one of many files, whole or not at all; a link at `path` is replaced, not followed. It lasts
    /// once [`Hands::settle`] was called.
    ///
    /// # Errors
    /// When other bytes arrive, or the host refuses.
    pub(crate) fn write_one_of_many(
        &self,
        path: &Path,
        source: &mut dyn Read,
        sha256: &str,
        place: Placement,
    ) -> Result {
        self.makes(path, false);
        write::replace_one_of_many(path, source, sha256, place)
    }

    /// Makes everything written below a directory last.
    pub(crate) fn settle(&self, dir: &Path) {
        write::sync_all(dir);
    }

    /// Writes a value into a file of the kernel's, which takes it as it comes and has no whole to replace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn set_kernel(&self, path: &Path, value: &str) -> Result {
        fs::write(path, format!("{value}\n")).or_step(|| format!("cannot write `{value}` to `{}`", path.display()))
    }

    /// Sets owner, group and mode of what is at a path.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn place(&self, path: &Path, place: Placement) -> Result {
        let failed = || format!("cannot set the owner and mode of `{}`", path.display());
        if place.uid.is_some() || place.gid.is_some() {
            rustix::fs::chown(path, place.uid.map(Uid::from_raw), place.gid.map(Gid::from_raw)).or_step(failed)?;
        }
        if let Some(mode) = place.mode {
            rustix::fs::chmod(path, Mode::from_raw_mode(mode)).or_step(failed)?;
        }
        Ok(())
    }

    /// Sets owner, group and mode of a directory. A link in its place is refused, also one that comes there meanwhile:
    /// whoever the folder above belongs to could have it point anywhere.
    ///
    /// # Errors
    /// When something else is there, or the host refuses.
    pub(crate) fn place_dir(&self, path: &Path, place: Placement) -> Result {
        let failed = || format!("cannot set the owner and mode of `{}`", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
            Errno::NOTDIR | Errno::LOOP => Error::step(failed()).because("it is no directory any more"),
            e => Error::step(failed()).because(e),
        })?;
        if place.uid.is_some() || place.gid.is_some() {
            rustix::fs::fchown(&dir, place.uid.map(Uid::from_raw), place.gid.map(Gid::from_raw)).or_step(failed)?;
        }
        match place.mode {
            Some(mode) => rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode)).or_step(failed),
            None => Ok(()),
        }
    }

    /// Sets the owner and group of a link itself.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn place_link(&self, path: &Path, place: Placement) -> Result {
        let (uid, gid) = (place.uid.map(Uid::from_raw), place.gid.map(Gid::from_raw));
        rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .or_step(|| format!("cannot set the owner of `{}`", path.display()))
    }

    /// Makes a directory, with its owner and mode from the start; `parents` makes those above it too.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn make_dir(&self, path: &Path, place: Placement, parents: bool) -> Result {
        let failed = || format!("cannot make the directory `{}`", path.display());
        if let Some(parent) = path.parent().filter(|parent| parents && !parent.exists()) {
            self.make_dir(parent, Placement::default(), true)?;
        }
        self.makes(path, true);
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) if path.is_dir() => {}
            Err(e) => return Err(Error::step(failed()).because(e)),
        }
        self.place_dir(path, Placement { mode: place.mode.or(Some(0o755)), ..place })
    }

    /// Makes a symbolic link, replacing a link that is there.
    ///
    /// # Errors
    /// When something other than a link is in the way, or the host refuses.
    pub(crate) fn link(&self, path: &Path, target: &str) -> Result {
        let failed = || format!("cannot make the link `{}`", path.display());
        self.makes(path, false);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.mk-link"));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(target, &temporary).or_step(failed)?;
        fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary))).or_step(failed)
    }

    /// Removes what is at a path, with everything below it; never follows a link.
    ///
    /// # Errors
    /// When something is mounted there or below, or the host refuses.
    pub(crate) fn remove(&self, path: &Path) -> Result {
        let failed = || format!("cannot remove `{}`", path.display());
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::step(failed()).because(e)),
            Ok(meta) if meta.is_dir() => {
                self.refuse_mounts(path)?;
                fs::remove_dir_all(path).or_step(failed)?;
            }
            Ok(_) => fs::remove_file(path).or_step(failed)?,
        }
        self.creations.borrow_mut().gone(path);
        Ok(())
    }

    /// Removes a directory with nothing in it.
    ///
    /// # Errors
    /// When something is in it, or the host refuses.
    pub(crate) fn remove_empty_dir(&self, path: &Path) -> Result {
        fs::remove_dir(path).or_step(|| format!("cannot remove `{}`", path.display()))?;
        self.creations.borrow_mut().gone(path);
        Ok(())
    }

    /// Copies the file at `path` to a sibling named after the time, with the same owner and mode.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn keep_copy(&self, path: &Path) -> Result<PathBuf> {
        use std::os::unix::fs::MetadataExt as _;
        let failed = || format!("cannot keep a copy of `{}`", path.display());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = path.with_file_name(format!("{name}.{}~", now.as_millis()));
        let mut file = fs::File::open(path).or_step(failed)?;
        let meta = file.metadata().or_step(failed)?;
        let place = Placement { mode: Some(meta.mode() & 0o7777), uid: Some(meta.uid()), gid: Some(meta.gid()) };
        self.makes(&copy, false);
        write::replace(&copy, &mut file, None, place, None)?;
        Ok(copy)
    }

    /// Writes down something of mk's own below its state or run directory.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn note(&self, path: &Path, value: &Value) -> Result {
        if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(parent);
            made.or_step(|| format!("cannot make the directory `{}`", parent.display()))?;
        }
        let place = Placement { mode: Some(0o600), ..Placement::default() };
        self.write(path, value.to_string().as_bytes(), place)
    }

    /// Where a write to `path` has to go: a link to a file stays a link, the file behind it is replaced.
    fn real(path: &Path) -> PathBuf {
        let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        if is_link { fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() }
    }

    fn validate(&self, temporary: &Path, validate: Option<&[String]>) -> Result {
        let Some(words) = validate else { return Ok(()) };
        let ran = self.run(&rehearsal::command(words, temporary))?;
        if ran.success() { Ok(()) } else { Err(rehearsal::refusal(words, &ran)) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::super::peer::NoPeer;
    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_directory_or_a_file_of_a_users_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("dir")).unwrap();
        fs::set_permissions(path("dir"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("file"), "theirs").unwrap();
        symlink(path("dir"), path("to-dir")).unwrap();
        symlink(path("file"), path("to-file")).unwrap();
        let (jobs, digests, creations) =
            (Jobs::default(), RefCell::new(Digests::default()), RefCell::new(Creations::default()));
        let hands = Hands::new(&NoPeer, &jobs, &digests, &creations, false);
        let place = Placement { mode: Some(0o700), ..Placement::default() };
        let mode = || fs::metadata(path("dir")).unwrap().mode() & 0o7777;
        let error = hands.place_dir(&path("to-dir"), place).unwrap_err();
        assert!(error.to_string().ends_with("it is no directory any more"), "{error}");
        assert!(hands.make_dir(&path("to-dir"), place, false).is_err());
        assert_eq!(mode(), 0o755);
        hands.place_dir(&path("dir"), place).unwrap();
        assert_eq!(mode(), 0o700);
        hands.supplant(&path("to-file"), b"ours", place).unwrap();
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(path("to-file")).unwrap(), "ours");
    }
}
