//! `template`: a file made from a template.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{FileState, Hands, Owner, Payload, Probe, Wish};

/// Renders a template on the control side and writes the result to the host.
///
/// The template can name everything in `vars`, the host's variables, and `host`. A name that is not defined
/// is an error at its line; `x is defined` asks first, `x | default("y")` stands in. Writing is as for `copy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Template {
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
    /// A command that must accept the new content before it takes its place; `%s` stands for its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Argv>,
    /// Keep the old file beside the new one, with the time in its name.
    #[serde(default)]
    pub backup: bool,
    /// The rendered bytes, filled in by the control side.
    #[serde(default, rename = "@payload", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub payload: Option<Payload>,
    /// The rendered text instead, when it holds a secret that is put in only on the way to the host.
    #[serde(default, rename = "@text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub text: Option<String>,
}

impl Template {
    fn wish(&self) -> Wish {
        Wish {
            dest: self.dest.clone(),
            owner: Owner { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        }
    }

    fn payload(&self) -> Result<Payload> {
        match (&self.payload, &self.text) {
            (Some(payload), _) => Ok(payload.clone()),
            (None, Some(text)) => Ok(Payload::inline(text.as_bytes())),
            (None, None) => Err(Error::internal("`src` was not rendered on the control side")),
        }
    }
}

impl Operation for Template {
    const NAME: &'static str = "template";
    const SUBJECT: &'static str = "dest";
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[Example {
        title: "A file with the names of some hosts in it.",
        code: r#"host.template("/etc/motd", #{ src: "motd.j2", vars: #{ members: ["controller-1", "controller-2"] } });"#,
    }];
}

impl Resource for Template {
    type State = FileState;

    fn actual(&self, probe: &Probe) -> Result<Option<FileState>> {
        self.wish().actual(probe)
    }

    fn desired(&self, _actual: Option<&FileState>) -> Result<Option<FileState>> {
        Ok(Some(self.wish().desired(self.payload()?.content()?)))
    }

    fn fix(&self, hands: &Hands, change: &Change<FileState>) -> Result {
        self.wish().fix(hands, change, &self.payload()?)
    }

    fn effects(&self, desired: Option<&FileState>) -> Effects {
        self.wish().effects(desired)
    }

    fn values(&self, _actual: Option<&FileState>) -> Map<String, Value> {
        Map::from_iter([("path".to_owned(), Value::from(self.dest.to_string_lossy()))])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::op::contract::Host;
    use crate::sys::Payload;

    #[test]
    fn rendered_bytes_and_rendered_text_hold_the_contract() {
        let host = Host::new();
        let wish = |hidden: &str, value: Value| json!({ "dest": host.path("f"), "src": "f.j2", "mode": "0640", hidden: value });
        let payload = serde_json::to_value(Payload::inline(b"one\n")).unwrap();
        host.contract("template", &[wish("@payload", payload), wish("@text", json!("two\n"))]);
        assert_eq!(host.get("f"), "two\n");
    }
}
