//! `user`: an account.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::change::{Change, Thing, digest};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource, Shows};
use crate::sys::{Command, Effect, Hands, Kind, Planned, Probe};

/// Sees to an account in the host's own files, through `useradd`, `usermod` and `userdel`.
///
/// What is left out is not managed; a new account gets the host's defaults for it. The outcome has `uid` and
/// `home` once they are known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// The login name.
    pub name: String,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: UserState,
    /// The number. The host chooses one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The primary group's name or number. By default a new account gets a group of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The names of the other groups it belongs to. It leaves all others, unless `append` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Only add it to `groups`, leave no other.
    #[serde(default)]
    pub append: bool,
    /// The comment field, usually the full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The home directory. When it changes, what is in the old one stays there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,
    /// The login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<PathBuf>,
    /// Give a new account a number from the range for the system's own, and no home directory unless
    /// `create_home` says so.
    #[serde(default)]
    pub system: bool,
    /// Make the home directory of a new account. By default yes, but not for a `system` account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_home: Option<bool>,
    /// Remove the home directory and the mailbox with the account.
    #[serde(default)]
    pub remove_home: bool,
    /// The password's hash as in the shadow file, as `openssl passwd -6` prints it; `"*"` for none. An account that was
    /// locked, which puts a `!` before the hash, stays locked: `usermod --unlock` opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// Whether the account is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum UserState {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone.
    Absent,
}

/// An account as it is or should be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell: Option<PathBuf>,
    /// The digest of the password's hash: enough to compare, of no use to a reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Whether the account is still to be made; no part of the state.
    #[serde(skip)]
    new: bool,
}

fn sorted(groups: &[String]) -> Vec<String> {
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Enough of a digest to see that something differs.
fn trace(hash: &str) -> String {
    digest(hash.as_bytes())[..12].to_owned()
}

/// What the shadow file has for a password, without the mark of a locked account, and whether that was there.
///
/// A `!` alone is no lock: that is what an account has which never had a password.
fn unlocked(field: &str) -> (&str, bool) {
    match field.trim_start_matches('!') {
        "" => (if field.is_empty() { "" } else { "!" }, false),
        hash => (hash, hash != field),
    }
}

impl User {
    fn makes_home(&self) -> bool {
        self.create_home.unwrap_or(!self.system)
    }

    /// The options for what differs; `changed` says of a field whether it does. The home has another one for each program.
    fn options(desired: &Account, home: &str, changed: impl Fn(&str) -> bool) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |field: &str, option: &str, value: Option<String>| {
            if let Some(value) = value.filter(|_| changed(field)) {
                words.extend([option.to_owned(), value]);
            }
        };
        let path = |path: &Option<PathBuf>| path.as_deref().map(|path| path.to_string_lossy().into_owned());
        add("uid", "--uid", desired.uid.map(|uid| uid.to_string()));
        add("group", "--gid", desired.group.clone());
        add("groups", "--groups", desired.groups.as_ref().map(|groups| groups.join(",")));
        add("comment", "--comment", desired.comment.clone());
        add("home", home, path(&desired.home));
        add("shell", "--shell", path(&desired.shell));
        words
    }

    /// The command that makes the change, unless only the password differs.
    ///
    /// `has_group` says that a group of the account's name is there already, which `useradd` refuses to make.
    fn words(&self, change: &Change<Account>, has_group: bool) -> Option<Vec<String>> {
        let (program, mut words) = match (&change.actual, &change.desired) {
            (_, None) => ("userdel", Vec::new()),
            (None, Some(desired)) => ("useradd", Self::options(desired, "--home-dir", |_| true)),
            (Some(_), Some(desired)) => ("usermod", Self::options(desired, "--home", |field| change.has(field))),
        };
        let mut flag = |on: bool, word: &str| on.then(|| words.push(word.to_owned()));
        match program {
            "useradd" => {
                flag(self.system, "--system");
                flag(true, if self.makes_home() { "--create-home" } else { "--no-create-home" });
                if self.group.is_none() && has_group {
                    flag(true, "--gid");
                    flag(true, &self.name);
                }
            }
            "userdel" => drop(flag(self.remove_home, "--remove")),
            _ if words.is_empty() => return None,
            _ => {}
        }
        words.insert(0, program.to_owned());
        words.push(self.name.clone());
        Some(words)
    }
}

impl Operation for User {
    const NAME: &'static str = "user";
    const SUBJECT: &'static str = "name";
    const VALUES: &'static [&'static str] = &["home", "uid"];
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::AllBut(&["password_hash"]);
    const REMOVAL: Removal = Removal::Absent;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "An account for a daemon.",
            code: r#"host.user("mkdaemon", #{ system: true, home: "/var/lib/mkdaemon", shell: "/usr/sbin/nologin" });"#,
        },
        Example {
            title: "An account for a person who may read logs.",
            code: r#"host.user("mkdemo", #{ comment: "Demo", shell: "/bin/bash", groups: ["adm"], append: true });"#,
        },
        Example {
            title: "An account that must not be there.",
            code: r#"host.user("mkdemo", #{ state: "absent", remove_home: true });"#,
        },
    ];

    fn validate(&self) -> Result {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-$".contains(c));
        let name = &self.name;
        if name.is_empty() || name.contains(odd) || name.starts_with('-') || name.parse::<u32>().is_ok() {
            return Err(Error::playbook(format!("`{name}` cannot be the name of a user")));
        }
        if self.state == UserState::Absent && (name == "root" || self.uid == Some(0)) {
            return Err(Error::playbook("refusing to remove `root`"));
        }
        if self.comment.as_deref().is_some_and(|comment| comment.contains([':', '\n'])) {
            return Err(Error::parameter("comment", "cannot have a colon or a newline in it"));
        }
        if let Some(number) = self.groups.iter().flatten().find(|group| group.parse::<u32>().is_ok()) {
            return Err(Error::parameter("groups", format!("takes names, not the number `{number}`")));
        }
        for path in [&self.home, &self.shell].into_iter().flatten() {
            let shown = path.to_string_lossy();
            if !path.is_absolute() || shown.contains([':', '\n']) {
                return Err(Error::playbook(format!("`{shown}` is not an absolute path that an account can have")));
            }
        }
        match self.password_hash.as_deref() {
            Some(hash) if !matches!(hash, "*" | "!") && (!hash.starts_with('$') || hash.contains([':', '\n'])) => {
                // The text could be the password itself, so it is not shown.
                Err(Error::parameter("password_hash", "is not a hash").hint("`openssl passwd -6` makes one"))
            }
            _ => Ok(()),
        }
    }
}

impl Resource for User {
    type State = Account;

    fn actual(&self, probe: &Probe) -> Result<Option<Account>> {
        if self.state == UserState::Present {
            for group in self.group.iter().chain(self.groups.iter().flatten()) {
                if probe.needed_group(group).is_none() {
                    return Err(Error::step(format!("group `{group}` does not exist on this host"))
                        .hint("make it in an earlier step with `host.group`"));
                }
            }
        }
        let found = probe.user(&self.name);
        // What has its number already may share it; the numbers of a user who is only planned are not known.
        let has = found.as_ref().filter(|_| !probe.user_is_planned(&self.name)).map(|user| user.uid);
        let uid = self.uid.filter(|uid| self.state == UserState::Present && has != Some(*uid));
        if let Some(other) = uid.and_then(|uid| probe.user_with(uid, &self.name)) {
            return Err(Error::step(format!("the uid {} is that of user `{other}`", uid.unwrap_or_default())));
        }
        let Some(user) = found else {
            if self.state == UserState::Present {
                probe.assume_not_brought();
            }
            return Ok(None);
        };
        if probe.user_is_planned(&self.name) {
            return Ok(Some(Account { home: Some(user.home.into()), ..Account::default() }));
        }
        let gid = user.gid.to_string();
        let numeric = self.group.as_deref().is_some_and(|group| group.parse::<u32>().is_ok());
        let group = if numeric { None } else { probe.group(&gid).map(|group| group.name) };
        let password = match self.password_hash {
            Some(_) => probe.shadow(&self.name)?.map(|field| trace(unlocked(&field).0)),
            None => None,
        };
        Ok(Some(Account {
            uid: Some(user.uid),
            group: Some(group.unwrap_or(gid)),
            groups: Some(sorted(&probe.memberships(&self.name))),
            comment: Some(user.comment),
            home: Some(user.home.into()),
            shell: Some(user.shell.into()),
            password,
            new: false,
        }))
    }

    fn desired(&self, actual: Option<&Account>) -> Result<Option<Account>> {
        if self.state == UserState::Absent {
            return Ok(None);
        }
        let kept = actual.and_then(|found| found.groups.clone()).filter(|_| self.append).unwrap_or_default();
        Ok(Some(Account {
            uid: self.uid,
            group: self.group.clone(),
            groups: self.groups.as_ref().map(|groups| sorted(&[groups.clone(), kept].concat())),
            comment: self.comment.clone(),
            home: self.home.clone(),
            shell: self.shell.clone(),
            password: self.password_hash.as_deref().map(trace),
            new: actual.is_none(),
        }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Account>) -> Result {
        let has_group = hands.group(&self.name).is_some();
        if let (None, Some(desired)) = (&change.actual, &change.desired)
            && self.makes_home()
        {
            let home = desired.home.clone().unwrap_or_else(|| Path::new("/home").join(&self.name));
            hands.makes(&home, false);
        }
        if let Some(words) = self.words(change, has_group) {
            hands.must(&Command::parsed(words))?;
        }
        match &self.password_hash {
            Some(hash) if change.has("password") && change.desired.is_some() => {
                // On standard input, because every user of the host can read arguments.
                let locked = hands.shadow(&self.name)?.is_some_and(|field| unlocked(&field).1);
                let lock = if locked && hash != "!" { "!" } else { "" };
                let line = format!("{}:{lock}{hash}\n", self.name);
                hands.must(&Command::parsed(["chpasswd", "--encrypted"]).stdin(line.into_bytes())).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn things(&self, state: Option<&Account>) -> Vec<Thing> {
        let call = json!({ "name": self.name, "state": "absent" });
        state.map(|_| Thing::new(Self::NAME, &self.name, call)).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Account>) -> Effects {
        let dir = Planned { kind: Some(Kind::Dir), owner: Some(self.name.clone()), ..Planned::default() };
        let Some(desired) = desired else { return vec![Effect::UserGone(self.name.clone(), self.remove_home)] };
        if !desired.new {
            return Effects::new();
        }
        let home = desired.home.clone().unwrap_or_else(|| Path::new("/home").join(&self.name));
        let group = desired.group.clone().unwrap_or_else(|| self.name.clone());
        let user = Effect::User(self.name.clone(), group, home.to_string_lossy().into_owned());
        let made = self.makes_home().then_some(Effect::Path(home, dir));
        [user].into_iter().chain(made).collect()
    }

    fn values(&self, actual: Option<&Account>) -> Map<String, Value> {
        let home = actual.and_then(|account| account.home.as_deref()).map(|home| Value::from(home.to_string_lossy()));
        let uid = actual.and_then(|account| account.uid).map(Value::from);
        [("home", home), ("uid", uid)].into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Status, compare};
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    fn words(args: Value, actual: Option<Account>, has_group: bool) -> Option<String> {
        let user: User = serde_json::from_value(args).unwrap();
        let desired = user.desired(actual.as_ref()).unwrap();
        let diff = compare(actual.as_ref(), desired.as_ref()).unwrap().unwrap();
        user.words(&Change { actual, desired, diff }, has_group).map(|words| words.join(" "))
    }

    fn found() -> Account {
        let groups = Some(vec!["adm".to_owned(), "sudo".to_owned()]);
        Account { uid: Some(7), groups, shell: Some("/bin/sh".into()), home: Some("/h".into()), ..Account::default() }
    }

    #[test]
    fn coming_changing_and_going_hold_the_contract() {
        alone(&[], |_| {
            let wish = |more: Value| {
                let mut wish = json!({ "name": "mk-user", "system": true, "uid": 641, "shell": "/bin/false" });
                wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                wish
            };
            let wishes = [
                wish(json!({ "home": "/srv/mk-user", "password_hash": "*" })),
                wish(json!({ "groups": ["root"], "comment": "Demo", "shell": "/bin/sh" })),
                json!({ "name": "mk-user", "state": "absent" }),
            ];
            Host::new().contract("user", &wishes);
        });
    }

    #[test]
    fn a_home_can_change_and_a_locked_account_stays_locked() {
        alone(&[], |_| {
            let wish = |more: Value| {
                let mut wish = json!({ "name": "mk-user", "system": true });
                wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                wish
            };
            let field = || {
                let text = std::fs::read_to_string("/etc/shadow").unwrap();
                let line = text.lines().find_map(|line| line.strip_prefix("mk-user:").map(str::to_owned)).unwrap();
                line.split(':').next().unwrap().to_owned()
            };
            let lock = |mark: &str| {
                let text = std::fs::read_to_string("/etc/shadow").unwrap();
                std::fs::write("/etc/shadow", text.replace("mk-user:$", &format!("mk-user:{mark}$"))).unwrap();
            };
            let (one, two) = ("$6$x$one", "$6$x$two");
            let homes = [wish(json!({ "home": "/srv/a", "password_hash": one })), wish(json!({ "home": "/srv/b" }))];
            Host::new().contract("user", &homes);
            lock("!");
            assert_eq!(Host::new().apply("user", wish(json!({ "password_hash": one }))).status, Status::Ok);
            Host::new().contract("user", &[wish(json!({ "password_hash": two }))]);
            assert_eq!(field(), format!("!{two}"));
            Host::new().contract("user", &[wish(json!({ "password_hash": "*" }))]);
            assert_eq!(field(), "!*");
            // Nobody locked what never had a password.
            Host::new()
                .contract("user", &[wish(json!({ "password_hash": "!" })), wish(json!({ "password_hash": one }))]);
            assert_eq!(field(), one);
        });
    }

    #[test]
    fn each_change_has_its_command() {
        let new = json!({ "name": "u", "system": true, "uid": 9, "shell": "/bin/false" });
        assert_eq!(words(new, None, false).unwrap(), "useradd --uid 9 --shell /bin/false --system --no-create-home u");
        assert_eq!(words(json!({ "name": "u" }), None, true).unwrap(), "useradd --create-home --gid u u");
        let shell = json!({ "name": "u", "uid": 7, "shell": "/bin/bash" });
        assert_eq!(words(shell, Some(found()), true).unwrap(), "usermod --shell /bin/bash u");
        assert_eq!(words(json!({ "name": "u", "home": "/x" }), Some(found()), true).unwrap(), "usermod --home /x u");
        let gone = json!({ "name": "u", "state": "absent", "remove_home": true });
        assert_eq!(words(gone, Some(found()), true).unwrap(), "userdel --remove u");
        assert_eq!(words(json!({ "name": "u", "password_hash": "$6$x" }), Some(found()), true), None);
    }

    #[test]
    fn groups_are_exact_unless_they_are_appended() {
        let exact = json!({ "name": "u", "groups": ["video", "adm"] });
        assert_eq!(words(exact, Some(found()), true).unwrap(), "usermod --groups adm,video u");
        let more = json!({ "name": "u", "groups": ["video"], "append": true });
        assert_eq!(words(more, Some(found()), true).unwrap(), "usermod --groups adm,sudo,video u");
    }

    #[test]
    fn a_planned_user_is_there_for_later_steps_of_the_check() {
        let host = Host::new();
        let wish = json!({ "name": "mk-none", "home": "/srv/mk-none", "shell": "/bin/false" });
        assert_eq!(host.check("user", wish.clone()).status, Status::WouldChange);
        assert_eq!(host.check("user", wish).status, Status::Ok);
        let owned = json!({ "dest": "/srv/mk-none/f", "content": "", "owner": "mk-none", "group": "mk-none" });
        assert_eq!(host.check("copy", owned).status, Status::WouldChange);
        let other = host.check("user", json!({ "name": "mk-none", "comment": "x" }));
        assert_eq!(other.diff.unwrap().fields.len(), 1);
    }

    #[test]
    fn an_unknown_group_is_refused() {
        let error = Host::new().try_check("user", json!({ "name": "u", "groups": ["no-such"] })).unwrap_err();
        assert_eq!(error.message(), "group `no-such` does not exist on this host");
    }

    #[test]
    fn an_account_that_is_as_wanted_is_left_alone() {
        let host = Host::new();
        let wish = json!({ "name": "root", "uid": 0, "group": "0", "home": "/root" });
        assert_eq!(host.apply("user", wish).status, Status::Ok);
    }

    #[test]
    fn a_number_may_be_shared_by_an_account_that_has_it_already() {
        alone(&[], |_| {
            let text = std::fs::read_to_string("/etc/passwd").unwrap();
            std::fs::write("/etc/passwd", format!("{text}toor:x:0:0::/home/root:/bin/sh\n")).unwrap();
            let wish = |name: &str| json!({ "name": name, "uid": 0 });
            assert_eq!(Host::new().apply("user", wish("toor")).status, Status::Ok);
            let error = Host::new().try_check("user", wish("other")).unwrap_err();
            assert!(error.message().starts_with("the uid 0 is that of user `"), "{error}");
        });
    }

    #[test]
    fn a_password_in_place_of_its_hash_is_refused_and_not_repeated() {
        let message = refusal("user", json!({ "name": "u", "password_hash": "hunter2" }));
        assert_eq!(message, "user: `password_hash` is not a hash");
    }
}
