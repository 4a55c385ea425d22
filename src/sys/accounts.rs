//! Users and groups, from the host's own files, and from `getent` where those do not know a name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use super::command::Command;
use super::jobs::Jobs;
use super::peer::NoPeer;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The login name.
    pub name: String,
    /// The numeric id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The comment field.
    pub comment: String,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The name.
    pub name: String,
    /// The numeric id.
    pub gid: u32,
    /// Those who belong to it beside its primary members.
    pub members: Vec<String>,
}

/// One line of a passwd file.
pub(super) fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let mut next = || fields.next();
    let (name, _password) = (next()?, next()?);
    let (uid, gid) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let (comment, home, shell) = (next()?, next()?, next().unwrap_or_default());
    Some(User { name: name.into(), uid, gid, comment: comment.into(), home: home.into(), shell: shell.into() })
}

/// One line of a group file.
pub(super) fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
    let members = fields.next().unwrap_or_default().split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.into(), gid, members })
}

/// The password field of a user in a shadow file.
pub(super) fn parse_shadow(text: &str, user: &str) -> Option<String> {
    let fields = text.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?;
    fields.split(':').next().map(str::to_owned)
}

/// A user by name or id, as text.
pub(super) fn user(key: &str) -> Option<User> {
    let fits = |user: &User| user.name == key || key.parse() == Ok(user.uid);
    find("/etc/passwd", "passwd", key, parse_user, fits)
}

/// A group by name or id, as text.
pub(super) fn group(key: &str) -> Option<Group> {
    let fits = |group: &Group| group.name == key || key.parse() == Ok(group.gid);
    find("/etc/group", "group", key, parse_group, fits)
}

/// The home of a user that is there now.
pub(crate) fn home_of(name: &str) -> Option<std::path::PathBuf> {
    user(name).map(|user| user.home.into())
}

/// The name of the primary group of a user that is there now, or its number where it has no name.
pub(crate) fn group_of(name: &str) -> Option<String> {
    let gid = user(name)?.gid.to_string();
    Some(group(&gid).map_or(gid, |group| group.name))
}

/// The name of a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    user(&uid.to_string()).map(|user| user.name)
}

/// Whether a group is a user's own, as many systems make one for each user: it has the user's name, and nobody else is
/// in it.
pub(crate) fn is_private_group(gid: u32, uid: u32) -> bool {
    let (Some(group), Some(own)) = (group(&gid.to_string()), user(&uid.to_string())) else { return false };
    let alone = text("/etc/passwd").lines().filter_map(parse_user).all(|user| user.gid != gid || user.uid == uid);
    group.name == own.name && group.members.iter().all(|member| *member == own.name) && alone
}

/// Whether the group that was made for a user goes with it.
pub(super) fn groups_go_with_users() -> bool {
    let settings = fs::read_to_string("/etc/login.defs").unwrap_or_default();
    let is_on = |line: &str| line.split_whitespace().eq(["USERGROUPS_ENAB", "yes"]);
    settings.lines().any(is_on)
}

/// Every user of the host's file.
pub(super) fn users() -> Vec<User> {
    text("/etc/passwd").lines().filter_map(parse_user).collect()
}

/// Every group of the host's file.
pub(super) fn groups() -> Vec<Group> {
    let text = fs::read("/etc/group").unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse_group).collect()
}

/// A file's device, inode, length, and times of change of its content and of itself.
type Version = (u64, u64, u64, (i64, i64), (i64, i64));

thread_local! {
    /// The account files as they were read last: a tree of ten thousand files asks for its owners as often.
    static READ: RefCell<BTreeMap<&'static str, (Version, Rc<str>)>> = const { RefCell::new(BTreeMap::new()) };
}

/// The text of one of the host's account files; empty when it is not there.
fn text(file: &'static str) -> Rc<str> {
    let Ok(meta) = fs::metadata(file) else { return "".into() };
    let times = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    let version = (meta.dev(), meta.ino(), meta.size(), times.0, times.1);
    READ.with_borrow_mut(|read| {
        if let Some((_, text)) = read.get(file).filter(|(known, _)| *known == version) {
            return Rc::clone(text);
        }
        let text: Rc<str> = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into();
        read.insert(file, (version, Rc::clone(&text)));
        text
    })
}

fn find<T>(
    file: &'static str,
    database: &str,
    key: &str,
    parse: fn(&str) -> Option<T>,
    fits: impl Fn(&T) -> bool,
) -> Option<T> {
    let known = text(file);
    if let Some(found) = known.lines().filter_map(parse).find(|entry| fits(entry)) {
        return Some(found);
    }
    // Directory services are known to the C library only; a static program asks through getent. Hosts
    // whose accounts are all local never get here for a name that exists.
    let services = text("/etc/nsswitch.conf");
    let remote = |line: &str| {
        line.starts_with(database) && ["sss", "ldap", "winbind", "systemd", "nis"].iter().any(|s| line.contains(s))
    };
    if !services.lines().any(remote) {
        return None;
    }
    let ran = Command::new(["getent", database, key]).execute(&Jobs::default(), &NoPeer).ok()?;
    parse(ran.text().lines().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_passwd_and_group_are_read() {
        let user = parse_user("etcd:x:997:996:etcd,,,:/var/lib/etcd:/usr/sbin/nologin").unwrap();
        assert_eq!(
            (user.name.as_str(), user.uid, user.gid, user.shell.as_str()),
            ("etcd", 997, 996, "/usr/sbin/nologin")
        );
        assert_eq!(parse_group("adm:x:4:syslog,ann").unwrap().members, ["syslog", "ann"]);
        assert_eq!(parse_shadow("ann:!:1::\nan:$y$x:19000:0:99999:7:::\n", "an").as_deref(), Some("$y$x"));
        assert_eq!(parse_user("+::::::"), None);
        assert_eq!(parse_group("broken"), None);
    }
}
