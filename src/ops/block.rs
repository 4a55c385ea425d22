//! `block`: some lines of a text file, between markers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Pattern, Removal, Resource};
use crate::sys::{Attrs, Edited, Editing, FileSpec, Hands, Lines, Probe};

/// Keeps some lines in a text file, between two marker lines; everything else in the file stays as it is.
///
/// A block that is there is replaced where it stands. A new one goes to `after`, to `before`, or to the end.
/// Several blocks live in one file under different names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    /// Absolute path of the file on the host.
    pub path: PathBuf,
    /// What the block is called, so that it is found again.
    pub name: String,
    /// The lines between the markers. A newline at the end is added where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: BlockState,
    /// The marker lines: `{mark}` becomes `BEGIN` and `END`, `{name}` the block's name.
    #[serde(default = "marker")]
    pub marker: String,
    /// Put a new block after the last line that this regular expression finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Pattern>,
    /// Put a new block before the first line that this regular expression finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Pattern>,
    /// Make the file when it is missing.
    #[serde(default)]
    pub create: bool,
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
}

/// Whether the block is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum BlockState {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone, with its markers.
    Absent,
}

/// The marker when nothing is said.
fn marker() -> String {
    "# {mark} MANAGED BY mk: {name}".to_owned()
}

impl Block {
    fn editing(&self) -> Editing {
        let file = FileSpec {
            dest: self.path.clone(),
            attrs: Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        };
        Editing { file, create: self.create, present: self.state == BlockState::Present }
    }

    fn mark(&self, word: &str) -> String {
        self.marker.replace("{mark}", word).replace("{name}", &self.name)
    }

    fn edit(&self, text: &str) -> Result<String> {
        let mut lines = Lines::of(text);
        let (begin, end) = (self.mark("BEGIN"), self.mark("END"));
        let first = lines.bare().position(|line| line == begin);
        let place = match first {
            Some(first) => {
                let length = lines.bare().skip(first).position(|line| line == end);
                let cut =
                    || Error::step(format!("the block has lost its end: no line `{end}` after line {}", first + 1));
                lines.remove(first..=first + length.ok_or_else(cut)?);
                first
            }
            None if self.state == BlockState::Absent => return Ok(lines.text()),
            None => lines.place(self.after.as_deref(), self.before.as_deref())?,
        };
        if let (BlockState::Present, Some(content)) = (self.state, &self.content) {
            lines.insert(place, [begin.as_str()].into_iter().chain(content.lines()).chain([end.as_str()]));
        }
        Ok(lines.text())
    }
}

impl Operation for Block {
    const NAME: &'static str = "block";
    const SUBJECT: &'static str = "path";
    const DANGER: Danger = Danger::Write;
    const REMOVAL: Removal = Removal::Absent;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "Names of a cluster in the hosts file.",
            code: r#"host.block("/etc/hosts", #{ name: "cluster", content: "192.0.2.11 controller-1\n192.0.2.12 controller-2\n" });"#,
        },
        Example {
            title: "The block must not be there any more.",
            code: r#"host.block("/etc/hosts", #{ name: "cluster", state: "absent" });"#,
        },
    ];

    fn validate(&self) -> Result {
        let wrong = |name: &str, what: &str| Err(Error::parameter(name, what));
        if self.after.is_some() && self.before.is_some() {
            return wrong("after", "and `before` exclude each other");
        }
        if !self.marker.contains("{mark}") || self.marker.contains('\n') {
            return wrong("marker", "must be one line with `{mark}` in it");
        }
        if self.name.is_empty() || self.name.contains('\n') {
            return wrong("name", "must be one line of text");
        }
        match (&self.content, self.state) {
            (None, BlockState::Present) => wrong("content", "is needed"),
            (Some(content), _) if content.lines().any(|l| l == self.mark("BEGIN") || l == self.mark("END")) => {
                wrong("content", "must not have the block's own markers in it")
            }
            _ => Ok(()),
        }
    }
}

impl Resource for Block {
    type State = Edited;

    fn actual(&self, probe: &Probe) -> Result<Option<Edited>> {
        self.editing().actual(probe)
    }

    fn desired(&self, actual: Option<&Edited>) -> Result<Option<Edited>> {
        self.editing().desired(actual, |text| self.edit(text))
    }

    fn rehearse(&self, probe: &Probe, change: &Change<Edited>) -> Result {
        self.editing().rehearse(probe, change)
    }

    fn fix(&self, hands: &Hands, change: &Change<Edited>) -> Result {
        self.editing().fix(hands, change)
    }

    fn things(&self, state: Option<&Edited>) -> Vec<Thing> {
        let begin = self.mark("BEGIN");
        let there = Editing::text(state).lines().any(|line| line == begin);
        let call = json!({ "path": self.path, "name": self.name, "marker": self.marker, "state": "absent" });
        let thing = || Thing::new(Self::NAME, format!("{} {}", self.path.display(), self.name), call);
        there.then(thing).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Edited>) -> Effects {
        self.editing().effects(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, json};
    use crate::op::contract::{Host, refusal};

    #[test]
    fn several_blocks_in_one_file_hold_the_contract() {
        let host = Host::new();
        let path = host.put("hosts", "127.0.0.1 localhost\n::1 localhost");
        let a = |content: &str| json!({ "path": path, "name": "a", "content": content, "before": "^::1" });
        host.contract(
            "block",
            &[
                a("1 one\n2 two"),
                json!({ "path": path, "name": "b", "content": "x\n", "mode": "0600" }),
                a("3 three\n"),
                json!({ "path": path, "name": "b", "state": "absent" }),
                json!({ "path": host.path("new"), "name": "n", "content": "", "create": true, "marker": "; {mark} {name}" }),
            ],
        );
        let a = "# BEGIN MANAGED BY mk: a\n3 three\n# END MANAGED BY mk: a\n";
        assert_eq!(host.get("hosts"), format!("127.0.0.1 localhost\n{a}::1 localhost\n"));
        assert_eq!(host.get("new"), "; BEGIN n\n; END n\n");
    }

    #[test]
    fn a_block_without_its_end_is_a_fault_and_not_a_guess() {
        let block: Block = serde_json::from_value(json!({ "path": "/f", "name": "a", "content": "x" })).unwrap();
        let error = block.edit("one\n# BEGIN MANAGED BY mk: a\nrest\n").unwrap_err();
        assert_eq!(error.message(), "the block has lost its end: no line `# END MANAGED BY mk: a` after line 2");
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        assert_eq!(refusal("block", json!({ "path": "/f", "name": "a" })), "block: `content` is needed");
        let inside = json!({ "path": "/f", "name": "a", "content": "# END MANAGED BY mk: a" });
        assert!(refusal("block", inside).contains("own markers"));
    }
}
