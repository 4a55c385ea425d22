//! Reading a host, as it is or, in check mode, as earlier steps would have left it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::accounts::{self, Group, User};
use super::command::{Command, Ran, search_path};
use super::digests::Digests;
use super::jobs::Jobs;
use super::peer::Peer;
use super::plan::{Kind, Plan, Planned};
use crate::change::Content;
use crate::error::{Context, Error, Result};

/// What stands at a path; links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// File, directory, link or other.
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner's name, or its number where it has no name.
    pub owner: String,
    /// The group's name, or its number where it has no name.
    pub group: String,
    /// Length in bytes.
    pub size: u64,
    /// Where a link points.
    pub target: Option<String>,
    /// The owner's number; `None` for a planned owner.
    pub uid: Option<u32>,
    /// The group's number; `None` for a planned group.
    pub gid: Option<u32>,
}

/// Read-only access to a host.
pub(crate) struct Probe<'a> {
    pub(super) plan: Option<&'a RefCell<Plan>>,
    pub(super) peer: &'a dyn Peer,
    pub(super) jobs: &'a Jobs,
    pub(super) digests: &'a RefCell<Digests>,
    pub(super) stream: bool,
    /// What was taken for granted to come to an answer.
    pub(super) assumed: RefCell<Vec<String>>,
    /// The user that this is for and that has no agent, since it is only planned.
    pub(super) stand_in: Option<&'a str>,
    state_dir: PathBuf,
    run_dir: PathBuf,
}

impl<'a> Probe<'a> {
    /// A probe of this host. With a plan it sees the host as planned.
    pub(crate) fn new(
        plan: Option<&'a RefCell<Plan>>,
        peer: &'a dyn Peer,
        jobs: &'a Jobs,
        digests: &'a RefCell<Digests>,
        stream: bool,
    ) -> Self {
        let (state_dir, run_dir) = directories();
        Self { plan, peer, jobs, digests, stream, assumed: RefCell::default(), stand_in: None, state_dir, run_dir }
    }

    /// Where mk keeps what must survive a reboot of this host.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Where mk keeps what a reboot of this host should forget.
    pub(crate) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// What stands at a path; `None` when nothing does. That no planned package brings it is taken for granted, and
    /// noted.
    ///
    /// # Errors
    /// When the path cannot be looked at, or, in check mode, cannot be known yet.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<Look>> {
        let found = self.look_without_packages(path)?;
        if found.is_none() && self.may_be_brought(path) {
            self.assume_not_brought();
        }
        Ok(found)
    }

    /// As [`Probe::look`], whatever planned packages may bring.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn look_without_packages(&self, path: &Path) -> Result<Option<Look>> {
        let Some(plan) = self.plan else { return real_look(path) };
        self.settled(path)?;
        let plan = plan.borrow();
        match plan.path(path) {
            Some(Planned { kind: None, .. }) => Ok(None),
            Some(planned) => {
                let real = if plan.is_new(path) { None } else { real_look(path)? };
                let real = real.filter(|real| Some(real.kind) == planned.kind);
                Ok(Some(planned_look(planned, real)))
            }
            None => match real_look(path)? {
                // What a command made anew may be another thing.
                Some(found) if !plan.is_new(path) => Ok(Some(found)),
                _ => plan.doubt(path).map_or(Ok(None), |reason| Err(Error::unknown(reason))),
            },
        }
    }

    /// Whether anything stands at a path, which is known also where nobody knows what.
    ///
    /// # Errors
    /// As for [`Probe::look`].
    pub(crate) fn is_there(&self, path: &Path) -> Result<bool> {
        Ok(self.is_made(path) || self.look(path)?.is_some())
    }

    /// Whether a command that would have run has made something at a path.
    pub(crate) fn is_made(&self, path: &Path) -> bool {
        self.plan.is_some_and(|plan| plan.borrow().is_made(path))
    }

    /// What stands at a path after every link is followed.
    ///
    /// # Errors
    /// As for [`Probe::look`]; also a chain of links that does not end.
    pub(crate) fn follow(&self, path: &Path) -> Result<Option<Look>> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            match self.look(&path)? {
                Some(Look { kind: Kind::Link, target: Some(target), .. }) => {
                    path = path.parent().unwrap_or(Path::new("/")).join(target);
                }
                found => return Ok(found),
            }
        }
        Err(Error::step(format!("`{}` is a chain of links without an end", path.display())))
    }

    /// The bytes of a file, at most `limit`; `None` when it is not there.
    ///
    /// # Errors
    /// When it is not a file, is longer than `limit`, cannot be read, or cannot be known yet.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        self.settled(path)?;
        if let Some(planned) = self.planned(path) {
            return match (planned.kind, planned.content) {
                (None, _) => Ok(None),
                (Some(Kind::File), Some(Content { text: Some(text), .. })) => Ok(Some(text.into_bytes())),
                (Some(Kind::File), Some(_)) => {
                    Err(Error::unknown(format!("the content planned for `{}` is not on the host yet", path.display())))
                }
                (Some(Kind::File), None) => real_read(path, limit),
                _ => Err(Error::step(format!("`{}` is not a file", path.display()))),
            };
        }
        match real_read(path, limit)? {
            None => self.absent(path),
            found => Ok(found),
        }
    }

    /// The digest of a file, and its text where that is short; `None` when it is not there.
    ///
    /// # Errors
    /// As for [`Probe::read`].
    pub(crate) fn content(&self, path: &Path) -> Result<Option<Content>> {
        self.settled(path)?;
        if let Some(planned) = self.planned(path) {
            return match (planned.kind, planned.content) {
                (None, _) => Ok(None),
                (Some(_), Some(content)) => Ok(Some(content)),
                (Some(_), None) => self.digests.borrow_mut().content(path),
            };
        }
        match self.digests.borrow_mut().content(path)? {
            None => self.absent(path),
            found => Ok(found),
        }
    }

    /// The names directly inside a directory, sorted; `None` when it is not there. One that is not UTF-8 is among them, with
    /// replacement characters.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(crate) fn list(&self, path: &Path) -> Result<Option<Vec<String>>> {
        let emptied = self.plan.is_some_and(|plan| plan.borrow().is_new(path));
        let mut names: Vec<String> = match fs::read_dir(path) {
            _ if emptied => Vec::new(),
            Ok(entries) => entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::step(format!("cannot list `{}`", path.display())).because(e)),
        };
        if let Some(plan) = self.plan {
            let plan = plan.borrow();
            names.retain(|name| plan.path(&path.join(name)).is_none_or(|planned| planned.kind.is_some()));
            for (child, planned) in plan.children(path) {
                let name = child.file_name().map(|name| name.to_string_lossy().into_owned());
                names.extend(name.filter(|_| planned.kind.is_some()));
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(if names.is_empty() && self.look_without_packages(path)?.is_none() { None } else { Some(names) })
    }

    /// A user by name or number; a planned one has the numbers it would get, which are not known: 0.
    pub(crate) fn user(&self, key: &str) -> Option<User> {
        match self.plan.map(|plan| plan.borrow().user(key).map(Option::<&_>::cloned)) {
            Some(Some(None)) => None,
            Some(Some(Some((_, home)))) => accounts::user(key).or_else(|| {
                let unknown = String::new();
                Some(User { name: key.into(), uid: 0, gid: 0, comment: unknown.clone(), home, shell: unknown })
            }),
            _ => accounts::user(key),
        }
    }

    /// Whether a user is only planned, so that its numbers are not known.
    pub(crate) fn user_is_planned(&self, name: &str) -> bool {
        let planned = self.plan.is_some_and(|plan| plan.borrow().user(name).flatten().is_some());
        planned && accounts::user(name).is_none()
    }

    /// A group by name or number.
    pub(crate) fn group(&self, key: &str) -> Option<Group> {
        match self.plan.and_then(|plan| plan.borrow().group(key)) {
            Some(false) => None,
            Some(true) => {
                accounts::group(key).or_else(|| Some(Group { name: key.into(), gid: 0, members: Vec::new() }))
            }
            None => accounts::group(key),
        }
    }

    /// The password of a user as the shadow file keeps it; `None` when it has none there.
    ///
    /// # Errors
    /// When the shadow file cannot be read: only root can.
    pub(crate) fn shadow(&self, user: &str) -> Result<Option<String>> {
        let text = fs::read("/etc/shadow").or_step(|| "cannot read the passwords in `/etc/shadow`".to_owned())?;
        Ok(accounts::parse_shadow(&String::from_utf8_lossy(&text), user))
    }

    /// Every group that lists `user` as a member.
    pub(crate) fn memberships(&self, user: &str) -> Vec<String> {
        accounts::groups().into_iter().filter(|g| g.members.iter().any(|m| m == user)).map(|g| g.name).collect()
    }

    /// Runs a command that only looks. What it prints is what the host says now.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time; in check mode also when its program is only
    /// planned. Its exit status is the caller's to judge.
    pub(crate) fn observe(&self, command: &Command) -> Result<Ran> {
        if let Some(user) = self.stand_in {
            return Err(Error::unknown(format!("user `{user}` is not on the host yet")));
        }
        let result = Command { stream: command.stream && self.stream, ..command.clone() }.execute(self.jobs, self.peer);
        if let (Err(_), Some(plan), Some(program)) = (&result, self.plan, command.argv.first()) {
            let plan = plan.borrow();
            let missing = self.program(program).is_none();
            for place in places(program) {
                if plan.path(&place).is_some_and(|planned| planned.kind.is_some()) {
                    return Err(Error::unknown(format!("`{program}` is not on the host yet")));
                }
                let brought = if plan.may_be_brought(&place) { plan.packages_planned() } else { None };
                if let Some(reason) = plan.doubt(&place).or(brought).filter(|_| missing) {
                    return Err(Error::unknown(reason));
                }
            }
        }
        result
    }

    /// Where a program is, by the search path of this process and the usual places for administration.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        places(name).find(|path| fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0))
    }

    /// Puts a question to the operation's half on the control side.
    ///
    /// # Errors
    /// The other half's fault, or a broken connection.
    pub(crate) fn ask(&self, question: Value) -> Result<Value> {
        self.peer.ask(question)
    }

    /// Sends bytes of this host to the control side.
    ///
    /// # Errors
    /// A broken connection.
    pub(crate) fn give(&self, sha256: &str, size: u64) -> Result<Box<dyn io::Write + '_>> {
        self.peer.give(sha256, size)
    }

    /// Whether this is a check: what is read is a prediction, and waiting for something is in vain.
    pub(crate) fn is_check(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether earlier steps of this check would change anything, so that a command may answer otherwise then.
    pub(crate) fn is_anything_planned(&self) -> bool {
        self.plan.is_some_and(|plan| !plan.borrow().is_empty())
    }

    /// Whether an earlier step of this check would install the package or remove it; `None` when none would.
    pub(crate) fn planned_package(&self, name: &str) -> Option<bool> {
        self.plan?.borrow().package(name)
    }

    /// Whether an earlier step of this check removes a package with its settings.
    pub(crate) fn is_purged(&self, name: &str) -> bool {
        self.plan.is_some_and(|plan| plan.borrow().is_purged(name))
    }

    /// Whether words of a command name something that earlier steps of this check plan.
    pub(crate) fn is_concerned(&self, words: &[String], cwd: Option<&Path>) -> bool {
        self.plan.is_some_and(|plan| words.iter().any(|word| plan.borrow().concerns(word, cwd)))
    }

    /// Sees to it that no command may do anything to what is planned at a path.
    fn settled(&self, path: &Path) -> Result {
        if self.plan.is_some_and(|plan| plan.borrow().is_unsettled(path)) {
            return Err(Error::unknown(format!("an earlier command may change `{}`", path.display())));
        }
        Ok(())
    }

    /// Whether a command that would have run may have done something to what is at a path.
    pub(crate) fn is_handled(&self, path: &Path) -> bool {
        self.plan.is_some_and(|plan| plan.borrow().is_handled(path))
    }

    /// Whether an earlier step of this check planned that something is at the path.
    pub(crate) fn is_planned(&self, path: &Path) -> bool {
        self.planned(path).is_some_and(|planned| planned.kind.is_some())
    }

    /// Whether an earlier step of this check planned something directly in a directory.
    pub(crate) fn has_planned_in(&self, dir: &Path) -> bool {
        self.plan.is_some_and(|plan| plan.borrow().children(dir).next().is_some())
    }

    /// Waits, unless the run is stopped.
    ///
    /// # Errors
    /// When it is.
    pub(crate) fn pause(&self, time: Duration) -> Result {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.jobs.is_stopped() {
                return Err(Error::new(crate::error::Kind::Interrupted, "stopped"));
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(())
    }

    fn planned(&self, path: &Path) -> Option<Planned> {
        self.plan?.borrow().path(path).cloned()
    }

    /// What is not there: nothing, unless nobody knows.
    fn absent<T>(&self, path: &Path) -> Result<Option<T>> {
        match self.plan.and_then(|plan| plan.borrow().doubt(path)) {
            Some(reason) => Err(Error::unknown(reason)),
            None => {
                if self.may_be_brought(path) {
                    self.assume_not_brought();
                }
                Ok(None)
            }
        }
    }
}

/// State that lasts and state that a reboot clears: the system's own for root, the user's for others. Both are below
/// the folder that the agent's environment names in `MK_AGENT_STATE`, if it does: so tests run side by side, and none
/// finishes what another has left.
pub(crate) fn directories() -> (PathBuf, PathBuf) {
    if let Some(folder) = std::env::var_os("MK_AGENT_STATE").map(PathBuf::from) {
        return (folder.join("state"), folder.join("run"));
    }
    if rustix::process::geteuid().is_root() {
        return ("/var/lib/mk/agent".into(), "/run/mk".into());
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from);
    let state = home.join(".local/state/mk/agent");
    let run =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |dir| PathBuf::from(dir).join("mk"));
    (state, run)
}

/// Where a program may be: its path, or every folder of the search path for a mere name.
fn places(name: &str) -> impl Iterator<Item = PathBuf> {
    let folders = if name.contains('/') { String::new() } else { search_path() };
    let folders: Vec<_> = folders.split(':').map(PathBuf::from).collect();
    // A name joined to nothing is itself.
    folders.into_iter().map(move |folder| folder.join(name))
}

fn planned_look(planned: &Planned, real: Option<Look>) -> Look {
    let kind = planned.kind.unwrap_or(Kind::Other);
    let default_mode = if kind == Kind::Dir { 0o755 } else { 0o644 };
    let (uid, gid) = (real.as_ref().and_then(|r| r.uid), real.as_ref().and_then(|r| r.gid));
    let real_size = real.as_ref().map_or(0, |r| r.size);
    let real_target = real.as_ref().and_then(|r| r.target.clone());
    let real_mode = real.as_ref().map(|r| r.mode);
    let (real_owner, real_group) = real.map_or_else(|| ("root".into(), "root".into()), |r| (r.owner, r.group));
    Look {
        kind,
        mode: planned.mode.or(real_mode).unwrap_or(default_mode),
        uid: if planned.owner.is_some() { None } else { uid },
        gid: if planned.group.is_some() { None } else { gid },
        owner: planned.owner.clone().unwrap_or(real_owner),
        group: planned.group.clone().unwrap_or(real_group),
        size: planned.content.as_ref().map_or(real_size, |content| content.size),
        target: planned.target.clone().or(real_target),
    }
}

fn real_look(path: &Path) -> Result<Option<Look>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(Error::step(format!("cannot look at `{}`", path.display())).because(e)),
    };
    let kind = match meta.file_type() {
        t if t.is_file() => Kind::File,
        t if t.is_dir() => Kind::Dir,
        t if t.is_symlink() => Kind::Link,
        t if t.is_block_device() || t.is_char_device() || t.is_fifo() || t.is_socket() => Kind::Other,
        _ => Kind::Other,
    };
    let target = (kind == Kind::Link)
        .then(|| fs::read_link(path))
        .transpose()
        .or_step(|| format!("cannot read the link `{}`", path.display()))?;
    Ok(Some(Look {
        kind,
        mode: meta.mode() & 0o7777,
        owner: accounts::user(&meta.uid().to_string()).map_or_else(|| meta.uid().to_string(), |user| user.name),
        group: accounts::group(&meta.gid().to_string()).map_or_else(|| meta.gid().to_string(), |group| group.name),
        size: meta.size(),
        target: target.map(|target| target.to_string_lossy().into_owned()),
        uid: Some(meta.uid()),
        gid: Some(meta.gid()),
    }))
}

/// Opens a file for reading; a pipe or device does not block the agent.
pub(super) fn open(path: &Path) -> Result<Option<File>> {
    // O_NONBLOCK: opening a pipe that nobody writes to must not hang; regular files ignore it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    match File::options().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Error::step(format!("cannot read `{}`", path.display())).because(e)),
    }
}

fn real_read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).or_step(|| format!("cannot read `{}`", path.display()))?;
    if bytes.len() as u64 > limit {
        return Err(Error::step(format!("`{}` is longer than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}
