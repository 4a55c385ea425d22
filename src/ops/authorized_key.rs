//! `authorized_key`: who may log in with a key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource};
use crate::sys::{
    Attrs, Edited, Editing, Effect, FileSpec, Hands, Kind, Lines, Placement, Planned, Probe, group_of, room_for,
};

/// Lets a public key log in as a user, or keeps it from doing so.
///
/// A key is known by its type and its bytes; options before it and the comment behind it are brought in line.
/// `~/.ssh` gets 0700 and the file 0600, and both the user and the user's group for owners, also when they were there
/// before. A link in the place of either is refused, because the user could have it point anywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizedKey {
    /// The user.
    pub user: String,
    /// The key as in a `.pub` file, with options before it if wanted.
    pub key: String,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: KeyState,
    /// Every other key goes.
    #[serde(default)]
    pub exclusive: bool,
}

/// Whether the key may log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyState {
    /// It may.
    #[default]
    Present,
    /// It may not.
    Absent,
}

/// A folder's mode, owner and group, in a word for each.
fn words(attrs: Attrs) -> String {
    let name = |name: Option<String>| name.unwrap_or_default();
    format!("{:04o} {}:{}", attrs.mode.unwrap_or_default(), name(attrs.owner), name(attrs.group))
}

/// The type and the bytes of the key in a line; `None` for a comment or anything else.
fn identity(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    // Options may hold quoted blanks, so the type is looked for, not counted to.
    let words: Vec<&str> = line.split_whitespace().collect();
    let known = |word: &&str| word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-");
    words.windows(2).find(|pair| known(&pair[0]) && pair[1].starts_with("AAAA")).map(|pair| (pair[0], pair[1]))
}

impl AuthorizedKey {
    fn folder(&self, probe: &Probe) -> Result<PathBuf> {
        let user = probe.user(&self.user);
        let user = user.ok_or_else(|| match probe.packages_planned() {
            // Where its home will be, only the package knows.
            Some(reason) => Error::unknown(reason),
            None => Error::step(format!("user `{}` does not exist on this host", self.user))
                .hint("make it in an earlier step with `host.user`"),
        })?;
        Ok(PathBuf::from(user.home).join(".ssh"))
    }

    /// The folder's owner and mode, and its group where it is known.
    fn folder_attrs(&self, group: Option<String>) -> Attrs {
        Attrs { mode: Some(0o700), owner: Some(self.user.clone()), group }
    }

    /// How the file is edited. Its group is managed where it is known.
    fn editing(&self, folder: PathBuf, group: Option<String>) -> Editing {
        let attrs = Attrs { mode: Some(0o600), owner: Some(self.user.clone()), group };
        let file = FileSpec { dest: folder.join("authorized_keys"), attrs, validate: None, backup: false };
        Editing { file, create: true, present: self.state == KeyState::Present }
    }

    /// The name of the user's group; `None` for a user who is only planned.
    fn group(&self, probe: &Probe) -> Option<String> {
        if probe.user_is_planned(&self.user) { None } else { group_of(&self.user) }
    }

    fn edit(&self, text: &str) -> String {
        let own = identity(&self.key);
        let mut lines = Lines::of(text);
        let wanted = self.key.trim();
        let place = lines.bare().position(|line| identity(line) == own);
        if self.exclusive {
            lines.retain(|line| identity(line).is_none());
        } else {
            // The same key twice, with other options, would let it in by the wider ones.
            lines.retain(|line| identity(line) != own);
        }
        if self.state == KeyState::Present {
            let place = place.unwrap_or(usize::MAX).min(lines.bare().len());
            lines.insert(place, [wanted]);
        }
        lines.text()
    }

    /// Links and other things in the place of a folder or a file of ours.
    fn refuse_links(probe: &Probe, path: &std::path::Path, wanted: Kind) -> Result {
        match probe.look(path)? {
            Some(look) if look.kind != wanted => {
                Err(Error::step(format!("`{}` is not what it should be, so nothing is written there", path.display())))
            }
            _ => Ok(()),
        }
    }
}

impl Operation for AuthorizedKey {
    const NAME: &'static str = "authorized_key";
    const SUBJECT: &'static str = "user";
    const DANGER: Danger = Danger::Write;
    const REMOVAL: Removal = Removal::Absent;
    const EXAMPLES: &'static [Example] = &[Example {
        title: "Somebody may log in.",
        code: r#"host.authorized_key("root", #{ key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFCWhfZQXFOLl5lmVhyGJTnAXIdY0g0o2cJdGNXhRhkM ann@example" });"#,
    }];

    fn validate(&self) -> Result {
        if self.key.trim().contains('\n') {
            return Err(Error::parameter("key", "must be one line; give each key a step of its own"));
        }
        match identity(&self.key) {
            Some(_) => Ok(()),
            None => Err(Error::parameter("key", "is no public key, as `ssh-ed25519 AAAA…` is one")),
        }
    }
}

impl Resource for AuthorizedKey {
    type State = Edited;

    fn actual(&self, probe: &Probe) -> Result<Option<Edited>> {
        if self.state == KeyState::Absent && probe.user(&self.user).is_none() {
            return Ok(None);
        }
        let folder = self.folder(probe)?;
        Self::refuse_links(probe, &folder, Kind::Dir)?;
        let Some(look) = probe.look(&folder)? else {
            // Only the folder itself is made; whose home it is not, would not be the user's.
            return if self.state == KeyState::Present { room_for(probe, &folder).map(|()| None) } else { Ok(None) };
        };
        Self::refuse_links(probe, &folder.join("authorized_keys"), Kind::File)?;
        let group = self.group(probe);
        let folder_words = group.clone().map(|group| words(self.folder_attrs(Some(group)).in_words(&look)));
        let found = self.editing(folder, group).actual(probe)?;
        Ok(found.map(|found| found.in_folder(folder_words)))
    }

    fn desired(&self, actual: Option<&Edited>) -> Result<Option<Edited>> {
        // The group of a user who is only planned is not known, nor is anything there yet.
        let group = group_of(&self.user).filter(|_| actual.is_some_and(|found| found.folder.is_some()));
        let folder = group.clone().map(|group| words(self.folder_attrs(Some(group))));
        // Where the file lies makes no difference to what is in it.
        let edited = self.editing(PathBuf::new(), group).desired(actual, |text| Ok(self.edit(text)))?;
        Ok(edited.map(|edited| edited.in_folder(folder)))
    }

    fn fix(&self, hands: &Hands, change: &Change<Edited>) -> Result {
        let folder = self.folder(hands)?;
        let user = hands.user(&self.user);
        let place =
            Placement { mode: Some(0o700), uid: user.as_ref().map(|u| u.uid), gid: user.as_ref().map(|u| u.gid) };
        if hands.look(&folder)?.is_none() {
            hands.make_dir(&folder, place, false)?;
        } else if change.actual.is_none() || change.has("folder") {
            // First: whoever could write there must not while the file is seen to.
            hands.place_dir(&folder, place)?;
        }
        if change.actual.is_some() && change.diff.fields.iter().all(|field| field.name == "folder") {
            return Ok(());
        }
        let Some(desired) = &change.desired else { return Err(Error::internal("an edit never removes its file")) };
        let file = folder.join("authorized_keys");
        // What others write into the file stays theirs.
        hands.makes(&file, true);
        // A new one even where only the mode differs: the user could have put a link in the place of the old one.
        hands.supplant(&file, Editing::text(Some(desired)).as_bytes(), Placement { mode: Some(0o600), ..place })
    }

    fn things(&self, state: Option<&Edited>) -> Vec<Thing> {
        let own = identity(&self.key);
        let there = Editing::text(state).lines().any(|line| identity(line) == own);
        let thing = |(kind, bytes): (&str, &str)| {
            let end = &bytes[bytes.len().saturating_sub(12)..];
            // As it was given: a piece of a secret would not be known as one.
            let call = json!({ "user": self.user, "key": self.key.trim(), "state": "absent" });
            Thing::new(Self::NAME, format!("{} {kind} …{end}", self.user), call)
        };
        own.filter(|_| there).map(thing).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Edited>) -> Effects {
        // Where the user's home is then, the plan knows.
        let below_home = |effect| match effect {
            Effect::Path(path, planned) => Effect::AtHome(self.user.clone(), path, planned),
            other => other,
        };
        let group = group_of(&self.user);
        let (mode, owner) = (Some(0o700), Some(self.user.clone()));
        let dir = Planned { kind: Some(Kind::Dir), mode, owner, group: group.clone(), ..Planned::default() };
        let folder = PathBuf::from(".ssh");
        let file = desired.map(|_| self.editing(folder.clone(), group).effects(desired)).unwrap_or_default();
        let folder = desired.map(|_| Effect::Path(folder, dir));
        folder.into_iter().chain(file).map(below_home).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use serde_json::{Value, json};

    use super::*;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    const ONE: &str = "ssh-ed25519 AAAAC3one ann@example";
    const TWO: &str = "from=\"10.0.0.0/8\",command=\"echo a b\" ssh-rsa AAAAB3two bob";

    fn key(key: &str, exclusive: bool, state: &str) -> AuthorizedKey {
        serde_json::from_value(json!({ "user": "root", "key": key, "exclusive": exclusive, "state": state })).unwrap()
    }

    #[test]
    fn keys_that_come_change_and_go_hold_the_contract() {
        alone(&[], |_| {
            let wish = |key: &str, more: Value| {
                let mut wish = json!({ "user": "root", "key": key });
                wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                wish
            };
            let wishes = [
                wish(ONE, json!({})),
                wish(TWO, json!({})),
                wish("ssh-rsa AAAAB3two", json!({})),
                wish(ONE, json!({ "exclusive": true })),
                wish(ONE, json!({ "state": "absent" })),
            ];
            Host::new().contract("authorized_key", &wishes);
            assert_eq!(std::fs::read_to_string("/home/root/.ssh/authorized_keys").unwrap(), "");
        });
    }

    #[test]
    fn a_folder_and_a_file_that_are_there_become_the_users_own() {
        alone(&[], |_| {
            let look = |path: &str| {
                let meta = std::fs::metadata(path).unwrap();
                (meta.mode() & 0o7777, meta.uid(), meta.gid())
            };
            let (folder, file) = ("/home/root/.ssh", "/home/root/.ssh/authorized_keys");
            let wide = |path: &str, mode: u32| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            std::fs::create_dir(folder).unwrap();
            wide(folder, 0o777);
            let wish = json!({ "user": "root", "key": ONE });
            // A folder with nothing in it yet, one whose file is right, and a file that is too open.
            Host::new().contract("authorized_key", std::slice::from_ref(&wish));
            assert_eq!((look(folder), look(file)), ((0o700, 0, 0), (0o600, 0, 0)));
            wide(folder, 0o777);
            Host::new().contract("authorized_key", std::slice::from_ref(&wish));
            assert_eq!(look(folder), (0o700, 0, 0));
            wide(file, 0o644);
            Host::new().contract("authorized_key", std::slice::from_ref(&wish));
            assert_eq!(look(file), (0o600, 0, 0));
        });
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused_and_its_target_stays_as_it_is() {
        alone(&[], |_| {
            let target = "/home/other";
            std::fs::create_dir(target).unwrap();
            std::fs::set_permissions(target, PermissionsExt::from_mode(0o755)).unwrap();
            std::os::unix::fs::symlink(target, "/home/root/.ssh").unwrap();
            let error = Host::new().try_apply("authorized_key", json!({ "user": "root", "key": ONE })).unwrap_err();
            assert!(error.message().contains("is not what it should be"), "{error}");
            assert_eq!(std::fs::metadata(target).unwrap().mode() & 0o7777, 0o755);
            assert!(std::fs::read_dir(target).unwrap().next().is_none());
        });
    }

    #[test]
    fn a_key_is_known_by_its_bytes_whatever_stands_around_it() {
        assert_eq!(identity(TWO), Some(("ssh-rsa", "AAAAB3two")));
        assert_eq!(identity("# ssh-rsa AAAAB3two"), None);
        let text = format!("# keys\n{ONE}\n{TWO}\n");
        assert_eq!(
            key("ssh-rsa AAAAB3two", false, "present").edit(&text),
            format!("# keys\n{ONE}\nssh-rsa AAAAB3two\n")
        );
        assert_eq!(key(ONE, false, "absent").edit(&text), format!("# keys\n{TWO}\n"));
        assert_eq!(key(ONE, true, "present").edit(&text), format!("# keys\n{ONE}\n"));
        assert_eq!(key(ONE, false, "present").edit(&text), text);
        assert_eq!(key(ONE, false, "present").edit(""), format!("{ONE}\n"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(refusal("authorized_key", json!({ "user": "root", "key": "hello" })).contains("is no public key"));
        assert!(
            refusal("authorized_key", json!({ "user": "root", "key": format!("{ONE}\n{TWO}") })).contains("one line")
        );
    }
}
