//! `copy`: a file, or literal text, to the host.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, FileSpec, FileState, Hands, Probe};
use crate::wire::{Attachment, Payload};

/// Copies a file, or literal text, to the host.
///
/// The write is atomic: a temporary sibling gets owner, mode and content, is synced, then renamed over `dest`.
/// Content that the host has already is not sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// Absolute path on the host.
    pub dest: PathBuf,
    /// File on the control side, relative to the playbook's folder. Either this or `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<PathBuf>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Permission bits in octal, such as `"0644"`. An existing file keeps its own, a new one gets 0644.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A command that must accept the new content before it takes its place; `%s` stands for its path. It must
    /// change nothing: in check mode it looks at a temporary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Argv>,
    /// Keep the old file beside the new one, with the time in its name.
    #[serde(default)]
    pub backup: bool,
    /// The bytes behind `src` or `content`.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub attached: Attachment,
}

impl Copy {
    fn file_spec(&self) -> FileSpec {
        FileSpec {
            dest: self.dest.clone(),
            attrs: Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        }
    }

    fn payload(&self) -> Result<Payload> {
        match (&self.attached, &self.content) {
            (Attachment::None, Some(text)) => Ok(Payload::inline(text.as_bytes())),
            (attached, _) => attached.payload(),
        }
    }
}

impl Operation for Copy {
    const NAME: &'static str = "copy";
    const SUBJECT: &'static str = "dest";
    const VALUES: &'static [&'static str] = &["path"];
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "Literal text, readable by everyone.",
            code: r#"host.copy("/etc/motd", #{ content: "managed by mk\n", mode: "0644" });"#,
        },
        Example {
            title: "Only a file that its program accepts takes the old one's place.",
            code: r#"host.copy("/etc/demo.sh", #{ content: "echo hi\n", validate: ["sh", "-n", "%s"], backup: true });"#,
        },
    ];

    fn validate(&self) -> Result {
        match (&self.src, &self.content) {
            (Some(_), Some(_)) => Err(Error::parameter("src", "and `content` exclude each other")),
            (None, None) => Err(Error::playbook("either `src` or `content` is needed")),
            _ => Ok(()),
        }
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        self.attached = attachment;
        Ok(())
    }
}

impl Resource for Copy {
    type State = FileState;

    fn actual(&self, probe: &Probe) -> Result<Option<FileState>> {
        self.file_spec().actual(probe)
    }

    fn desired(&self, _actual: Option<&FileState>) -> Result<Option<FileState>> {
        Ok(Some(self.file_spec().desired(self.payload()?.content()?)))
    }

    fn rehearse(&self, probe: &Probe, change: &Change<FileState>) -> Result {
        self.file_spec().rehearse(probe, change, self.payload()?.bytes()?.as_deref())
    }

    fn fix(&self, hands: &Hands, change: &Change<FileState>) -> Result {
        self.file_spec().fix(hands, change, &self.payload()?)
    }

    fn effects(&self, desired: Option<&FileState>) -> Effects {
        self.file_spec().effects(desired)
    }

    fn values(&self, _actual: Option<&FileState>) -> Map<String, Value> {
        Map::from_iter([("path".to_owned(), Value::from(self.dest.to_string_lossy()))])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::op::contract::{Host, owners, refusal};

    #[test]
    fn new_content_new_mode_and_a_kept_old_file_hold_the_contract() {
        let host = Host::new();
        let dest = host.path("f");
        let (owner, group) = owners();
        host.contract(
            "copy",
            &[
                json!({ "dest": dest, "content": "one\n", "mode": "0640" }),
                json!({ "dest": dest, "content": "two\n", "backup": true, "validate": ["grep", "-q", "two", "%s"] }),
                json!({ "dest": dest, "content": "two\n", "mode": "0600", "owner": owner, "group": group }),
            ],
        );
        assert_eq!(std::fs::read_dir(dest.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn content_that_is_refused_changes_nothing() {
        let host = Host::new();
        let dest = host.put("f", "old");
        let wish = json!({ "dest": dest, "content": "new", "validate": ["grep", "-q", "old", "%s"] });
        let error = host.try_apply("copy", wish).unwrap_err();
        assert_eq!(error.message(), "the new content was refused: `grep -q old %s` exited with status 1");
        assert_eq!(host.get("f"), "old");
    }

    #[test]
    fn a_check_predicts_the_digest_so_that_restarts_are_foreseen() {
        let host = Host::new();
        let wish = json!({ "dest": host.path("f"), "content": "x", "mode": "0600" });
        assert_eq!(host.check("copy", wish.clone()).digest, host.apply("copy", wish).digest);
    }

    #[test]
    fn exactly_one_of_src_and_content_is_needed() {
        assert_eq!(refusal("copy", json!({ "dest": "/f" })), "copy: either `src` or `content` is needed");
    }
}
