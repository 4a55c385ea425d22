//! The plan of a check (dry run): what its earlier steps would have left behind.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::accounts;
use crate::change::Content;

/// What kind of thing stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// A path as a planned step would leave it. What is `None` stays as the host has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Planned {
    /// What will stand there; `None` when nothing will.
    pub kind: Option<Kind>,
    /// Its bytes, when they are known.
    pub content: Option<Content>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner's name.
    pub owner: Option<String>,
    /// The group's name.
    pub group: Option<String>,
    /// Where a link points.
    pub target: Option<String>,
    /// Whether that rests on an assumption.
    pub assumed: bool,
}

/// What a change means to steps of other operations.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A path will be like this.
    Path(PathBuf, Planned),
    /// A path and everything below it will be gone.
    Gone(PathBuf),
    /// Files will appear below this path whose names and contents are not known here, and why.
    Below(PathBuf, String),
    /// A path below a user's home will be like this.
    AtHome(String, PathBuf, Planned),
    /// A command will have made something at this path; what, and what is in it, is not known here.
    Made(PathBuf),
    /// A command may have made something of this path and what is below it, or taken it away: nobody knows.
    Unsure(PathBuf),
    /// A command will have run that was given these words, in this directory: it may do anything to what they name.
    Ran(Vec<String>, Option<PathBuf>),
    /// A user will be there with this primary group and home.
    User(String, String, String),
    /// A user will be gone, and its home with it where that is said.
    UserGone(String, bool),
    /// A group will be there.
    Group(String),
    /// A group will be gone.
    GroupGone(String),
    /// Packages will be there, and files with them that nobody knows yet.
    Packages(Vec<String>),
    /// Packages will be gone, and whether their settings go with them.
    PackagesGone(Vec<String>, bool),
}

impl Effect {
    /// Whether it changes what is found at a path.
    pub fn is_of_a_path(&self) -> bool {
        matches!(self, Self::Path(..) | Self::Gone(_) | Self::Below(..) | Self::Made(_) | Self::AtHome(..))
    }

    /// The same of a step of which nobody knows whether it is done.
    #[must_use]
    pub fn doubted(self) -> Self {
        match self {
            Self::Made(path) | Self::Gone(path) => Self::Unsure(path),
            other => other,
        }
    }
}

/// What nothing is like.
static NOTHING: Planned =
    Planned { kind: None, content: None, mode: None, owner: None, group: None, target: None, assumed: false };

/// Where no package of the distribution may keep its files: they are for those who run the host, or the kernel's own.
const WITHOUT_PACKAGES: [&str; 13] = [
    "/srv",
    "/home",
    "/root",
    "/usr/local",
    "/var/local",
    "/tmp",
    "/var/tmp",
    "/run/user",
    "/mnt",
    "/media",
    "/proc",
    "/sys",
    "/dev",
];

/// The host as planned, laid over the host as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    pub(super) paths: BTreeMap<PathBuf, Planned>,
    marks: Vec<(Mark, PathBuf)>,
    below: Vec<(PathBuf, String)>,
    users: Vec<(String, Option<(String, String)>)>,
    groups: Vec<(String, bool)>,
    packages: Vec<(String, bool)>,
    /// Those of them whose settings go too.
    purged: Vec<String>,
    pub(super) states: BTreeMap<String, Value>,
    #[serde(default)]
    ran: bool,
}

/// What is known of a path beside what will stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    /// What the host has here and below is gone; what is planned there came later.
    Emptied,
    /// A command makes something of it.
    Made,
    /// A command was given it.
    Handled,
    /// A command ran in it, and may have done something to what is below.
    RanIn,
    /// A command may have made something of it, or not.
    Unsure,
    /// What is planned there, though not below it, came after all marks before this one.
    Settled,
}

/// Where the accounts are.
const ACCOUNT_FILES: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// The names and paths in the words of a command, or in the text of a script.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "'\"`;|&<>()=,:$^\\".contains(c)).filter(|token| !token.is_empty())
}

impl Plan {
    /// Takes an effect in.
    pub fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Path(path, planned) => {
                let known = self.paths.remove(&path);
                let merged = match known {
                    // A step that manages only some of what an earlier one planned keeps the rest.
                    Some(old) if old.kind.is_some() && old.kind == planned.kind => Planned {
                        kind: planned.kind,
                        content: planned.content.or(old.content),
                        mode: planned.mode.or(old.mode),
                        owner: planned.owner.or(old.owner),
                        group: planned.group.or(old.group),
                        target: planned.target.or(old.target),
                        assumed: old.assumed,
                    },
                    _ => planned,
                };
                self.settle(&path);
                self.paths.insert(path, merged);
            }
            Effect::Gone(path) => {
                self.paths.retain(|known, _| !known.starts_with(&path));
                self.marks.retain(|(_, known)| !known.starts_with(&path));
                self.marks.push((Mark::Emptied, path));
            }
            Effect::Below(path, reason) => drop(put(&mut self.below, path, reason)),
            Effect::AtHome(user, path, planned) => {
                let coming = self.user(&user).flatten().map(|(_, home)| PathBuf::from(home));
                if let Some(home) = coming.or_else(|| accounts::home_of(&user)) {
                    self.apply(Effect::Path(home.join(path), planned));
                }
            }
            Effect::Made(path) => self.marks.push((Mark::Made, path)),
            Effect::Unsure(path) => self.marks.push((Mark::Unsure, path)),
            Effect::Ran(words, cwd) => {
                let named = words.iter().flat_map(|word| tokens(word)).filter(|token| token.starts_with('/'));
                let all = Path::new("/");
                let named = named.map(|path| (Mark::Handled, PathBuf::from(path)));
                let cwd = cwd.map(|path| (Mark::RanIn, path));
                self.marks.extend(named.chain(cwd).filter(|(_, path)| path != all));
            }
            Effect::User(name, group, home) => {
                put(&mut self.groups, group.clone(), true);
                put(&mut self.users, name, Some((group, home)));
            }
            Effect::UserGone(name, with_home) => self.user_goes(name, with_home),
            Effect::Group(name) => drop(put(&mut self.groups, name, true)),
            Effect::GroupGone(name) => drop(put(&mut self.groups, name, false)),
            Effect::Packages(names) => {
                self.purged.retain(|name| !names.contains(name));
                self.packages_will_be(names, true);
            }
            Effect::PackagesGone(names, purged) => {
                self.purged.extend(names.iter().filter(|_| purged).cloned());
                self.packages_will_be(names, false);
            }
        }
    }

    /// Takes an effect in of a step that acts as `user`, the agent's own by default: what it makes is that user's.
    pub fn apply_as(&mut self, effect: Effect, user: Option<&str>) {
        let Effect::Path(path, planned) = effect else { return self.apply(effect) };
        let there = match self.path(&path) {
            Some(planned) => planned.kind.is_some(),
            None => path.symlink_metadata().is_ok(),
        };
        let uid = rustix::process::geteuid();
        let own = || (!uid.is_root()).then(|| accounts::user_name(uid.as_raw())).flatten();
        let Some(user) = user.map(str::to_owned).or_else(own).filter(|_| !there) else {
            return self.apply(Effect::Path(path, planned));
        };
        let coming = self.user(&user).flatten().map(|(group, _)| group.clone());
        let group = coming.or_else(|| accounts::group(&accounts::user(&user)?.gid.to_string()).map(|group| group.name));
        let (owner, group) = (planned.owner.or(Some(user)), planned.group.or(group));
        self.apply(Effect::Path(path, Planned { owner, group, ..planned }));
    }

    /// Takes note that what is planned at a path comes after what commands did to it.
    fn settle(&mut self, path: &Path) {
        self.marks.retain(|(mark, known)| *mark != Mark::Settled || known != path);
        let doubtful = |mark: Mark| matches!(mark, Mark::Handled | Mark::RanIn | Mark::Unsure);
        if self.marks.iter().any(|(mark, above)| doubtful(*mark) && path.starts_with(above)) {
            self.marks.push((Mark::Settled, path.to_owned()));
        }
    }

    fn packages_will_be(&mut self, names: Vec<String>, there: bool) {
        for name in names {
            put(&mut self.packages, name, there);
        }
    }

    /// A user goes: its home where that is asked for, and with it the group that was made for it, as `userdel` does.
    fn user_goes(&mut self, name: String, with_home: bool) {
        let planned = put(&mut self.users, name.clone(), None).flatten();
        let now = accounts::user(&name);
        let home = planned.as_ref().map(|(_, home)| PathBuf::from(home)).or_else(|| {
            let user = now.as_ref()?;
            // One that is not its own is left there.
            let own = std::fs::metadata(&user.home).is_ok_and(|meta| meta.uid() == user.uid);
            own.then(|| PathBuf::from(&user.home))
        });
        if let Some(home) = home.filter(|_| with_home) {
            self.apply(Effect::Gone(home));
        }
        let others = self.users.iter().filter_map(|(_, planned)| planned.as_ref()).any(|(group, _)| *group == name);
        let own = match (planned, now) {
            (_, Some(user)) => accounts::is_private_group(user.gid, user.uid),
            (Some((group, _)), None) => group == name && accounts::group(&name).is_none_or(|g| g.members.is_empty()),
            (None, None) => false,
        };
        if own && !others && accounts::groups_go_with_users() {
            put(&mut self.groups, name.clone(), false);
            self.states.remove(&format!("group {}", Value::from(name)));
        }
    }

    /// Whether no step has planned anything yet.
    pub fn is_empty(&self) -> bool {
        let Self { paths, marks, below, users, groups, packages, purged: _, states, ran } = self;
        let files = paths.is_empty() && marks.is_empty() && below.is_empty();
        files && packages.is_empty() && states.is_empty() && users.is_empty() && groups.is_empty() && !ran
    }

    /// Takes note that a command would have run, whatever it does.
    pub fn would_run(&mut self) {
        self.ran = true;
    }

    /// The plan for a path, if there is one.
    pub fn path(&self, path: &Path) -> Option<&Planned> {
        if let Some(planned) = self.paths.get(path) {
            return Some(planned);
        }
        // What is nearest decides: a command may have made something where all was to be gone.
        let decides = |mark: Mark| matches!(mark, Mark::Emptied | Mark::Made);
        let above = self.marks.iter().filter(|(mark, above)| decides(*mark) && path.starts_with(above));
        let nearest = above.max_by_key(|(_, above)| above.as_os_str().len())?;
        (nearest.0 == Mark::Emptied).then_some(&NOTHING)
    }

    /// The path, or one above it, that has a mark.
    fn marked(&self, mark: Mark, path: &Path) -> Option<&Path> {
        self.marks.iter().find(|(has, above)| *has == mark && path.starts_with(above)).map(|(_, above)| above.as_path())
    }

    /// Whether what the host has at a path now is gone before whatever is planned there comes.
    pub fn is_new(&self, path: &Path) -> bool {
        self.marked(Mark::Emptied, path).is_some()
    }

    /// Whether a command makes something at a path.
    pub fn is_made(&self, path: &Path) -> bool {
        let said = |(mark, at): &&(Mark, PathBuf)| match mark {
            Mark::Made => at == path,
            Mark::Unsure => path.starts_with(at),
            _ => false,
        };
        self.marks.iter().rev().find(said).is_some_and(|(mark, _)| *mark == Mark::Made)
    }

    /// The marks on a path and above it that came after what is planned there.
    fn later(&self, path: &Path) -> impl Iterator<Item = (Mark, &Path)> {
        let settles = |(mark, at): &(Mark, PathBuf)| match mark {
            Mark::Settled => at == path,
            Mark::Emptied => path.starts_with(at),
            _ => false,
        };
        let from = self.marks.iter().rposition(settles).map_or(0, |last| last + 1);
        let marks = self.marks.iter().skip(from).filter(move |(_, above)| path.starts_with(above));
        marks.map(|(mark, above)| (*mark, above.as_path()))
    }

    /// Whether a command that would run may do something to what is at a path.
    pub fn is_handled(&self, path: &Path) -> bool {
        self.later(path).any(|(mark, _)| matches!(mark, Mark::Handled | Mark::RanIn))
    }

    /// Whether a command that would run may do something to what is planned at a path, after that came there; or may
    /// have made something of it, planned or not.
    pub fn is_unsettled(&self, path: &Path) -> bool {
        let planned = self.path(path).is_some();
        self.later(path).any(|(mark, at)| match mark {
            Mark::Unsure => true,
            Mark::Handled => planned,
            // That a command runs in a directory leaves the directory itself as it is.
            Mark::RanIn => planned && at != path,
            _ => false,
        })
    }

    /// Whether a word of a command, or a script, names something that earlier steps plan: a path or what is above it, an
    /// account, a package, a unit. A relative path is one below `cwd`.
    pub fn concerns(&self, text: &str, cwd: Option<&Path>) -> bool {
        tokens(text).any(|token| {
            let path = if token.starts_with('/') { Some(PathBuf::from(token)) } else { cwd.map(|cwd| cwd.join(token)) };
            // A mere word is seldom a path: that a package may bring a file of that name says nothing.
            let brought =
                |path: &Path| token.contains('/') && self.may_be_brought(path) && path.symlink_metadata().is_err();
            path.is_some_and(|path| self.concerns_path(&path) || brought(&path)) || self.concerns_name(token)
        })
    }

    fn concerns_path(&self, path: &Path) -> bool {
        let within = |planned: &Path| planned.starts_with(path) && path.parent().is_some();
        let through = |above: &Path| self.paths.get(above).is_some_and(|planned| planned.kind != Some(Kind::Dir));
        let accounts = !self.users.is_empty() || !self.groups.is_empty();
        self.path(path).is_some()
            || self.doubt(path).is_some()
            || self.is_unsettled(path)
            || path.ancestors().any(through)
            || self.paths.keys().any(|planned| within(planned))
            || self.marks.iter().any(|(mark, at)| !matches!(mark, Mark::Handled | Mark::RanIn) && within(at))
            || (accounts && ACCOUNT_FILES.iter().any(|file| Path::new(file) == path))
    }

    fn concerns_name(&self, token: &str) -> bool {
        let subject = format!(" {}", Value::from(token.trim_end_matches(".service")));
        get(&self.users, token).is_some()
            || get(&self.groups, token).is_some()
            || get(&self.packages, token).is_some()
            || self.states.keys().any(|known| known.ends_with(&subject))
    }

    /// Takes note that what is planned at a path rests on an assumption.
    pub fn assume(&mut self, path: &Path) {
        if let Some(planned) = self.paths.get_mut(path) {
            planned.assumed = true;
        }
    }

    /// Why nobody can say what will be at a path that nothing is planned for.
    pub fn doubt(&self, path: &Path) -> Option<String> {
        let made = self.marked(Mark::Made, path);
        let made = made.map(|made| format!("what a command makes of `{}` is not known yet", made.display()));
        made.or_else(|| self.below.iter().find(|(above, _)| path.starts_with(above)).map(|(_, reason)| reason.clone()))
    }

    /// Whether a planned package may bring a file to this path.
    pub fn may_be_brought(&self, path: &Path) -> bool {
        self.packages.iter().any(|(_, there)| *there)
            && !WITHOUT_PACKAGES.iter().any(|folder| path.starts_with(folder))
            && !path.ancestors().skip(1).any(|above| self.is_ours(above))
    }

    /// Whether a directory is there only because of this playbook.
    fn is_ours(&self, dir: &Path) -> bool {
        self.paths.get(dir).is_some_and(|planned| planned.kind == Some(Kind::Dir) && !planned.assumed)
            && (self.is_new(dir) || dir.symlink_metadata().is_err())
    }

    /// That packages are not installed yet, in words; `None` when none is planned.
    pub fn packages_planned(&self) -> Option<String> {
        match self.new_packages().as_slice() {
            [] => None,
            [name] => Some(format!("package {name} is not installed yet")),
            names => Some(format!("packages {} are not installed yet", listed(names))),
        }
    }

    /// That a planned package brings something, in words; `None` when none is planned.
    pub fn brings(&self, what: impl Display) -> Option<String> {
        match self.new_packages().as_slice() {
            [] => None,
            [name] => Some(format!("package {name} brings {what}")),
            names => Some(format!("one of the packages {} brings {what}", listed(names))),
        }
    }

    /// That no planned package brings the thing in question, in words; `None` when none is planned.
    pub fn brings_not(&self) -> Option<String> {
        match self.new_packages().as_slice() {
            [] => None,
            [name] => Some(format!("package {name} does not bring it")),
            names => Some(format!("none of the packages {} brings it", listed(names))),
        }
    }

    fn new_packages(&self) -> Vec<String> {
        let planned = self.packages.iter().filter(|(_, there)| *there);
        let mut names: Vec<String> = planned.map(|(name, _)| format!("`{name}`")).collect();
        names.sort_unstable();
        names
    }

    /// Whether a package is planned to be there or to be gone; `None` when no step cares for it.
    pub fn package(&self, name: &str) -> Option<bool> {
        get(&self.packages, name).copied()
    }

    /// Whether a package that is planned to be gone leaves no settings.
    pub fn is_purged(&self, name: &str) -> bool {
        self.purged.iter().any(|purged| purged == name)
    }

    /// A planned user's primary group and home; an inner `None` when it is planned to be gone.
    #[expect(clippy::option_option, reason = "not planned, planned to be gone, planned to be there")]
    pub fn user(&self, name: &str) -> Option<Option<&(String, String)>> {
        get(&self.users, name).map(Option::as_ref)
    }

    /// Whether a group is planned to be there or to be gone; `None` when no step cares for it.
    pub fn group(&self, name: &str) -> Option<bool> {
        get(&self.groups, name).copied()
    }

    /// Remembers the state an operation planned for its subject; `None` forgets it, as what is there then is found in
    /// another way.
    pub fn remember(&mut self, op: &str, subject: &str, state: Option<Value>) {
        let key = format!("{op} {subject}");
        match state {
            Some(state) => drop(self.states.insert(key, state)),
            None => drop(self.states.remove(&key)),
        }
    }

    /// The subject of an operation that gets this value in a field.
    pub fn holder(&self, op: &str, field: &str, value: &Value) -> Option<String> {
        let of =
            |key: &str| key.strip_prefix(op)?.strip_prefix(' ').map(|subject| subject.trim_matches('"').to_owned());
        let mut having = self.states.iter().filter(|(_, state)| state.get(field) == Some(value));
        having.find_map(|(key, _)| of(key))
    }

    /// A planned user whose primary group this is.
    pub fn user_of(&self, group: &str) -> Option<&str> {
        let of = |planned: &Option<(String, String)>| planned.as_ref().is_some_and(|(primary, _)| primary == group);
        self.users.iter().find(|(_, planned)| of(planned)).map(|(name, _)| name.as_str())
    }

    /// The state an operation planned for its subject; null when it is planned to be absent.
    pub fn recall(&self, op: &str, subject: &str) -> Option<&Value> {
        self.states.get(&format!("{op} {subject}"))
    }

    /// Planned files directly below a directory.
    pub fn children(&self, dir: &Path) -> impl Iterator<Item = (&Path, &Planned)> {
        let dir = dir.to_owned();
        self.paths
            .iter()
            .filter(move |(path, _)| path.parent() == Some(&dir))
            .map(|(path, planned)| (path.as_path(), planned))
    }
}

/// Gives a key a value in a list, and what it had before. There are few of them, and every kind of map costs the agent
/// some of its room.
fn put<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K, value: V) -> Option<V> {
    if let Some((_, old)) = list.iter_mut().find(|(known, _)| *known == key) {
        return Some(std::mem::replace(old, value));
    }
    list.push((key, value));
    None
}

fn get<'a, V>(list: &'a [(String, V)], key: &str) -> Option<&'a V> {
    list.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

/// Names in a row, but not more than can be read.
fn listed(names: &[String]) -> String {
    match names.len().saturating_sub(4) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..4].join(", ")),
    }
}
