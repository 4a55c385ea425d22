//! `dir`: a directory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, Effect, Hands, Kind, Planned, Probe};

/// Makes a directory, with those above it, or removes one with everything in it, unless something is mounted there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Dir {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: DirState,
    /// Permission bits in octal. An existing directory keeps its own, a new one gets 0755.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// With `"absent"`: remove it only when nothing is in it. One with something in it stays, and the outcome has `kept`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_empty: bool,
}

/// Whether the directory is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum DirState {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone, with everything in it.
    Absent,
}

/// A directory as it is or should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
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

impl Dir {
    fn attrs(&self) -> Attrs {
        Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() }
    }
}

impl Dir {
    /// Refuses a path below something that is no directory.
    fn room(&self, probe: &Probe) -> Result {
        for above in self.path.ancestors().skip(1) {
            match probe.aside(|| probe.follow(above))? {
                None => {}
                Some(look) if look.kind == Kind::Dir => break,
                Some(_) => return Err(Error::step(format!("`{}` is not a directory", above.display()))),
            }
        }
        Ok(())
    }
}

impl Operation for Dir {
    const NAME: &'static str = "dir";
    const SUBJECT: &'static str = "path";
    const VALUES: &'static [&'static str] = &["kept"];
    const DANGER: Danger = Danger::Destroy;
    const EXAMPLES: &'static [Example] = &[
        Example { title: "A directory only root can enter.", code: r#"host.dir("/var/lib/demo", #{ mode: "0700" });"# },
        Example {
            title: "A directory that must not be there.",
            code: r#"host.dir("/var/lib/demo", #{ state: "absent" });"#,
        },
    ];

    fn validate(&self) -> Result {
        let path = self.path.display();
        if !self.path.is_absolute() {
            return Err(Error::parameter("path", format!("must be absolute, not `{path}`")));
        }
        if self.if_empty && self.state == DirState::Present {
            return Err(Error::parameter("if_empty", "is only for `state: \"absent\"`"));
        }
        if self.state == DirState::Absent && self.path.components().count() < 2 {
            return Err(Error::playbook(format!("refusing to remove `{path}`")));
        }
        Ok(())
    }
}

impl Resource for Dir {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        self.attrs().placement(probe)?;
        let shown = self.path.display();
        let found = if self.state == DirState::Absent { probe.look(&self.path)? } else { probe.follow(&self.path)? };
        match found {
            None if self.state == DirState::Present => self.room(probe).map(|()| None),
            None => Ok(None),
            Some(look) if look.kind == Kind::Dir => {
                if self.state == DirState::Absent && !self.if_empty {
                    probe.refuse_mounts(&self.path)?;
                }
                let words = self.attrs().in_words(&look);
                let full = self.if_empty && probe.list(&self.path)?.is_some_and(|names| !names.is_empty());
                Ok(Some(Found { mode: words.mode.map(FileMode), owner: words.owner, group: words.group, full }))
            }
            Some(_) => Err(Error::step(format!("`{shown}` is there already and is not a directory"))),
        }
    }

    fn desired(&self, actual: Option<&Found>) -> Result<Option<Found>> {
        if let Some(kept) = actual.filter(|found| found.full) {
            return Ok(Some(kept.clone()));
        }
        let found = Found { mode: self.mode, owner: self.owner.clone(), group: self.group.clone(), full: false };
        Ok((self.state == DirState::Present).then_some(found))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let placement = self.attrs().placement(hands)?;
        match (&change.actual, &change.desired) {
            (_, None) if self.if_empty => hands.remove_empty_dir(&self.path),
            (_, None) => hands.remove(&self.path),
            (None, Some(_)) => hands.make_dir(&self.path, placement, true),
            (Some(_), Some(_)) => hands.place(&self.path, placement),
        }
    }

    fn effects(&self, desired: Option<&Found>) -> Effects {
        let Some(desired) = desired else { return vec![Effect::Gone(self.path.clone())] };
        // Those above it are made with it.
        let above = self.path.ancestors().skip(1).filter(|parent| !parent.exists());
        let plain = |path: &std::path::Path| {
            Effect::Path(path.to_owned(), Planned { kind: Some(Kind::Dir), ..Planned::default() })
        };
        let mut effects: Effects = above.map(plain).collect();
        let planned = Planned {
            kind: Some(Kind::Dir),
            mode: desired.mode.map(|mode| mode.0),
            owner: desired.owner.clone(),
            group: desired.group.clone(),
            ..Planned::default()
        };
        effects.push(Effect::Path(self.path.clone(), planned));
        effects
    }

    fn values(&self, actual: Option<&Found>) -> Map<String, Value> {
        actual.filter(|found| found.full).map(|_| ("kept".to_owned(), true.into())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::process::Command;

    use serde_json::json;

    use crate::change::Status;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn making_moding_and_removing_hold_the_contract() {
        let host = Host::new();
        let path = host.path("a/b");
        let wish = |state: &str, mode: &str| json!({ "path": path, "state": state, "mode": mode });
        host.contract(
            "dir",
            &[wish("present", "0700"), wish("present", "0750"), json!({ "path": path, "state": "absent" })],
        );
        assert!(host.path("a").is_dir());
    }

    #[test]
    fn only_an_empty_directory_is_removed_when_that_is_asked() {
        let host = Host::new();
        host.apply("dir", json!({ "path": host.path("full/empty") }));
        let wish = |name: &str| json!({ "path": host.path(name), "state": "absent", "if_empty": true });
        assert_eq!(host.apply("dir", wish("full")).values["kept"], true);
        // In one run, a check knows that it will be empty then.
        assert_eq!(host.check("dir", wish("full/empty")).status, Status::WouldChange);
        assert_eq!(host.check("dir", wish("full")).status, Status::WouldChange);
        host.contract("dir", &[wish("full/empty"), wish("full")]);
        assert!(refusal("dir", json!({ "path": "/a", "if_empty": true })).contains("only for"));
    }

    #[test]
    fn what_is_mounted_below_is_never_emptied() {
        alone(&[], |_| {
            let path = Path::new("/home/root/data");
            std::fs::create_dir_all(path.join("a b")).unwrap();
            let mount = |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
            mount(&["mount", "-t", "tmpfs", "volume", "/home/root/data/a b"]);
            std::fs::write(path.join("a b/precious"), "").unwrap();
            let wish = json!({ "path": path, "state": "absent" });
            let error = Host::new().try_apply("dir", wish.clone()).unwrap_err();
            assert_eq!(
                error.message(),
                "`/home/root/data` is not removed: something is mounted at `/home/root/data/a b`"
            );
            assert_eq!(Host::new().try_check("dir", wish.clone()).unwrap_err().message(), error.message());
            let link = json!({ "path": path, "state": "link", "target": "/tmp", "force": true });
            assert_eq!(Host::new().try_apply("file", link).unwrap_err().kind(), crate::error::Kind::Step);
            assert!(path.join("a b/precious").exists());
            mount(&["umount", "/home/root/data/a b"]);
            Host::new().contract("dir", &[wish]);
        });
    }

    #[test]
    fn a_directory_whose_names_are_not_text_is_not_empty() {
        let host = Host::new();
        let path = host.path("d");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let wish = json!({ "path": path, "state": "absent", "if_empty": true });
        assert_eq!(host.apply("dir", wish).values["kept"], true);
        // With all that is in it, it goes whatever the names are.
        host.contract("dir", &[json!({ "path": path, "state": "absent" })]);
    }

    #[test]
    fn a_file_in_the_way_is_a_fault() {
        let host = Host::new();
        let path = host.put("f", "");
        let below = host.try_check("dir", json!({ "path": path.join("a/b") })).unwrap_err();
        assert_eq!(below.message(), format!("`{}` is not a directory", path.display()));
        let error = host.try_check("dir", json!({ "path": path })).unwrap_err();
        assert!(error.message().ends_with("is there already and is not a directory"), "{error}");
        assert_eq!(refusal("dir", json!({ "path": "/", "state": "absent" })), "dir: refusing to remove `/`");
    }
}
