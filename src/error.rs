//! Faults as data: what went wrong, where, on which host, and what a reader may do about it.
//!
//! A message is a fragment in lower case without a full stop; what can be typed stands in backticks.
//! Nothing here prints or decides how a fault is shown.

mod detail;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use detail::Detail;

/// The result of everything in mk that can fail.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The class of a fault. It decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line was wrong.
    Usage,
    /// A playbook, template or one of its arguments was wrong.
    Playbook,
    /// The inventory was wrong.
    Inventory,
    /// A step failed on its host.
    Step,
    /// A guarantee a script asked for (`assert`, `fail`) did not hold.
    Assertion,
    /// The host could not be reached, or was lost.
    Unreachable,
    /// The host's key was not the one expected.
    HostKey,
    /// The host refused every way to log in, or to become another user.
    Auth,
    /// Another run holds the host.
    Locked,
    /// In check mode: the answer cannot be known before the run.
    Unknown,
    /// The user stopped the run.
    Interrupted,
    /// The other end of a connection broke the protocol.
    Protocol,
    /// A fault of mk itself.
    Internal,
}

impl Kind {
    /// The name scripts see as `e.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Playbook => "playbook",
            Self::Inventory => "inventory",
            Self::Step => "step",
            Self::Assertion => "assertion",
            Self::Unreachable => "unreachable",
            Self::HostKey => "host_key",
            Self::Auth => "auth",
            Self::Locked => "locked",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    /// Whether the fault ends the host's part in the run because it could not be talked to.
    pub fn is_connection(self) -> bool {
        matches!(self, Self::Unreachable | Self::HostKey | Self::Auth | Self::Protocol)
    }
}

/// A place in a text file. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: String,
    /// The line, from 1. Zero when only the file is known.
    pub line: usize,
    /// The column in characters, from 1. Zero when only the line is known.
    pub column: usize,
    /// How many characters to underline. Zero lets the renderer take the word that stands there.
    #[serde(default)]
    pub length: usize,
}

impl Place {
    /// A place whose extent is left to the renderer.
    pub fn new(file: impl Into<String>, line: usize, column: usize) -> Self {
        Self { file: file.into(), line, column, length: 0 }
    }

    /// The place where a text goes on after `before`, with which the file begins.
    #[cfg(feature = "control")]
    pub(crate) fn after(file: impl Into<String>, before: &str) -> Self {
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self::new(file, before.matches('\n').count() + 1, last.chars().count() + 1)
    }

    /// The same place, underlining `length` characters.
    #[must_use]
    pub fn spanning(mut self, length: usize) -> Self {
        self.length = length;
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One caller on the way to a fault, innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The function that was called, if it has a name.
    pub function: Option<String>,
    /// Where the call stands.
    pub place: Place,
}

/// A fault. Cheap to move: its parts are behind one box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Parts {
    kind: Kind,
    message: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    hints: Vec<String>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    place: Option<Place>,
    #[serde(default)]
    frames: Vec<Frame>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    step: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
    /// How many calls deep the script was where it belongs, and how many deeper where it was raised: a step that
    /// waited for the next one fails there.
    #[serde(skip)]
    depth: (Option<usize>, usize),
}

impl Error {
    /// A fault of `kind` saying `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            notes: Vec::new(),
            place: None,
            frames: Vec::new(),
            host: None,
            step: None,
            detail: None,
            depth: (None, 0),
        }))
    }

    /// A step that failed on its host.
    pub fn step(message: impl Into<String>) -> Self {
        Self::new(Kind::Step, message)
    }

    /// Something check mode cannot know, and why.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, reason)
    }

    /// A wrong playbook or argument.
    pub fn playbook(message: impl Into<String>) -> Self {
        Self::new(Kind::Playbook, message)
    }

    /// A wrong inventory.
    pub fn inventory(message: impl Into<String>) -> Self {
        Self::new(Kind::Inventory, message)
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A fault of mk itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds what caused it: shown below the message, outermost first.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.causes.push(cause.to_string());
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds a hint at the candidate that `name` was probably meant to be, if there is one.
    #[must_use]
    pub fn suggest<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The same, with another hint where there is no such candidate.
    #[must_use]
    pub fn suggest_or<'a>(
        self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
        otherwise: impl Into<String>,
    ) -> Self {
        match nearest(name, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self.hint(otherwise),
        }
    }

    /// Adds a block of text shown as it is, such as the last lines of a command's stderr.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Names the place, unless a nearer one is known already.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    /// Names the callers, innermost first.
    #[must_use]
    pub fn called_from(mut self, frames: Vec<Frame>) -> Self {
        self.0.frames = frames.into_iter().skip(self.0.depth.1).collect();
        self
    }

    /// Says how many calls deep the script was where this belongs.
    #[must_use]
    pub fn at_depth(mut self, calls: usize) -> Self {
        self.0.depth.0.get_or_insert(calls);
        self
    }

    /// Says how many calls deep the script is where this is raised: calls beyond where it belongs are no part of it.
    #[must_use]
    pub fn raised_at_depth(mut self, calls: usize) -> Self {
        if let Some(own) = self.0.depth.0.take() {
            self.0.depth.1 = calls.saturating_sub(own);
        }
        self
    }

    /// Names the host, unless one is named already.
    #[must_use]
    pub fn on(mut self, host: impl Into<String>) -> Self {
        self.0.host.get_or_insert_with(|| host.into());
        self
    }

    /// Names the step, unless one is named already.
    #[must_use]
    pub fn in_step(mut self, step: impl Into<String>) -> Self {
        self.0.step.get_or_insert_with(|| step.into());
        self
    }

    /// The same fault as another class.
    #[must_use]
    pub fn as_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Every text of the fault passed through `f`; how secrets are masked before a fault is shown.
    #[must_use]
    pub fn map_text(mut self, f: impl Fn(&str) -> String) -> Self {
        self.0.message = f(&self.0.message);
        for text in self.0.causes.iter_mut().chain(&mut self.0.hints).chain(&mut self.0.notes) {
            *text = f(text);
        }
        #[cfg(feature = "control")]
        if let Some(Detail::UnknownWord { field, .. }) = &mut self.0.detail {
            // A word that may be a piece of a secret is like nothing.
            self.0.detail = Some(Detail::Field(std::mem::take(field)));
        }
        self
    }

    /// Says what the code needs to know of it.
    #[must_use]
    pub fn detailed(mut self, detail: Detail) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// The same fault, about something that is named in front.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.0.message = format!("{name}: {}", self.0.message);
        self
    }

    /// What the code needs to know of it.
    pub fn detail(&self) -> Option<&Detail> {
        self.0.detail.as_ref()
    }

    /// Its class.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What caused it, outermost first.
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// What a reader may do.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// Blocks of text that belong to it.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// Where it stands in a file of the user's.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The callers, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.0.frames
    }

    /// The host it happened on.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// The step it happened in.
    pub fn step_name(&self) -> Option<&str> {
        self.0.step.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for cause in &self.0.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Turns a foreign error into one of ours, naming what was being done.
pub trait Context<T> {
    /// The failure as a step's, with what was attempted as its message: `or_step("cannot read `/x`")`.
    fn or_step(self, doing: impl FnOnce() -> String) -> Result<T>;

    /// The failure as one of `kind`.
    fn or_kind(self, kind: Kind, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn or_step(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.or_kind(Kind::Step, doing)
    }

    fn or_kind(self, kind: Kind, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(kind, doing()).because(e))
    }
}

/// The candidate nearest to `name`, if one is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("contents", ["content", "mode"]), Some("content"));
        assert_eq!(nearest("mdoe", ["content", "mode"]), Some("mode"));
        assert_eq!(nearest("xyzzy", ["content", "mode"]), None);
    }

    #[test]
    fn the_first_place_named_wins() {
        let e = Error::step("x").at(Place::new("a", 1, 2)).at(Place::new("b", 3, 4));
        assert_eq!(e.place().map(ToString::to_string).as_deref(), Some("a:1:2"));
    }
}
