//! `unpack`: members of an archive.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Hands, Member, Owner, Paths, Probe, Tree};

/// Puts members of an archive (tar, tar.gz, tar.xz, tar.zst or zip) on the host.
///
/// The archive stays on the control side: an artifact of the project's lock, or a file there. Only the members
/// wanted travel, and of those only the ones that differ. They are compared by content and mode; a program that
/// runs can be replaced. Without `only`, everything is unpacked below `dest`, under its path in the archive.
/// What could leave `dest` (absolute paths, `..`, links that point outside), devices, and files that would run
/// as their owner are refused. Modes are the archive's, without the right to write for group and others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unpack {
    /// Absolute path of a directory on the host. It is made when it is missing.
    pub dest: PathBuf,
    /// An artifact of the project's `artifacts.lock.yaml`, for the host's architecture. Either this or `src`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// The artifact's version, where the lock has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An archive on the control side, relative to the playbook's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<PathBuf>,
    /// The members wanted. A name (`etcd`, `etcd*`) is found wherever it is, and lands directly in `dest` when
    /// `strip` is not given. A path (`bin/kubelet`, `*/bin/*`; a folder stands for all in it) keeps its folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// How many folders to leave away from the front of each member's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip: Option<usize>,
    /// Permission bits of every file, in octal, in place of the archive's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner's name or number. Of directories, only those that are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number. Of directories, only those that are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The members wanted, with their digests, filled in by the control side.
    #[serde(default, rename = "@members", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub members: Option<Vec<Member>>,
}

impl Unpack {
    /// The members with the mode that was asked for.
    fn members(&self) -> Result<Vec<Member>> {
        let members = self.members.clone();
        let members = members.ok_or_else(|| Error::internal("the archive was not opened on the control side"))?;
        let moded = |member: Member| match self.mode {
            Some(mode) if member.sha256.is_some() => Member { mode: Some(mode.0), ..member },
            _ => member,
        };
        Ok(members.into_iter().map(moded).collect())
    }

    fn tree<'a>(&'a self, members: &'a [Member]) -> Tree<'a> {
        let owner = Owner { mode: None, owner: self.owner.clone(), group: self.group.clone() };
        Tree { dest: &self.dest, members, owner, manage_dirs: false, delete: None }
    }
}

impl Operation for Unpack {
    const NAME: &'static str = "unpack";
    const SUBJECT: &'static str = "dest";
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "Three programs of a release, directly into a folder of the search path.",
            code: r#"host.unpack("/usr/local/bin", #{ artifact: "etcd", only: ["etcd", "etcdctl", "etcdutl"] });"#,
        },
        Example {
            title: "An archive of the control side as a whole, without its outermost folder.",
            code: r#"local().run(["tar", "-czf", "/tmp/mk-demo.tar.gz", "-C", "/etc", "apt"], #{ creates: "/tmp/mk-demo.tar.gz" });
host.unpack("/opt/demo", #{ src: "/tmp/mk-demo.tar.gz", strip: 1, owner: "root", group: "root" });"#,
        },
    ];

    fn validate(&self) -> Result {
        let wrong = |message: &str| Err(Error::playbook(message));
        match (&self.artifact, &self.src) {
            (Some(_), Some(_)) => return wrong("`artifact` and `src` exclude each other"),
            (None, None) => return wrong("either `artifact` or `src` is needed"),
            (None, Some(_)) if self.version.is_some() => return wrong("`version` is only for an `artifact`"),
            _ => {}
        }
        if self.only.as_ref().is_some_and(|only| only.is_empty() || only.iter().any(String::is_empty)) {
            return wrong("`only` must name something, or be left out");
        }
        if !self.dest.is_absolute() {
            return Err(Error::playbook(format!("`dest` must be absolute, not `{}`", self.dest.display())));
        }
        Ok(())
    }
}

impl Resource for Unpack {
    type State = Paths;

    fn actual(&self, probe: &Probe) -> Result<Option<Paths>> {
        self.tree(&self.members()?).actual(probe)
    }

    fn desired(&self, actual: Option<&Paths>) -> Result<Option<Paths>> {
        Ok(self.tree(&self.members()?).desired(actual))
    }

    fn fix(&self, hands: &Hands, change: &Change<Paths>) -> Result {
        self.tree(&self.members()?).fix(hands, change)
    }

    fn effects(&self, desired: Option<&Paths>) -> Effects {
        self.members().map(|members| self.tree(&members).effects(desired)).unwrap_or_default()
    }

    fn values(&self, _actual: Option<&Paths>) -> Map<String, Value> {
        let members = self.members.iter().flatten().filter(|member| member.sha256.is_some() || member.link.is_some());
        let paths = members.map(|member| Value::from(self.dest.join(&member.path).display().to_string())).collect();
        let path = Value::from(self.dest.display().to_string());
        Map::from_iter([("path".to_owned(), path), ("paths".to_owned(), Value::Array(paths))])
    }
}
