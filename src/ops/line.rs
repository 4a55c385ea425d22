//! `line`: one line of a text file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Pattern, Removal, Resource};
use crate::sys::{Attrs, Edited, Editing, FileSpec, Hands, Lines, Probe};

/// Sees to one line of a text file; everything else in the file stays as it is, byte for byte.
///
/// Present: where `matching` is found, the last such line becomes `line`; otherwise, unless `line` is there
/// already, it is added at `after`, at `before`, or at the end. Where `matching` does not find `line` itself and `line`
/// is there already, nothing changes. No line but the one that becomes `line` is touched. Absent: every line that is
/// `line`, or that `matching` finds, is removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Absolute path of the file on the host.
    pub path: PathBuf,
    /// The line, without a newline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// A regular expression that finds the line to replace or to remove, such as `"^#?Port "`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<Pattern>,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: LineState,
    /// Add the line after the last one that this regular expression finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Pattern>,
    /// Add the line before the first one that this regular expression finds.
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

/// Whether the line is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum LineState {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone.
    Absent,
}

impl Line {
    fn editing(&self) -> Editing {
        let file = FileSpec {
            dest: self.path.clone(),
            attrs: Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        };
        Editing { file, create: self.create, present: self.state == LineState::Present }
    }

    fn edit(&self, text: &str) -> Result<String> {
        let mut lines = Lines::of(text);
        let (wanted, matching) = (self.line.as_deref(), self.matching.as_deref());
        let found = |line: &str| matching.is_some_and(|matching| matching.is_match(line));
        match (self.state, wanted) {
            (LineState::Absent, _) => lines.retain(|line| Some(line) != wanted && !found(line)),
            (LineState::Present, Some(wanted)) => {
                let there = lines.bare().any(|line| line == wanted);
                let place = lines.bare().rposition(found);
                match place {
                    // Once more would take the place of another line each time.
                    _ if there && !found(wanted) => {}
                    Some(index) => lines.replace(index, wanted),
                    None => lines.insert(lines.place(self.after.as_deref(), self.before.as_deref())?, [wanted]),
                }
            }
            (LineState::Present, None) => return Err(Error::internal("a line that was not given")),
        }
        Ok(lines.text())
    }
}

impl Operation for Line {
    const NAME: &'static str = "line";
    const SUBJECT: &'static str = "path";
    const DANGER: Danger = Danger::Write;
    const REMOVAL: Removal = Removal::Absent;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A setting, whether it is there, commented out or missing.",
            code: r#"host.line("/etc/login.defs", #{ line: "UMASK\t\t027", matching: "^#?\\s*UMASK\\b" });"#,
        },
        Example {
            title: "Lines that must not be there.",
            code: r#"host.line("/etc/fstab", #{ matching: "\\sswap\\s", state: "absent" });"#,
        },
    ];

    fn validate(&self) -> Result {
        if self.after.is_some() && self.before.is_some() {
            return Err(Error::parameter("after", "and `before` exclude each other"));
        }
        match (self.state, &self.line, &self.matching) {
            (LineState::Present, None, _) => Err(Error::parameter("line", "is needed")),
            (LineState::Absent, None, None) => Err(Error::playbook("either `line` or `matching` is needed")),
            (_, Some(line), _) if line.contains(['\n', '\r']) => {
                Err(Error::parameter("line", "is one line").hint("`host.block` keeps several lines together"))
            }
            _ => Ok(()),
        }
    }
}

impl Resource for Line {
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
        // A line that only takes the place of another was there before in its way.
        let found = |line: &str| self.matching.as_deref().is_some_and(|matching| matching.is_match(line));
        let mine = |wanted: &&String| Editing::text(state).lines().any(|line| line == wanted.as_str() || found(line));
        let thing = |wanted: &String| {
            let call = json!({ "path": self.path, "line": wanted, "state": "absent" });
            Thing::new(Self::NAME, format!("{} {wanted}", self.path.display()), call)
        };
        self.line.iter().filter(mine).map(thing).collect()
    }

    fn effects(&self, desired: Option<&Edited>) -> Effects {
        self.editing().effects(desired)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Line, json};
    use crate::op::contract::{Host, refusal};

    fn edit(args: Value, text: &str) -> String {
        let mut complete = json!({ "path": "/f" });
        complete.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        serde_json::from_value::<Line>(complete).unwrap().edit(text).unwrap()
    }

    #[test]
    fn replacing_adding_and_removing_hold_the_contract() {
        let host = Host::new();
        let path = host.put("f", "# head\n#Port 22\nlast");
        host.contract(
            "line",
            &[
                json!({ "path": path, "line": "Port 2222", "matching": "^#?Port " }),
                json!({ "path": path, "line": "first", "before": "^# head", "mode": "0600" }),
                json!({ "path": path, "line": "end", "backup": true }),
                json!({ "path": path, "matching": "^(first|last)$", "state": "absent", "validate": ["test", "-s", "%s"] }),
                json!({ "path": host.path("new"), "line": "only", "create": true, "mode": "0640" }),
            ],
        );
        assert_eq!((host.get("f").as_str(), host.get("new").as_str()), ("# head\nPort 2222\nend\n", "only\n"));
    }

    #[test]
    fn the_last_match_is_replaced_and_keeps_its_line_end() {
        assert_eq!(edit(json!({ "line": "a=2", "matching": "^a=" }), "a=0\r\nb\r\na=1"), "a=0\r\nb\r\na=2");
        assert_eq!(edit(json!({ "line": "x", "after": "^b" }), "a\nb"), "a\nb\nx\n");
    }

    #[test]
    fn a_line_already_there_is_enough() {
        assert_eq!(edit(json!({ "line": "a" }), "b\na\nc"), "b\na\nc");
    }

    #[test]
    fn one_line_at_most_is_replaced_and_none_goes() {
        // A pattern that does not find the line itself says what it takes the place of, once.
        let wish = || json!({ "line": "a=2", "matching": "^#?a=1" });
        assert_eq!(edit(wish(), "a=1\nb\n#a=1\nc"), "a=1\nb\na=2\nc");
        assert_eq!(edit(wish(), "a=1\nb\na=2\n"), "a=1\nb\na=2\n");
        let comments = json!({ "line": "x=1", "matching": "^#" });
        assert_eq!(edit(comments, "# one\n# two\ny=1\n# three\n"), "# one\n# two\ny=1\nx=1\n");
        // Of one that finds the line too, the last stands for the setting, wherever the line is besides.
        let port = || json!({ "line": "Port 22", "matching": "^#?Port " });
        assert_eq!(edit(port(), "#Port 2222\nPort 22\n"), "#Port 2222\nPort 22\n");
        assert_eq!(edit(port(), "Port 22\nb\nPort 2222\n"), "Port 22\nb\nPort 22\n");
    }

    #[test]
    fn a_missing_file_is_a_fault_unless_the_line_is_to_be_absent() {
        let host = Host::new();
        let path = host.path("no/f");
        assert_eq!(host.apply("line", json!({ "path": path, "line": "x", "state": "absent" })).diff, None);
        let error = host.try_check("line", json!({ "path": host.path("f"), "line": "x" })).unwrap_err();
        assert_eq!(error.hints(), ["`create: true` makes it"]);
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        assert_eq!(refusal("line", json!({ "path": "/f" })), "line: `line` is needed");
        assert_eq!(refusal("line", json!({ "path": "/f", "line": "a\nb" })), "line: `line` is one line");
        assert!(
            refusal("line", json!({ "path": "/f", "matching": "(" }))
                .starts_with("line: `matching`: `(` is not a regular")
        );
    }

    proptest! {
        #[test]
        fn an_edit_is_its_own_end(text in "([ab]{0,2}\r?\n){0,4}[ab]{0,2}", line in "[ab]{1,2}", with in any::<bool>()) {
            let wish = if with { json!({ "line": line, "matching": "^a" }) } else { json!({ "line": line }) };
            let once = edit(wish.clone(), &text);
            prop_assert_eq!(edit(wish, &once), once.clone());
            // The line is there, and all others are as they were but for the one that became it.
            let (old, new): (Vec<&str>, Vec<&str>) = (text.lines().collect(), once.lines().collect());
            prop_assert!(new.contains(&line.as_str()), "{once:?}");
            let same = old.iter().zip(&new).filter(|(old, new)| old == new).count();
            prop_assert!(new.len() >= old.len() && same + 1 >= old.len(), "{once:?}");
        }
    }
}
