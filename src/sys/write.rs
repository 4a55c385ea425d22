//! Writing a file whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use sha2::{Digest, Sha256};

use crate::change::hex;
use crate::error::{Context, Error, Result};

/// Attributes with their names resolved to numbers: who a new file belongs to and who may use it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placement {
    /// Permission bits; the old file's, else 0644, when not given.
    pub mode: Option<u32>,
    /// The owner; the old file's, else the agent's own user, when not given.
    pub uid: Option<u32>,
    /// The group; the old file's, else the agent's own group, when not given.
    pub gid: Option<u32>,
}

/// What our temporary siblings are called: `.NAME.mk-RANDOM`, of a long name its begin.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.mk-", name.chars().take(50).collect::<String>())
}

fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix('.').and_then(|name| name.rsplit_once(".mk-")).map(|(_, random)| random);
    random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The folders that were swept.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes temporary files that a run killed at the wrong moment left in a folder. That is done once: what is made there
/// later belongs to this run.
///
/// The host's lock makes sure that no other run is using them.
fn sweep(parent: &Path) {
    if !SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_owned()) {
        return;
    }
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if is_temporary(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Looks at a file that is complete, but not yet in its place.
pub(super) type Inspect<'a> = dyn Fn(&Path) -> Result + 'a;

/// Writes `source` beside `path`, lets `inspect` see the result, and renames it over `path`.
///
/// The new file has its owner and mode before it has any content, and is on disk before it has its name.
/// Where `sha256` is given, other bytes are refused. Gives what the file is then.
pub(super) fn replace(
    path: &Path,
    source: &mut dyn Read,
    sha256: Option<&str>,
    place: Placement,
    inspect: Option<&Inspect>,
) -> Result<Metadata> {
    let meta = put(path, source, sha256, place, inspect, true)?;
    sync_dir(path.parent().unwrap_or(path));
    Ok(meta)
}

/// As [`replace`], for one of many files: waiting for the disk is left to the caller, who does it once for all
/// of them.
pub(super) fn replace_one_of_many(path: &Path, source: &mut dyn Read, sha256: &str, place: Placement) -> Result {
    put(path, source, Some(sha256), place, None, false).map(drop)
}

fn put(
    path: &Path,
    source: &mut dyn Read,
    sha256: Option<&str>,
    place: Placement,
    inspect: Option<&Inspect>,
    sync: bool,
) -> Result<Metadata> {
    let failed = || format!("cannot write `{}`", path.display());
    let parent = path.parent().ok_or_else(|| Error::step(failed()).because("it has no directory"))?;
    sweep(parent);
    let old = fs::symlink_metadata(path).ok();
    if old.as_ref().is_some_and(Metadata::is_dir) {
        return Err(Error::step(failed()).because("a directory is there"));
    }
    let temporary = parent.join(format!("{}{:016x}", prefix(path), random()));
    let mut file = Unnamed::create(parent, &temporary).or_step(failed)?;
    let old = old.filter(Metadata::is_file);
    let uid = place.uid.or(old.as_ref().map(MetadataExt::uid));
    let gid = place.gid.or(old.as_ref().map(MetadataExt::gid));
    rustix::fs::fchown(file.as_fd(), uid.map(Uid::from_raw), gid.map(Gid::from_raw)).or_step(failed)?;
    let mode = place.mode.or(old.as_ref().map(|m| m.mode() & 0o7777)).unwrap_or(0o644);
    rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(mode)).or_step(failed)?;
    let written = fill(&mut file.file, source, path)?;
    if sha256.is_some_and(|wanted| wanted != written) {
        return Err(Error::step(failed()).because(format!("what arrived has the digest {written}")));
    }
    if sync {
        file.file.sync_all().or_step(failed)?;
    }
    // Also a name that nobody has comes by a rename: those who watch the folder wait for a file that was written or moved
    // there, and one that gets its first name when it is complete is neither.
    file.name(&temporary).or_step(failed)?;
    inspect.map_or(Ok(()), |inspect| inspect(&temporary))?;
    fs::rename(&temporary, path).or_step(failed)?;
    let meta = file.file.metadata().or_step(failed);
    file.done();
    meta
}

/// Writes everything of the file system that `path` is on to disk.
pub(super) fn sync_all(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = rustix::fs::syncfs(&file);
    }
}

fn fill(file: &mut File, source: &mut dyn Read, path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut sum = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::step(format!("cannot receive the content of `{}`", path.display())).because(e)),
        };
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(|e| {
            let full = e.kind() == io::ErrorKind::StorageFull;
            let error = Error::step(format!("cannot write `{}`", path.display())).because(e);
            if full { space(file, sum).into_iter().fold(error, Error::because) } else { error }
        })?;
        sum += count as u64;
    }
}

/// What room a file would have had on its file system, of which it has taken `taken` bytes.
fn space(file: &File, taken: u64) -> Option<String> {
    let found = rustix::fs::fstatvfs(file).ok()?;
    let kib = |bytes: u64| bytes / 1024;
    let (free, size) = (found.f_bavail * found.f_frsize + taken, found.f_blocks * found.f_frsize);
    Some(format!("{} KiB were free on its file system of {} KiB", kib(free), kib(size)))
}

/// Makes a rename in `dir` last. Not every file system can; that is no fault of the step.
pub(super) fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}

pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}

/// A file that has no name until it is complete, so that a killed agent leaves nothing behind; where the
/// file system cannot do that, one with a temporary name that is removed unless [`Unnamed::done`] is called.
struct Unnamed {
    file: File,
    named: Option<PathBuf>,
}

impl Unnamed {
    fn create(parent: &Path, temporary: &Path) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(0o600);
        let unnamed = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::open(parent, unnamed, mode) {
            return Ok(Self { file: File::from(fd), named: None });
        }
        let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(temporary, exclusive, mode)?;
        Ok(Self { file: File::from(fd), named: Some(temporary.to_owned()) })
    }

    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn name(&mut self, temporary: &Path) -> io::Result<()> {
        if self.named.is_none() {
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, temporary, AtFlags::SYMLINK_FOLLOW)?;
            self.named = Some(temporary.to_owned());
        }
        Ok(())
    }

    fn done(mut self) {
        self.named = None;
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::inotify;

    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn the_old_content_stays_when_the_new_one_does_not_pass_inspection() {
        let dir = scratch();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        let refuse = |_: &Path| Err(Error::step("no"));
        assert!(replace(&path, &mut &b"new"[..], None, Placement::default(), Some(&refuse)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// As containerd does for the configuration of its network, which it would read never again otherwise.
    #[test]
    fn whoever_watches_a_folder_hears_of_a_new_file_as_of_an_old_one() {
        let dir = scratch();
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, dir.path(), inotify::WatchFlags::MOVED_TO).unwrap();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut heard = inotify::Reader::new(&watch, &mut buffer);
        let mut heard = || heard.next().ok().and_then(|event| event.file_name().map(ToOwned::to_owned));
        let digest = crate::change::digest(b"x");
        for _ in ["new", "old"] {
            replace(&dir.path().join("f"), &mut &b"x"[..], None, Placement::default(), None).unwrap();
            assert_eq!(heard().as_deref(), Some(c"f"));
            replace_one_of_many(&dir.path().join("g"), &mut &b"x"[..], &digest, Placement::default()).unwrap();
            assert_eq!(heard().as_deref(), Some(c"g"));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_longest_names_can_be_written_too() {
        let dir = scratch();
        for name in ["x".repeat(255), "ä".repeat(127)] {
            for content in [&b"new"[..], b"newer"] {
                replace(&dir.path().join(&name), &mut &content[..], None, Placement::default(), None).unwrap();
            }
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn bytes_with_another_digest_are_refused() {
        let dir = scratch();
        let path = dir.path().join("f");
        let error = replace(&path, &mut &b"new"[..], Some("00"), Placement::default(), None).unwrap_err();
        assert!(error.to_string().contains("has the digest"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_mode_is_in_place_before_inspection_and_leftovers_are_swept() {
        let dir = scratch();
        let path = dir.path().join("f");
        fs::write(dir.path().join(".f.mk-0123456789abcdef"), "left by a killed run").unwrap();
        let place = Placement { mode: Some(0o600), ..Placement::default() };
        let inspect = |seen: &Path| {
            assert_eq!(fs::metadata(seen).unwrap().permissions().mode() & 0o777, 0o600);
            Ok(())
        };
        replace(&path, &mut &b"new"[..], None, place, Some(&inspect)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
