//! `unpack`: members of an archive.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, Hands, Paths, Probe, Tree};
use crate::wire::{Attachment, Member};

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
pub(crate) struct Unpack {
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
    /// The members wanted, with their digests.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub attached: Attachment,
}

impl Unpack {
    /// The members with the mode that was asked for.
    fn members(&self) -> Result<Vec<Member>> {
        let members = self.attached.members()?.to_vec();
        let moded = |member: Member| match self.mode {
            Some(mode) if member.sha256.is_some() => Member { mode: Some(mode.0), ..member },
            _ => member,
        };
        Ok(members.into_iter().map(moded).collect())
    }

    fn tree<'a>(&'a self, members: &'a [Member]) -> Tree<'a> {
        let attrs = Attrs { mode: None, owner: self.owner.clone(), group: self.group.clone() };
        Tree { dest: &self.dest, members, attrs, manage_dirs: false, delete: None }
    }
}

impl Operation for Unpack {
    const NAME: &'static str = "unpack";
    const SUBJECT: &'static str = "dest";
    const VALUES: &'static [&'static str] = &["path", "paths"];
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
        let wrong = |name: &str, what: &str| Err(Error::parameter(name, what));
        match (&self.artifact, &self.src) {
            (Some(_), Some(_)) => return wrong("artifact", "and `src` exclude each other"),
            (None, None) => return Err(Error::playbook("either `artifact` or `src` is needed")),
            (None, Some(_)) if self.version.is_some() => return wrong("version", "is only for an `artifact`"),
            _ => {}
        }
        if self.only.as_ref().is_some_and(|only| only.is_empty() || only.iter().any(String::is_empty)) {
            return wrong("only", "must name something, or be left out");
        }
        if !self.dest.is_absolute() {
            return Err(Error::parameter("dest", format!("must be absolute, not `{}`", self.dest.display())));
        }
        Ok(())
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        self.attached = attachment;
        Ok(())
    }
}

impl Resource for Unpack {
    type State = Paths;

    fn actual(&self, probe: &Probe) -> Result<Option<Paths>> {
        self.tree(&self.members()?).actual(probe)
    }

    fn desired(&self, actual: Option<&Paths>) -> Result<Option<Paths>> {
        Ok(Some(self.tree(&self.members()?).desired(actual)))
    }

    fn fix(&self, hands: &Hands, change: &Change<Paths>) -> Result {
        self.tree(&self.members()?).fix(hands, change)
    }

    fn effects(&self, desired: Option<&Paths>) -> Effects {
        self.members().map(|members| self.tree(&members).effects(desired)).unwrap_or_default()
    }

    fn values(&self, _actual: Option<&Paths>) -> Map<String, Value> {
        let members = self
            .attached
            .members()
            .into_iter()
            .flatten()
            .filter(|member| member.sha256.is_some() || member.link.is_some());
        let paths = members.map(|member| Value::from(self.dest.join(&member.path).display().to_string())).collect();
        let path = Value::from(self.dest.display().to_string());
        Map::from_iter([("path".to_owned(), path), ("paths".to_owned(), Value::Array(paths))])
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use crate::op::contract::{Host, owners, refusal};
    use crate::wire::Member;

    fn wish(host: &Host, members: &[Member], more: &Value) -> Value {
        let mut wish = json!({ "dest": host.path("d"), "src": "a.tgz", "attached": { "members": members } });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    }

    #[test]
    fn files_links_and_folders_hold_the_contract() {
        let mut host = Host::new();
        let one = host.side.offer(b"one");
        let two = host.side.offer(b"two!");
        let empty = host.side.offer(b"");
        let first = [
            Member::dir("lib", Some(0o755)),
            Member::file("lib/one", &one, 3, 0o755),
            Member::file("lib/empty", &empty, 0, 0o644),
            Member::link("bin", "lib/one"),
        ];
        let second = [Member::file("lib/one", &two, 4, 0o755), Member::link("bin", "lib")];
        let (none, (owner, group)) = (json!({}), owners());
        let wishes = [
            wish(&host, &first, &none),
            wish(&host, &second, &none),
            wish(&host, &second, &json!({ "mode": "0700", "owner": owner, "group": group })),
            wish(&host, &[Member::file("a/b/c", &one, 3, 0o600)], &none),
        ];
        host.contract("unpack", &wishes);
        assert_eq!((host.get("d/lib/one"), host.get("d/a/b/c")), ("two!".to_owned(), "one".to_owned()));
        assert_eq!(std::fs::metadata(host.path("d/lib/one")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_program_that_runs_is_replaced() {
        let mut host = Host::new();
        std::fs::create_dir(host.path("d")).unwrap();
        std::fs::copy("/bin/sleep", host.path("d/prog")).unwrap();
        let mut child = std::process::Command::new(host.path("d/prog")).arg("60").spawn().unwrap();
        let new = host.side.offer(b"new");
        let wish = wish(&host, &[Member::file("prog", &new, 3, 0o755)], &json!({}));
        host.apply("unpack", wish);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(host.get("d/prog"), "new");
    }

    #[test]
    fn nothing_is_written_through_a_link_that_the_host_has() {
        let mut host = Host::new();
        let new = host.side.offer(b"new");
        std::fs::create_dir_all(host.path("elsewhere")).unwrap();
        std::fs::create_dir_all(host.path("d")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", host.path("d/lib")).unwrap();
        host.put("precious", "old");
        std::os::unix::fs::symlink("../precious", host.path("d/file")).unwrap();
        let wished = wish(&host, &[Member::file("lib/x", &new, 3, 0o644)], &json!({}));
        let error = host.try_apply("unpack", wished).unwrap_err();
        assert!(error.message().ends_with("is a link or a file, so nothing is written below it"), "{error}");
        let wished = wish(&host, &[Member::file("file", &new, 3, 0o644)], &json!({}));
        host.apply("unpack", wished);
        assert_eq!((host.get("precious"), host.get("d/file")), ("old".to_owned(), "new".to_owned()));
    }

    #[test]
    fn other_bytes_than_those_of_the_index_change_nothing() {
        let mut host = Host::new();
        let sha256 = host.side.offer(b"right");
        host.side.blobs.insert(sha256.clone(), b"wrong".to_vec());
        let wish = wish(&host, &[Member::file("x", &sha256, 5, 0o644)], &json!({}));
        let error = host.try_apply("unpack", wish).unwrap_err();
        assert!(error.to_string().contains("what arrived has the digest"), "{error}");
        assert_eq!(std::fs::read_dir(host.path("d")).unwrap().count(), 0);
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let message = |args| refusal("unpack", args);
        assert_eq!(message(json!({ "dest": "/x" })), "unpack: either `artifact` or `src` is needed");
        assert!(message(json!({ "dest": "/x", "src": "a", "version": "1" })).contains("only for an `artifact`"));
        assert!(message(json!({ "dest": "/x", "src": "a", "only": [] })).contains("must name something"));
        assert!(message(json!({ "dest": "x", "src": "a" })).contains("must be absolute"));
    }
}
