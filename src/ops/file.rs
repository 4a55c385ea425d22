//! `file`: that a file, a link or nothing is at a path.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, Effect, Hands, Kind, Placement, Planned, Probe, room_for};

/// Sees to it that a file is there, whatever it holds; or a symbolic link; or nothing.
///
/// A file that is there keeps its content, a new one is empty: `copy` and `template` are for content, `dir`
/// is for directories. Making a link and removing never follow a link at `path` itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// `"present"`, `"absent"` or `"link"`.
    #[serde(default)]
    pub state: FileWish,
    /// Where the link points, exactly as it is to be stored. It need not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Permission bits in octal. An existing file keeps its own, a new one gets 0644. Not for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner's name or number; of a link, its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number; of a link, its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Let a link take the place of a file or of an empty directory.
    #[serde(default)]
    pub force: bool,
    /// With `"absent"`: remove it only when nothing is in it. One with something in it stays, and the outcome has `kept`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_empty: bool,
}

/// What is to be at the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum FileWish {
    /// A file.
    #[default]
    Present,
    /// Nothing.
    Absent,
    /// A symbolic link.
    Link,
}

/// What is or should be at the path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<FileMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Something is in it; no part of the state.
    #[serde(skip)]
    full: bool,
}

impl File {
    fn attrs(&self) -> Attrs {
        Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() }
    }

    fn wanted(&self) -> Found {
        let kind = if self.state == FileWish::Link { Kind::Link } else { Kind::File };
        let (owner, group) = (self.owner.clone(), self.group.clone());
        Found { kind, target: self.target.clone(), mode: self.mode, owner, group, full: false }
    }
}

impl Operation for File {
    const NAME: &'static str = "file";
    const SUBJECT: &'static str = "path";
    const VALUES: &'static [&'static str] = &["kept"];
    const DANGER: Danger = Danger::Destroy;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A file that a program will fill, readable by nobody else.",
            code: r#"host.file("/var/log/demo.log", #{ mode: "0600" });"#,
        },
        Example {
            title: "A link.",
            code: r#"host.file("/usr/local/bin/list", #{ state: "link", target: "/bin/ls" });"#,
        },
        Example { title: "Nothing.", code: r#"host.file("/usr/local/bin/list", #{ state: "absent" });"# },
    ];

    fn validate(&self) -> Result {
        let link = self.state == FileWish::Link;
        if !self.path.is_absolute() {
            return Err(Error::parameter("path", format!("must be absolute, not `{}`", self.path.display())));
        }
        match &self.target {
            None if link => return Err(Error::playbook("a link needs a `target`")),
            Some(target) if link && target.is_empty() => return Err(Error::parameter("target", "is empty")),
            Some(_) if !link => return Err(Error::parameter("target", "is only for `state: \"link\"`")),
            _ => {}
        }
        if self.if_empty && self.state != FileWish::Absent {
            return Err(Error::parameter("if_empty", "is only for `state: \"absent\"`"));
        }
        if link && self.mode.is_some() {
            return Err(Error::playbook("a link has no `mode` of its own"));
        }
        Ok(())
    }
}

impl Resource for File {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        self.attrs().placement(probe)?;
        let shown = self.path.display();
        let look = if self.state == FileWish::Present { probe.follow(&self.path)? } else { probe.look(&self.path)? };
        let Some(look) = look else {
            if self.state != FileWish::Absent {
                room_for(probe, &self.path)?;
            }
            return Ok(None);
        };
        match (self.state, look.kind) {
            (FileWish::Present, Kind::File) | (FileWish::Link, Kind::Link) => {}
            (FileWish::Absent, kind) if kind != Kind::Dir => {}
            (FileWish::Absent, _) => {
                return Err(Error::step(format!("`{shown}` is a directory")).hint(format!(
                    "`host.dir(\"{shown}\", #{{ state: \"absent\" }})` removes it with everything in it"
                )));
            }
            (FileWish::Present, _) => return Err(Error::step(format!("`{shown}` is there already and is not a file"))),
            (FileWish::Link, _) if !self.force => {
                return Err(Error::step(format!("`{shown}` is there already and is not a link"))
                    .hint("`force: true` lets the link take its place"));
            }
            (FileWish::Link, Kind::Dir) if probe.list(&self.path)?.is_some_and(|names| !names.is_empty()) => {
                return Err(Error::step(format!("`{shown}` is a directory with something in it")));
            }
            (FileWish::Link, _) => {}
        }
        let words = self.attrs().in_words(&look);
        let full = self.if_empty && look.kind == Kind::File && look.size > 0;
        let mode = (look.kind != Kind::Link).then_some(FileMode(look.mode));
        Ok(Some(Found { kind: look.kind, target: look.target, mode, owner: words.owner, group: words.group, full }))
    }

    fn desired(&self, actual: Option<&Found>) -> Result<Option<Found>> {
        if let Some(kept) = actual.filter(|found| found.full) {
            return Ok(Some(kept.clone()));
        }
        Ok((self.state != FileWish::Absent).then(|| self.wanted()))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let placement = self.attrs().placement(hands)?;
        match self.state {
            FileWish::Absent => hands.remove(&self.path),
            FileWish::Present if change.actual.is_none() => hands.write(&self.path, b"", placement),
            FileWish::Present => hands.place(&self.path, placement),
            FileWish::Link => {
                let Placement { uid, gid, .. } = placement;
                // A rename puts a link over a file at once, but cannot put it over a directory.
                if change.actual.as_ref().is_some_and(|found| found.kind == Kind::Dir) {
                    hands.remove(&self.path)?;
                }
                if change.has("target") || change.has("kind") {
                    hands.link(&self.path, self.target.as_deref().unwrap_or_default())?;
                }
                if uid.is_some() || gid.is_some() { hands.place_link(&self.path, placement) } else { Ok(()) }
            }
        }
    }

    fn effects(&self, desired: Option<&Found>) -> Effects {
        let Some(desired) = desired else { return vec![Effect::Gone(self.path.clone())] };
        let planned = Planned {
            kind: Some(desired.kind),
            target: desired.target.clone(),
            mode: desired.mode.map(|mode| mode.0),
            owner: desired.owner.clone(),
            group: desired.group.clone(),
            ..Planned::default()
        };
        vec![Effect::Path(self.path.clone(), planned)]
    }

    fn values(&self, actual: Option<&Found>) -> Map<String, Value> {
        actual.filter(|found| found.full).map(|_| ("kept".to_owned(), true.into())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::op::alone::alone;
    use crate::op::contract::{Host, owners, refusal};

    #[test]
    fn files_links_and_absence_hold_the_contract() {
        let host = Host::new();
        let (path, link) = (host.path("f"), host.path("l"));
        let (owner, _) = owners();
        host.contract(
            "file",
            &[
                json!({ "path": path }),
                json!({ "path": path, "mode": "0600" }),
                json!({ "path": link, "state": "link", "target": "f" }),
                json!({ "path": link, "state": "link", "target": "nowhere", "owner": owner }),
                json!({ "path": path, "state": "link", "target": "l", "force": true }),
                json!({ "path": link, "state": "absent" }),
            ],
        );
        assert_eq!(std::fs::read_link(&path).unwrap().to_str(), Some("l"));
    }

    #[test]
    fn of_two_names_for_one_number_each_is_as_wished() {
        alone(&[], |_| {
            let user = "root:x:0:0:root:/home/root:/bin/sh\ntoor:x:0:0::/home/root:/bin/sh\n";
            std::fs::write("/etc/passwd", user).unwrap();
            std::fs::write("/etc/group", "root:x:0:\nwheel:x:0:\n").unwrap();
            let host = Host::new();
            let path = host.put("f", "");
            for (owner, group) in [("root", "wheel"), ("toor", "root"), ("toor", "0")] {
                let outcome = host.apply("file", json!({ "path": path, "owner": owner, "group": group }));
                assert_eq!(outcome.diff, None, "{owner}:{group}");
            }
        });
    }

    #[test]
    fn content_is_left_alone_and_a_link_is_removed_instead_of_what_is_behind_it() {
        let host = Host::new();
        let path = host.put("f", "precious");
        std::os::unix::fs::symlink("f", host.path("l")).unwrap();
        host.apply("file", json!({ "path": host.path("l"), "mode": "0640" }));
        host.apply("file", json!({ "path": host.path("l"), "state": "absent" }));
        assert_eq!(host.get("f"), "precious");
        assert!(!host.path("l").exists() && path.exists());
    }

    #[test]
    fn only_an_empty_file_is_removed_when_that_is_asked() {
        let host = Host::new();
        let wish = |path: &std::path::Path| json!({ "path": path, "state": "absent", "if_empty": true });
        let full = host.put("full", "x");
        assert_eq!(host.apply("file", wish(&full)).values["kept"], true);
        host.contract("file", &[wish(&host.put("empty", ""))]);
        assert!(full.exists() && refusal("file", json!({ "path": "/a", "if_empty": true })).contains("only for"));
    }

    #[test]
    fn what_would_be_lost_needs_force_or_is_refused() {
        let host = Host::new();
        let path = host.put("f", "precious");
        let wish = json!({ "path": path, "state": "link", "target": "x" });
        assert_eq!(host.try_check("file", wish).unwrap_err().hints(), ["`force: true` lets the link take its place"]);
        let dir = path.parent().unwrap();
        let wish = json!({ "path": dir, "state": "link", "target": "x", "force": true });
        assert!(host.try_check("file", wish).unwrap_err().message().ends_with("with something in it"));
        let error = host.try_check("file", json!({ "path": dir, "state": "absent" })).unwrap_err();
        assert!(error.hints()[0].starts_with("`host.dir("), "{error}");
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        assert_eq!(refusal("file", json!({ "path": "/a", "state": "link" })), "file: a link needs a `target`");
        assert!(refusal("file", json!({ "path": "/a", "target": "b" })).contains("only for"));
        assert!(refusal("file", json!({ "path": "a" })).contains("must be absolute"));
    }
}
