//! A trace of a creation: what a step brought into being on its host, so that it can be taken away again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Place;

/// Something that was not on the host before, and the call that takes it away again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// The operation that takes it away.
    pub op: String,
    /// What it is called: a path, a user's name. No two things of one operation have the same.
    pub subject: String,
    /// The parameters with which the operation takes it away.
    pub args: Map<String, Value>,
}

impl Thing {
    /// A thing that `op` takes away with these parameters, given as a map.
    pub fn new(op: &str, subject: impl Into<String>, args: Value) -> Self {
        let args = if let Value::Object(args) = args { args } else { Map::new() };
        Self { op: op.to_owned(), subject: subject.into(), args }
    }
}

/// One change of what there is on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trace {
    /// A thing was made.
    Made(Thing),
    /// A thing is there no more.
    Gone {
        /// As of [`Thing`].
        op: String,
        /// As of [`Thing`].
        subject: String,
    },
    /// Nothing is at this path any more, nor below it.
    Below(PathBuf),
}

/// Who made something: what the ledger keeps beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Maker {
    /// The place of the call in the playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The user it acted as, when not the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What a step made and nobody has taken into a ledger yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// What.
    pub trace: Trace,
    /// By which call.
    pub maker: Maker,
}

/// What became of things: those that are there only now, and those that were there only before.
pub(crate) fn traces(before: &[Thing], now: &[Thing]) -> Vec<Trace> {
    let names = |things: &[Thing]| -> BTreeSet<(String, String)> {
        super::set_of(things.iter().map(|thing| (thing.op.clone(), thing.subject.clone())))
    };
    let (old, new) = (names(before), names(now));
    let lacks =
        |names: &BTreeSet<(String, String)>, thing: &Thing| !names.contains(&(thing.op.clone(), thing.subject.clone()));
    let gone = before.iter().filter(|thing| lacks(&new, thing));
    let gone = gone.map(|thing| Trace::Gone { op: thing.op.clone(), subject: thing.subject.clone() });
    gone.chain(now.iter().filter(|thing| lacks(&old, thing)).cloned().map(Trace::Made)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_new_is_made_and_only_what_was_there_is_gone() {
        let thing = |name: &str| Thing::new("user", name, json!({ "name": name, "state": "absent" }));
        let found = traces(&[thing("old"), thing("kept")], &[thing("kept"), thing("new")]);
        let gone = Trace::Gone { op: "user".to_owned(), subject: "old".to_owned() };
        assert_eq!(found, [gone, Trace::Made(thing("new"))]);
    }
}
