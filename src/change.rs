//! States, the differences between them, and what came of a step.
//!
//! A state is any value that serialises to a map; a field that is absent from the desired state is not
//! managed. Everything shown, counted or asserted about a change is derived from here.

mod trace;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

pub(crate) use trace::{Left, Maker, Thing, Trace, traces};

/// The longest text, in bytes, that a state carries so that its diff can be shown line by line.
pub const SHOWN_TEXT: usize = 64 * 1024;

/// The bytes of a file, by digest; the text too where it is short enough to be shown.
///
/// Two contents are equal when their digests are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Content {
    /// Hex SHA-256 of the bytes.
    pub sha256: String,
    /// Length in bytes.
    pub size: u64,
    /// The text, when it is UTF-8 and at most [`SHOWN_TEXT`] long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Content {
    /// The content that `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: digest(bytes), size: bytes.len() as u64, text: Self::shown(bytes) }
    }

    /// The text that `bytes` are, when it may be shown.
    pub fn shown(bytes: &[u8]) -> Option<String> {
        (bytes.len() <= SHOWN_TEXT)
            .then(|| std::str::from_utf8(bytes).ok())
            .flatten()
            .filter(|text| !text.contains('\0'))
            .map(str::to_owned)
    }
}

/// Hex SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}

/// Random bytes that nobody can guess.
///
/// # Errors
/// When the kernel has none.
#[cfg(feature = "control")]
pub(crate) fn random(count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Error::internal("no random bytes").because(e))?;
    Ok(bytes)
}

/// About how many bytes a value is when it is written out.
#[cfg(feature = "control")]
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        _ => 8,
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What happens to the subject as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It was absent and is to be there.
    Create,
    /// It is there and differs.
    Modify,
    /// It is there and is to be absent.
    Remove,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The field's name in the state.
    pub name: String,
    /// What was there; `None` when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is to be there; `None` when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Everything that differs between what is and what should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// What happens to the subject.
    pub verb: Verb,
    /// The fields that differ, in the state's order.
    pub fields: Vec<Field>,
    /// The request carried a secret, so no value may be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A difference together with the two typed states it came from; what a fix works from.
#[derive(Debug, Clone)]
pub struct Change<S> {
    /// The state found; `None` when the subject is absent.
    pub actual: Option<S>,
    /// The state wanted; `None` when the subject must be absent.
    pub desired: Option<S>,
    /// How they differ.
    pub diff: Diff,
}

impl<S> Change<S> {
    /// Whether the field named differs.
    pub fn has(&self, field: &str) -> bool {
        self.diff.fields.iter().any(|f| f.name == field)
    }
}

/// Compares two states. `None` when every managed field already is as desired.
///
/// # Errors
/// When a state does not serialise to a map: a fault of the operation.
pub fn compare<S: Serialize>(actual: Option<&S>, desired: Option<&S>) -> Result<Option<Diff>> {
    Ok(differ(actual.map(to_map).transpose()?, desired.map(to_map).transpose()?))
}

/// What two states differ in, once they are maps; the same code for all operations.
fn differ(before: Option<Map<String, Value>>, after: Option<Map<String, Value>>) -> Option<Diff> {
    let verb = match (&before, &after) {
        (None, None) => return None,
        (None, Some(_)) => Verb::Create,
        (Some(_), None) => Verb::Remove,
        (Some(_), Some(_)) => Verb::Modify,
    };
    let mut fields = Vec::new();
    if let Some(after) = &after {
        for (name, wanted) in after {
            let found = before.as_ref().and_then(|map| map.get(name));
            if found.is_none_or(|found| !same(found, wanted)) {
                fields.push(Field { name: name.clone(), before: found.cloned(), after: Some(wanted.clone()) });
            }
        }
    } else if let Some(before) = before {
        fields.extend(before.into_iter().map(|(name, found)| Field { name, before: Some(found), after: None }));
    }
    let differs = verb != Verb::Modify || !fields.is_empty();
    differs.then_some(Diff { verb, fields, secret: false })
}

fn to_map<S: Serialize>(state: &S) -> Result<Map<String, Value>> {
    mapped(serde_json::to_value(state))
}

fn mapped(state: serde_json::Result<Value>) -> Result<Map<String, Value>> {
    match state {
        Ok(Value::Object(map)) => Ok(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Ok(other) => Err(Error::internal(format!("a state must be a map, not {other}"))),
        Err(e) => Err(Error::internal("a state does not serialise").because(e)),
    }
}

/// Equality of two values; contents are compared by digest alone, whatever text they carry.
fn same(a: &Value, b: &Value) -> bool {
    match (a.get("sha256"), b.get("sha256")) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing had to be done.
    Ok,
    /// Something was changed, and read back as wanted.
    Changed,
    /// Check mode: an apply would change it.
    WouldChange,
    /// Check mode: an apply would run it.
    WouldRun,
    /// Check mode: cannot be known before the run.
    Unknown,
    /// A guard said there is nothing to do.
    Skipped,
    /// A fact was read.
    Read,
}

impl Status {
    /// What `.changed` says: true also where an apply would change something or might.
    pub fn changed(self) -> bool {
        matches!(self, Self::Changed | Self::WouldChange | Self::WouldRun | Self::Unknown)
    }
}

/// What came of a step that did not fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// What differed, for a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
    /// What it returned: fields a script can read, such as `stdout`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub values: serde_json::Map<String, Value>,
    /// Why it was skipped or is unknown, or a remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A digest of the state left behind; what `restart_on` compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Microseconds the host spent on it.
    #[serde(default)]
    pub micros: u64,
}

impl Outcome {
    /// An outcome with nothing but its status.
    pub fn new(status: Status) -> Self {
        Self { status, diff: None, values: serde_json::Map::new(), reason: None, digest: None, micros: 0 }
    }

    /// The same outcome with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same outcome with a value a script can read.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct File {
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<&'static str>,
        content: Content,
    }

    #[test]
    fn a_field_left_out_of_the_desired_state_is_not_compared() {
        let actual = File { mode: Some("0600"), content: Content::of(b"x") };
        let desired = File { mode: None, content: Content::of(b"x") };
        assert_eq!(compare(Some(&actual), Some(&desired)).unwrap(), None);
    }

    #[test]
    fn contents_are_compared_by_digest_alone() {
        let mut without_text = Content::of(b"x");
        without_text.text = None;
        let actual = File { mode: None, content: Content::of(b"x") };
        let desired = File { mode: None, content: without_text };
        assert_eq!(compare(Some(&actual), Some(&desired)).unwrap(), None);
    }

    #[test]
    fn an_absent_subject_is_a_creation_even_without_fields() {
        #[derive(Serialize)]
        struct Empty {}
        let diff = compare(None, Some(&Empty {})).unwrap().unwrap();
        assert_eq!((diff.verb, diff.fields.len()), (Verb::Create, 0));
    }
}
