//! `authorized_key`: who may log in with a key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource};
use crate::sys::{Attrs, Edited, Editing, Effect, FileSpec, Hands, Kind, Lines, Placement, Planned, Probe, room_for};

/// Lets a public key log in as a user, or keeps it from doing so.
///
/// A key is known by its type and its bytes; options before it and the comment behind it are brought in line.
/// `~/.ssh` gets 0700 and the file 0600, both the user's. A link in the place of either is refused, because the
/// user could have it point anywhere.
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

    fn editing(&self, folder: PathBuf) -> Editing {
        let attrs = Attrs { mode: Some(0o600), owner: Some(self.user.clone()), group: None };
        let file = FileSpec { dest: folder.join("authorized_keys"), attrs, validate: None, backup: false };
        Editing { file, create: true, present: self.state == KeyState::Present }
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
        if probe.look(&folder)?.is_none() {
            // Only the folder itself is made; whose home it is not, would not be the user's.
            return if self.state == KeyState::Present { room_for(probe, &folder).map(|()| None) } else { Ok(None) };
        }
        Self::refuse_links(probe, &folder.join("authorized_keys"), Kind::File)?;
        self.editing(folder).actual(probe)
    }

    fn desired(&self, actual: Option<&Edited>) -> Result<Option<Edited>> {
        // Where the file lies makes no difference to what is in it.
        self.editing(PathBuf::new()).desired(actual, |text| Ok(self.edit(text)))
    }

    fn fix(&self, hands: &Hands, change: &Change<Edited>) -> Result {
        let folder = self.folder(hands)?;
        if hands.look(&folder)?.is_none() {
            let user = hands.user(&self.user);
            let place =
                Placement { mode: Some(0o700), uid: user.as_ref().map(|u| u.uid), gid: user.as_ref().map(|u| u.gid) };
            hands.make_dir(&folder, place, false)?;
        }
        self.editing(folder).fix(hands, change)
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
        let dir =
            Planned { kind: Some(Kind::Dir), mode: Some(0o700), owner: Some(self.user.clone()), ..Planned::default() };
        let folder = PathBuf::from(".ssh");
        let file = desired.map(|_| self.editing(folder.clone()).effects(desired)).unwrap_or_default();
        let folder = desired.map(|_| Effect::Path(folder, dir));
        folder.into_iter().chain(file).map(below_home).collect()
    }
}

#[cfg(test)]
mod tests {
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
