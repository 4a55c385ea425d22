//! `tree`: a folder of the control side, with everything in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::{Change, digest};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, Glob, Hands, Paths, Probe, Tree};
use crate::wire::Attachment;

/// Copies a folder of the control side, with everything in it, to the host.
///
/// All files are compared by digest in one round trip, and only contents that the host does not have travel, in
/// one stream. Each file is replaced whole or not at all. Symbolic links are copied as links, whatever they point
/// to. `dest` is made when it is missing; one that is there keeps its own owner and mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TreeOf {
    /// Absolute path of a directory on the host.
    pub dest: PathBuf,
    /// A folder on the control side, relative to the playbook's folder. What is in it lands directly in `dest`.
    pub src: PathBuf,
    /// Permission bits of every file, in octal. Without it, 0755 for a file that its owner here may execute, 0644
    /// for others: what git keeps of a mode, so that it is the same from every checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Permission bits of every directory, in octal. Without it, those there keep theirs and new ones get 0755.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir_mode: Option<FileMode>,
    /// The owner's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What is left out, as patterns: `"*.bak"` for names wherever they are, `"docs/*"` for paths below `src`. A
    /// folder stands for all in it. `delete` leaves them alone on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Remove what is in `dest` on the host and not in `src`. The diff shows all of it.
    #[serde(default)]
    pub delete: bool,
    /// What is in the folder, with digests.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub attached: Attachment,
}

impl TreeOf {
    fn excluded(&self) -> Result<Vec<Glob>> {
        self.exclude.iter().map(|text| Glob::new(text)).collect()
    }

    /// Calls `f` with the tree as it is wished for.
    fn tree<T>(&self, f: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let members = self.attached.members()?;
        let excluded = self.excluded()?;
        let mode = self.dir_mode.map(|mode| mode.0);
        let attrs = Attrs { mode, owner: self.owner.clone(), group: self.group.clone() };
        let delete = self.delete.then_some(excluded.as_slice());
        f(&Tree { dest: &self.dest, members, attrs, manage_dirs: true, delete })
    }
}

impl Operation for TreeOf {
    const NAME: &'static str = "tree";
    const SUBJECT: &'static str = "dest";
    const VALUES: &'static [&'static str] = &["path", "files"];
    const DANGER: Danger = Danger::Destroy;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "The folder `site` beside the playbook, without its drafts.",
            code: r#"host.tree("/srv/demo", #{ src: "site", exclude: ["*.draft"], owner: "root", group: "root" });"#,
        },
        Example {
            title: "Exactly what is in the folder, and nothing else but what the host itself keeps in `cache`.",
            code: r#"host.tree("/srv/demo", #{ src: "site", mode: "0640", dir_mode: "0750", exclude: ["cache"], delete: true });"#,
        },
    ];

    fn validate(&self) -> Result {
        let dest = self.dest.display();
        if !self.dest.is_absolute() {
            return Err(Error::parameter("dest", format!("must be absolute, not `{dest}`")));
        }
        if self.delete && self.dest.components().count() < 2 {
            return Err(Error::playbook(format!("refusing to remove what is not in `src` from `{dest}`")));
        }
        self.excluded().map(drop)
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        self.attached = attachment;
        Ok(())
    }
}

impl Resource for TreeOf {
    type State = Paths;

    fn actual(&self, probe: &Probe) -> Result<Option<Paths>> {
        self.tree(|tree| tree.actual(probe))
    }

    fn desired(&self, actual: Option<&Paths>) -> Result<Option<Paths>> {
        self.tree(|tree| Ok(Some(tree.desired(actual))))
    }

    fn fix(&self, hands: &Hands, change: &Change<Paths>) -> Result {
        self.tree(|tree| tree.fix(hands, change))
    }

    fn effects(&self, desired: Option<&Paths>) -> Effects {
        self.tree(|tree| Ok(tree.effects(desired))).unwrap_or_default()
    }

    fn digest(&self, _actual: Option<&Paths>) -> Option<String> {
        // What was to be removed is gone afterwards, and so no part of what a later run can compare.
        let wanted = self.desired(None).ok()?;
        serde_json::to_vec(&wanted).ok().map(|bytes| digest(&bytes))
    }

    fn values(&self, _actual: Option<&Paths>) -> Map<String, Value> {
        let files = self.attached.members().into_iter().flatten().filter(|member| member.sha256.is_some()).count();
        let path = Value::from(self.dest.display().to_string());
        Map::from_iter([("path".to_owned(), path), ("files".to_owned(), Value::from(files))])
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use crate::op::contract::{Host, owners, refusal};
    use crate::wire::Member;

    fn wish(host: &Host, members: &[Member], more: &Value) -> Value {
        let mut wish = json!({ "dest": host.path("d"), "src": "site", "attached": { "members": members } });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    }

    fn mode(host: &Host, name: &str) -> u32 {
        std::fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_folders_links_and_modes_hold_the_contract() {
        let mut host = Host::new();
        let one = host.side.offer(b"one");
        let members = [
            Member::dir("a", Some(0o755)),
            Member::file("a/one", &one, 3, 0o644),
            Member::dir("empty", Some(0o755)),
            Member::link("link", "a/one"),
        ];
        let (owner, group) = owners();
        let moded = [Member::dir("a", Some(0o755)), Member::file("a/one", &one, 3, 0o600)];
        let wishes = [
            wish(&host, &members, &json!({})),
            wish(&host, &moded, &json!({ "dir_mode": "0750" })),
            wish(&host, &moded, &json!({ "dir_mode": "0700", "owner": owner, "group": group })),
        ];
        host.contract("tree", &wishes);
        assert_eq!((mode(&host, "d/a"), mode(&host, "d/a/one"), mode(&host, "d/empty")), (0o700, 0o600, 0o755));
        assert_eq!(std::fs::read_link(host.path("d/link")).unwrap().to_str(), Some("a/one"));
    }

    #[test]
    fn a_directory_that_is_there_keeps_its_mode_unless_one_is_asked_for() {
        let host = Host::new();
        host.apply("dir", json!({ "path": host.path("d/a"), "mode": "0700" }));
        host.apply("tree", wish(&host, &[Member::dir("a", Some(0o755))], &json!({ "group": owners().1 })));
        assert_eq!(mode(&host, "d/a"), 0o700);
    }

    #[test]
    fn delete_shows_and_removes_what_is_not_in_the_folder_but_what_is_excluded() {
        let mut host = Host::new();
        let one = host.side.offer(b"one");
        for name in ["d/old/deep/x", "d/cache/y", "d/old/z.keep"] {
            host.apply("dir", json!({ "path": host.path(name).parent().unwrap() }));
            host.put(name, "x");
        }
        let members = [Member::file("one", &one, 3, 0o644)];
        let wished = wish(&host, &members, &json!({ "delete": true, "exclude": ["cache", "*.keep"] }));
        let diff = host.check("tree", wished.clone()).diff.unwrap();
        let names: Vec<_> = diff.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["old/deep", "old/deep/x", "one"]);
        host.contract("tree", &[wished]);
        assert!(host.path("d/cache/y").exists() && host.path("d/old/z.keep").exists());
        assert!(!host.path("d/old/deep").exists());
        host.contract("tree", &[wish(&host, &members, &json!({ "delete": true }))]);
        assert_eq!(std::fs::read_dir(host.path("d")).unwrap().count(), 1);
    }

    #[test]
    fn only_contents_that_are_missing_are_asked_for() {
        let mut host = Host::new();
        let (one, two) = (host.side.offer(b"one"), host.side.offer(b"two"));
        host.apply("tree", wish(&host, &[Member::file("one", &one, 3, 0o644)], &json!({})));
        // Asking for it once more would be a fault now.
        host.side.blobs.remove(&one);
        let both = [Member::file("one", &one, 3, 0o600), Member::file("two", &two, 3, 0o644)];
        host.apply("tree", wish(&host, &both, &json!({})));
        assert_eq!((host.get("d/two"), mode(&host, "d/one")), ("two".to_owned(), 0o600));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let message = |args| refusal("tree", args);
        assert!(message(json!({ "dest": "x", "src": "a" })).contains("must be absolute"));
        assert!(message(json!({ "dest": "/", "src": "a", "delete": true })).contains("refusing to remove"));
        assert!(message(json!({ "dest": "/x", "src": "a", "exclude": ["[a"] })).contains("is not a pattern"));
    }
}
