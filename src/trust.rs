//! Whose code runs on this side: who may have written what mk reads as code or configuration. What git holds to by
//! `safe.directory`, for projects and inventories.
//!
//! A file is obeyed when it, and every folder from its root down to it, belongs to root or to the user who runs mk, and
//! nobody else may write to it. Started through sudo, the user who called sudo counts as well, as for git: a checkout in
//! that user's home stays usable, and whoever may choose the playbook may choose what is in it. A group may write where
//! nobody else is in it: the private group of one of these users (a umask of 002), or root's. Links are followed, and
//! both the link and what it leads to must hold.
//!
//! A root is a folder in which names are looked for: a project's, an inventory's. Nothing above it is looked at, so it
//! may lie in `/tmp`; it may not be `/tmp` itself, where anybody can add a name. A file outside of all roots was named
//! whole by somebody who is obeyed already: it is looked at with the folder that it lies in.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walkdir::WalkDir;

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{is_private_group, user_name};

/// The most links that one path may lead through, as for the kernel.
const MOST_LINKS: usize = 40;

/// Tells by owner and mode what may be obeyed. Clones are the same one, and look at a folder once a run.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The users whose files are obeyed.
    users: Vec<u32>,
    /// Whether roots are taken as they are.
    trusting: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Folders that were said to be trusted, with all that is below.
    trusted: Vec<PathBuf>,
    roots: Vec<PathBuf>,
    /// Folders that were found to be right, and paths that lead to something that is. What only trusted users may
    /// change stays right.
    right: HashSet<PathBuf>,
    /// Folders that were gone through to their last file.
    whole: HashSet<PathBuf>,
    /// Whether nobody is in a group but users who are obeyed.
    private: HashMap<u32, bool>,
}

/// Where a path leads.
enum End {
    /// To nothing.
    Nothing,
    /// To what this process was given open: `<(…)`, `/dev/stdin`.
    Descriptor,
    /// To this, looked at.
    There(PathBuf, Metadata),
}

/// What a folder is to the search for a project.
pub enum Folder {
    /// Only users who are obeyed can have written what is in it.
    Own,
    /// Anybody may put things there, as in `/tmp`: nobody's project.
    Shared,
    /// Somebody else's, and why.
    Foreign(Error),
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Vec::new(), false)
    }
}

impl Guard {
    /// One for the user of this process. Everything below the `trusted` folders is obeyed whoever wrote it, and with
    /// `trusting` everything below the roots as well.
    pub fn new(trusted: Vec<PathBuf>, trusting: bool) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let caller = std::env::var("SUDO_UID").ok().filter(|_| own == 0).and_then(|uid| uid.parse().ok());
        let users = [Some(0), Some(own), caller].into_iter().flatten().collect();
        let known = Mutex::new(Known { trusted, ..Known::default() });
        Self(Arc::new(Inner { users, trusting, known }))
    }

    /// One that obeys what another user wrote as well.
    #[must_use]
    pub fn and_of(&self, uid: u32) -> Self {
        let known = self.known();
        let (trusted, roots) = (known.trusted.clone(), known.roots.clone());
        drop(known);
        let users = self.0.users.iter().copied().chain([uid]).collect();
        let known = Mutex::new(Known { trusted, roots, ..Known::default() });
        Self(Arc::new(Inner { users, trusting: self.0.trusting, known }))
    }

    /// Makes a folder a root: from here on down everything is looked at that leads to what is read.
    pub fn enter(&self, folder: &Path) {
        let Ok(folder) = fs::canonicalize(folder) else { return };
        let mut known = self.known();
        let folders = if self.0.trusting { &mut known.trusted } else { &mut known.roots };
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }

    /// What a folder is that may be a project's, or above it. The path must be canonical.
    pub fn folder(&self, path: &Path) -> Folder {
        let Ok(meta) = fs::symlink_metadata(path) else { return Folder::Shared };
        if self.is_trusted(path) {
            return Folder::Own;
        }
        if meta.mode() & 0o1002 == 0o1002 {
            return Folder::Shared;
        }
        match self.judged(path, &meta, false) {
            Err(error) if !self.0.trusting => Folder::Foreign(error),
            _ => Folder::Own,
        }
    }

    /// Looks at everything that leads to a path. What is not there is left to be told by whoever reads it.
    ///
    /// # Errors
    /// When somebody else owns any of it, or may write to it.
    pub fn check(&self, path: &Path) -> Result {
        let path = absolute(path)?;
        if self.known().right.contains(&path) {
            return Ok(());
        }
        if let End::There(..) = self.followed(&path)? {
            self.known().right.insert(path);
        }
        Ok(())
    }

    /// As [`Guard::check`], for a folder with all that is in it. Links in it are what they are, and not followed.
    ///
    /// # Errors
    /// When somebody else owns any of it, or may write to it.
    pub fn check_all(&self, path: &Path) -> Result {
        let path = absolute(path)?;
        if self.known().whole.contains(&path) {
            return Ok(());
        }
        let End::There(real, _) = self.followed(&path)? else { return Ok(()) };
        for entry in WalkDir::new(&real).min_depth(1).into_iter().flatten() {
            if let Ok(meta) = entry.metadata() {
                self.judged(entry.path(), &meta, false)?;
            }
        }
        self.known().whole.insert(path);
        Ok(())
    }

    /// Opens a file that is obeyed. What is read is what was looked at, whatever is put there meanwhile.
    ///
    /// # Errors
    /// When somebody else owns any of what leads to it, or may write to it; when it cannot be opened.
    pub fn open(&self, path: &Path) -> Result<File> {
        let failed = || format!("cannot read `{}`", path.display());
        let file = File::open(path).or_kind(Kind::Usage, failed)?;
        let meta = file.metadata().or_kind(Kind::Usage, failed)?;
        // Only root makes devices; what is typed on a terminal is the user's own word, whoever owns the terminal.
        if meta.file_type().is_char_device() {
            return Ok(file);
        }
        match self.followed(&absolute(path)?)? {
            End::Descriptor => Ok(file),
            End::There(_, found) if (found.dev(), found.ino()) == (meta.dev(), meta.ino()) => Ok(file),
            End::There(..) | End::Nothing => Err(Error::usage(failed()).because("it was replaced meanwhile")),
        }
    }

    /// The text of a file that is obeyed.
    ///
    /// # Errors
    /// As [`Guard::open`]; when it is not UTF-8.
    pub fn text(&self, path: &Path) -> Result<String> {
        let mut text = String::new();
        let read = self.open(path)?.read_to_string(&mut text);
        read.map(|_| text).or_kind(Kind::Usage, || format!("cannot read `{}`", path.display()))
    }

    /// Follows a path to its end, and looks at what must hold on the way.
    fn followed(&self, path: &Path) -> Result<End> {
        let mut at = PathBuf::from("/");
        let mut last = None;
        let mut todo: Vec<OsString> = parts(path);
        let mut links = 0;
        let descriptors = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
        while let Some(part) = todo.pop() {
            if part == ".." {
                at.pop();
                last = None;
                continue;
            }
            let next = at.join(&part);
            let meta = match fs::symlink_metadata(&next) {
                Ok(meta) => meta,
                // Where one may not look, one cannot read either.
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                    ) =>
                {
                    return Ok(End::Nothing);
                }
                Err(e) => return Err(Error::usage(format!("cannot look at `{}`", next.display())).because(e)),
            };
            if meta.is_symlink() {
                if at == descriptors {
                    return Ok(End::Descriptor);
                }
                self.judged(&next, &meta, false)?;
                links += 1;
                let target =
                    fs::read_link(&next).or_kind(Kind::Usage, || format!("cannot follow `{}`", next.display()));
                let target = target?;
                if links > MOST_LINKS {
                    return Err(Error::usage(format!("`{}` leads through too many links", path.display())));
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                todo.extend(parts(&target));
                continue;
            }
            if self.is_below_root(&next) && !self.known().right.contains(&next) {
                self.judged(&next, &meta, false)?;
                if meta.is_dir() {
                    self.known().right.insert(next.clone());
                }
            }
            at = next;
            last = Some(meta);
        }
        let failed = || format!("cannot look at `{}`", at.display());
        let meta = last.map_or_else(|| fs::symlink_metadata(&at).or_kind(Kind::Usage, failed), Ok)?;
        if !self.is_below_root(&at) {
            self.judged(&at, &meta, false)?;
            if let Some(folder) = at.parent() {
                let meta = fs::symlink_metadata(folder).or_kind(Kind::Usage, failed)?;
                self.judged(folder, &meta, true)?;
            }
        }
        Ok(End::There(at, meta))
    }

    /// Whether one thing may be obeyed, whatever lies above it. `shared`: anybody may put other things beside it.
    fn judged(&self, path: &Path, meta: &Metadata, shared: bool) -> Result {
        if self.is_trusted(path) {
            return Ok(());
        }
        let shown = path.display();
        let (kind, of) = if meta.is_dir() { ("in it", "from it") } else { ("in it", "because of it") };
        let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        let owner = user_name(uid).map_or_else(|| format!("uid {uid}"), |name| format!("`{name}` (uid {uid})"));
        let facts = format!("owner {owner}, group {gid}, mode {mode:04o}");
        if !self.0.users.contains(&uid) {
            let me = self.0.users.get(1).copied().unwrap_or_default();
            let me = user_name(me).unwrap_or_else(|| me.to_string());
            let fault = Error::usage(format!("`{shown}` belongs to {owner}, so nothing {kind} is obeyed"));
            return Err(self.mended(fault.because(facts), path, meta, &format!("chown {me}")));
        }
        // The mode of a link says nothing; and in /tmp anybody may add files, but not replace another's.
        if meta.is_symlink() || shared && mode & 0o1000 != 0 {
            return Ok(());
        }
        if mode & 0o002 != 0 {
            let fault = Error::usage(format!("anybody may write to `{shown}`, so nothing is run {of}"));
            return Err(self.mended(fault.because(facts), path, meta, "chmod go-w"));
        }
        if mode & 0o020 == 0 {
            return Ok(());
        }
        if gid != 0 && !self.is_private(gid) {
            let fault = Error::usage(format!("others of its group may write to `{shown}`, so nothing is run {of}"));
            return Err(self.mended(fault.because(facts), path, meta, "chmod g-w"));
        }
        // With a list, the bits of the group are the most that anybody in the list has.
        if rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok() {
            let fault =
                Error::usage(format!("an access list may let others write to `{shown}`, so nothing is run {of}"));
            return Err(self.mended(fault.because(facts), path, meta, "setfacl -b"));
        }
        Ok(())
    }

    /// Adds the ways out.
    fn mended(&self, fault: Error, path: &Path, meta: &Metadata, command: &str) -> Error {
        let known = self.known();
        let root = known.roots.iter().filter(|root| path.starts_with(root)).min_by_key(|root| root.as_os_str().len());
        let own = if meta.is_dir() { path } else { path.parent().unwrap_or(path) };
        let folder = root.map_or(own, PathBuf::as_path);
        let (path, folder) = (quoted(path), quoted(folder));
        // What is below was mostly made by the same hand.
        let all = if meta.is_dir() { command.replacen(' ', " -R ", 1) } else { command.to_owned() };
        fault
            .hint(format!("once you have seen what is there: `{all} {path}`"))
            .hint(format!("or `mk trust {folder}` to obey all that is in it, `--trust-project` for this run"))
    }

    fn is_private(&self, gid: u32) -> bool {
        if let Some(known) = self.known().private.get(&gid) {
            return *known;
        }
        let private = self.0.users.iter().any(|uid| is_private_group(gid, *uid));
        self.known().private.insert(gid, private);
        private
    }

    fn is_trusted(&self, path: &Path) -> bool {
        self.known().trusted.iter().any(|folder| path.starts_with(folder))
    }

    fn is_below_root(&self, path: &Path) -> bool {
        self.known().roots.iter().any(|root| path.starts_with(root))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(named).collect()
}

/// A path as it is typed.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), std::borrow::Cow::into_owned)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).or_kind(Kind::Usage, || format!("`{}` is no path", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::op::alone::alone;

    #[test]
    fn a_group_is_private_when_it_is_called_as_its_user_and_nobody_else_is_in_it() {
        alone(&[], |_| {
            let passwd = |others: &str| {
                let own = "root:x:0:0::/root:/bin/sh\nann:x:71:71::/:/bin/sh\nbob:x:72:72::/:/bin/sh\n";
                fs::write("/etc/passwd", format!("{own}{others}")).unwrap();
            };
            passwd("");
            fs::write("/etc/group", "root:x:0:\nann:x:71:\nbob:x:72:ann\ndevs:x:73:ann\n").unwrap();
            assert!(is_private_group(71, 71) && is_private_group(0, 0));
            assert!(!is_private_group(72, 72), "ann is in bob's group");
            assert!(!is_private_group(71, 72) && !is_private_group(73, 71) && !is_private_group(74, 71));
            passwd("eve:x:75:71::/:/bin/sh\n");
            assert!(!is_private_group(71, 71), "eve's first group is ann's");
        });
    }

    #[test]
    fn a_file_that_is_put_in_the_place_of_another_is_not_read_as_that_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "x").unwrap();
        let guard = Guard::default();
        guard.enter(folder.path());
        assert_eq!(guard.text(&file).unwrap(), "x");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(guard.text(&file).unwrap_err().message().starts_with("anybody may write to"));
        assert!(guard.text(&folder.path().join("none")).unwrap_err().to_string().contains("No such file"));
    }

    #[test]
    fn a_circle_of_links_comes_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("a");
        std::os::unix::fs::symlink("a", &link).unwrap();
        assert!(Guard::default().check(&link).unwrap_err().message().contains("too many links"));
    }
}
