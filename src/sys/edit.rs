//! Editing a text file in place: what `line`, `block` and their like share.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::files::{FileSpec, FileState};
use super::hands::Hands;
use super::plan::Effect;
use super::probe::Probe;
use crate::change::{Change, Content};
use crate::error::{Error, Result};
use crate::wire::Payload;

/// The longest file that is edited, in bytes.
const LONGEST: u64 = 8 * 1024 * 1024;

/// A text file as it is or should be, with the whole text at hand whatever its length.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Edited {
    #[serde(flatten)]
    file: FileState,
    /// What an operation has to say of the folder that the file is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The text; not part of what is compared or shown, which its digest is.
    #[serde(skip)]
    text: String,
}

impl Edited {
    /// The same with this to say of its folder.
    pub(crate) fn in_folder(self, folder: Option<String>) -> Self {
        Self { folder, ..self }
    }
}

/// How a text file is edited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Editing {
    /// The file, its owner, and how the new text is put in place.
    pub file: FileSpec,
    /// Make the file when it is missing.
    pub create: bool,
    /// Whether something is to be in the text, so that the file must be there.
    pub present: bool,
}

impl Editing {
    /// The file found; `None` when it is missing and may be.
    ///
    /// # Errors
    /// When it is missing and may not be, is not a text, or cannot be known yet.
    pub(crate) fn actual(&self, probe: &Probe) -> Result<Option<Edited>> {
        let path = &self.file.dest;
        let shown = path.display();
        if !self.present && probe.follow(path)?.is_none() {
            return Ok(None);
        }
        let Some(file) = self.file.actual(probe)? else {
            let missing = || Error::step(format!("`{shown}` does not exist")).hint("`create: true` makes it");
            return if self.create { Ok(None) } else { Err(missing()) };
        };
        let bytes = probe.read(path, LONGEST)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|_| Error::step(format!("`{shown}` is not a text in UTF-8")))?;
        Ok(Some(Edited { file, folder: None, text }))
    }

    /// The file as wanted: `edit` turns the whole text into the new one.
    ///
    /// # Errors
    /// When the edit cannot be made.
    pub(crate) fn desired(
        &self,
        actual: Option<&Edited>,
        edit: impl FnOnce(&str) -> Result<String>,
    ) -> Result<Option<Edited>> {
        let before = match actual {
            None if !self.present => return Ok(None),
            None if !self.create => return Err(Error::step(format!("`{}` does not exist", self.file.dest.display()))),
            found => found.map_or("", |found| found.text.as_str()),
        };
        let text = edit(before)?;
        Ok(Some(Edited { file: self.file.desired(Content::of(text.as_bytes())), folder: None, text }))
    }

    /// Brings the change about.
    ///
    /// # Errors
    /// When the new text does not pass its validation, or the host refuses.
    pub(crate) fn fix(&self, hands: &Hands, change: &Change<Edited>) -> Result {
        let file = |state: &Option<Edited>| state.as_ref().map(|edited| edited.file.clone());
        let Some(desired) = &change.desired else { return Err(Error::internal("an edit never removes its file")) };
        let change = Change { actual: file(&change.actual), desired: file(&change.desired), diff: change.diff.clone() };
        // What others write into the file stays theirs.
        hands.makes(&self.file.dest, true);
        self.file.fix(hands, &change, &Payload::inline(desired.text.as_bytes()))
    }

    /// Has the new text looked at, as [`FileSpec::rehearse`] does.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn rehearse(&self, probe: &Probe, change: &Change<Edited>) -> Result {
        let file = |state: &Option<Edited>| state.as_ref().map(|edited| edited.file.clone());
        let bytes = change.desired.as_ref().map(|edited| edited.text.as_bytes());
        let change = Change { actual: file(&change.actual), desired: file(&change.desired), diff: change.diff.clone() };
        self.file.rehearse(probe, &change, bytes)
    }

    /// The whole text of a state; empty where there is none.
    pub(crate) fn text(state: Option<&Edited>) -> &str {
        state.map_or("", |edited| edited.text.as_str())
    }

    /// What the change means to later steps of a check.
    pub(crate) fn effects(&self, desired: Option<&Edited>) -> Vec<Effect> {
        desired.map(|edited| self.file.effects(Some(&edited.file))).unwrap_or_default()
    }
}

/// The lines of a text, each with the line end it has; joined again they are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    /// The lines of a text.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.split_inclusive('\n').map(str::to_owned).collect())
    }

    /// The lines without their ends.
    pub(crate) fn bare(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.0.iter().map(|line| bare(line))
    }

    /// Puts a line in the place of another, whose line end it takes over.
    pub(crate) fn replace(&mut self, index: usize, line: &str) {
        if let Some(old) = self.0.get_mut(index) {
            let end = old[bare(old).len()..].to_owned();
            *old = format!("{line}{end}");
        }
    }

    /// Puts lines before the one at `index`, with the line end the file uses.
    pub(crate) fn insert<'a>(&mut self, index: usize, lines: impl IntoIterator<Item = &'a str>) {
        let end = self.end();
        // Only the last line can be without an end, and it is not the last any more.
        if let Some(last) =
            index.checked_sub(1).and_then(|before| self.0.get_mut(before)).filter(|l| !l.ends_with('\n'))
        {
            last.push_str(end);
        }
        let new: Vec<String> = lines.into_iter().map(|line| format!("{line}{end}")).collect();
        self.0.splice(index..index, new);
    }

    /// Takes the lines of a range out.
    pub(crate) fn remove(&mut self, range: std::ops::RangeInclusive<usize>) {
        self.0.drain(range);
    }

    /// Keeps the lines that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|line| keep(bare(line)));
    }

    /// Where new lines go: after the last line that `after` finds, before the first that `before` finds,
    /// or at the end when neither is given.
    ///
    /// # Errors
    /// When the line asked for is not there: anywhere else could be wrong.
    pub(crate) fn place(&self, after: Option<&Regex>, before: Option<&Regex>) -> Result<usize> {
        let missing = |name: &str, regex: &Regex| Error::step(format!("no line matches `{name}`: `{regex}`"));
        match (after, before) {
            (Some(after), _) => {
                let found = self.bare().rposition(|line| after.is_match(line));
                found.map(|index| index + 1).ok_or_else(|| missing("after", after))
            }
            (None, Some(before)) => {
                let found = self.bare().position(|line| before.is_match(line));
                found.ok_or_else(|| missing("before", before))
            }
            (None, None) => Ok(self.0.len()),
        }
    }

    /// The text again.
    pub(crate) fn text(&self) -> String {
        self.0.concat()
    }

    fn end(&self) -> &'static str {
        if self.0.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
    }
}

fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_after_one_without_an_end_gives_it_one() {
        let mut lines = Lines::of("a\nb");
        lines.insert(2, ["c"]);
        assert_eq!(lines.text(), "a\nb\nc\n");
    }

    #[test]
    fn line_ends_are_those_of_the_file() {
        let mut lines = Lines::of("a\r\nb");
        lines.replace(1, "B");
        lines.insert(1, ["x"]);
        assert_eq!(lines.text(), "a\r\nx\r\nB");
    }

    #[test]
    fn an_anchor_that_is_not_there_is_a_fault() {
        let error = Lines::of("a\n").place(Regex::new("^x").ok().as_ref(), None).unwrap_err();
        assert_eq!(error.message(), "no line matches `after`: `^x`");
    }

    proptest! {
        #[test]
        fn splitting_and_joining_keeps_every_byte(text in "[ab\r\n]{0,30}") {
            prop_assert_eq!(Lines::of(&text).text(), text);
        }
    }
}
