//! The playbooks that came to a good end, and what they were made from: what `--resume` skips.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::input_tracking::{Input, InputDigests};
use crate::change::digest;
use crate::error::{Context, Kind, Result};
use crate::state::StateDir;

/// The folder of mk's state that holds one file a playbook.
const FOLDER: &str = "completed";

/// What decides what a playbook does, beside what is on the hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// What it read on this side, with digests.
    #[serde(with = "pairs")]
    pub read: InputDigests,
    /// Digests of everything else, by what it is called.
    pub given: BTreeMap<String, String>,
    /// The machines it ran on, by host: each machine's own id.
    pub machines: BTreeMap<String, String>,
}

/// A playbook that came to a good end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedPlay {
    /// The playbook.
    pub playbook: String,
    /// When it ended, in UTC.
    pub at: String,
    /// What it was made from.
    pub inputs: Inputs,
}

impl Inputs {
    /// What of a playbook's inputs is another now, of those that this side knows: the first by name.
    pub fn changed(&self, given: &BTreeMap<String, String>, now: impl Fn(&Input) -> Option<String>) -> Option<String> {
        let read = self.read.iter().find(|(input, taken)| now(input).as_ref() != Some(*taken));
        let other = || {
            let names = self.given.keys().chain(given.keys());
            names.filter(|name| self.given.get(*name) != given.get(*name)).min().cloned()
        };
        read.map(|(input, _)| input.to_string()).or_else(other)
    }
}

/// The notes of all playbooks that came to a good end, in mk's state.
pub struct CompletedPlays(StateDir);

impl CompletedPlays {
    /// Those kept in a state.
    pub fn new(state: StateDir) -> Self {
        Self(state)
    }

    /// How a playbook completed that ran for these hosts and tasks; `None` when it never did.
    ///
    /// # Errors
    /// When mk's state cannot be read.
    pub fn get(&self, playbook: &str, scope: &str) -> Result<Option<CompletedPlay>> {
        // What another version wrote is no fault: the playbook runs, and is noted anew.
        Ok(self.0.read(&name(playbook, scope))?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Notes that a playbook completed.
    ///
    /// # Errors
    /// When mk's state cannot be written.
    pub fn put(&self, scope: &str, completed: &CompletedPlay) -> Result {
        let text = serde_json::to_string_pretty(completed);
        let text = text.or_kind(Kind::Internal, || "cannot encode mk's state".to_owned())?;
        self.0.put(&name(&completed.playbook, scope), &text)
    }

    /// Forgets every playbook that completed.
    ///
    /// # Errors
    /// When mk's state cannot be changed.
    pub fn forget_all(&self) -> Result {
        self.0.remove_all(FOLDER)
    }
}

/// Where a playbook is noted. Each limit and choice of tasks has a note of its own: one does not void another.
fn name(playbook: &str, scope: &str) -> String {
    let stem = std::path::Path::new(playbook).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    format!("{FOLDER}/{stem}-{}.json", &digest(format!("{playbook}\0{scope}").as_bytes())[..16])
}

/// A map whose keys are no text, as a list.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::InputDigests;

    pub(super) fn serialize<S: Serializer>(read: &InputDigests, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(read)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<InputDigests, D::Error> {
        Vec::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_completed_is_known_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let notes = CompletedPlays::new(StateDir::at(dir.path().join("s")));
        notes.forget_all().unwrap();
        let input = Input::Environment("A".to_owned());
        let inputs = Inputs { read: InputDigests::from([(input, "1".to_owned())]), ..Inputs::default() };
        let done = CompletedPlay { playbook: "/p/04-x.rhai".to_owned(), at: "then".to_owned(), inputs };
        notes.put("all", &done).unwrap();
        assert_eq!(notes.get("/p/04-x.rhai", "all").unwrap(), Some(done));
        assert_eq!(notes.get("/p/04-x.rhai", "some").unwrap(), None);
        assert_eq!(notes.get("/q/04-x.rhai", "all").unwrap(), None);
        notes.forget_all().unwrap();
        assert_eq!(notes.get("/p/04-x.rhai", "all").unwrap(), None);
    }

    #[test]
    fn the_first_input_that_is_another_is_named() {
        let input = Input::Environment("A".to_owned());
        let given = BTreeMap::from([("the hosts".to_owned(), "1".to_owned())]);
        let inputs =
            Inputs { read: InputDigests::from([(input, "x".to_owned())]), given: given.clone(), ..Inputs::default() };
        assert_eq!(inputs.changed(&given, |_| Some("x".to_owned())), None);
        assert_eq!(inputs.changed(&given, |_| None).unwrap(), "`A` of the environment");
        assert_eq!(inputs.changed(&BTreeMap::new(), |_| Some("x".to_owned())).unwrap(), "the hosts");
        let more = BTreeMap::from([("the hosts".to_owned(), "1".to_owned()), ("the tasks".to_owned(), "2".to_owned())]);
        assert_eq!(inputs.changed(&more, |_| Some("x".to_owned())).unwrap(), "the tasks");
    }
}
