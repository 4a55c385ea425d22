//! `template`: a file made from a template.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::Result;
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, FileSpec, FileState, Hands, Probe};
use crate::wire::{Attachment, Payload};

/// Renders a template on the control side and writes the result to the host.
///
/// The template can name everything in `vars`, the host's variables, and `host`. A name that is not defined
/// is an error at its line; `x is defined` asks first, `x | default("y")` stands in. Writing is as for `copy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// Absolute path on the host.
    pub dest: PathBuf,
    /// The template, a file on the control side, relative to the playbook's folder.
    pub src: PathBuf,
    /// Names for the template, with any values. They win over the host's variables.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
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
    /// What was rendered.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub attached: Attachment,
}

impl Template {
    fn file_spec(&self) -> FileSpec {
        FileSpec {
            dest: self.dest.clone(),
            attrs: Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        }
    }

    fn payload(&self) -> Result<Payload> {
        self.attached.payload()
    }
}

impl Operation for Template {
    const NAME: &'static str = "template";
    const SUBJECT: &'static str = "dest";
    const VALUES: &'static [&'static str] = &["path"];
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[Example {
        title: "A file with the names of some hosts in it.",
        code: r#"host.template("/etc/motd", #{ src: "motd.j2", vars: #{ members: ["controller-1", "controller-2"] } });"#,
    }];

    fn attach(&mut self, attachment: Attachment) -> Result {
        self.attached = attachment;
        Ok(())
    }
}

impl Resource for Template {
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

    use crate::op::contract::Host;
    use crate::wire::{Attachment, Payload};

    #[test]
    fn rendered_bytes_and_rendered_text_hold_the_contract() {
        let host = Host::new();
        let wish = |attached: Attachment| json!({ "dest": host.path("f"), "src": "f.j2", "mode": "0640", "attached": attached });
        let bytes = Attachment::Content(Payload::inline(b"one\n"));
        host.contract("template", &[wish(bytes), wish(Attachment::Text("two\n".to_owned()))]);
        assert_eq!(host.get("f"), "two\n");
    }
}
