//! What came of a step, for those who look at it and for steps that are given it.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};

use super::pipelining::Waiting;
use super::scope::Scope;
use crate::change::Status;
use crate::error::{Error, Place, Result};

/// An outcome, and which step it came from.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// What the host said.
    pub(crate) of: crate::change::Outcome,
    /// The operation.
    pub(crate) op: String,
    /// The place of the call.
    pub(crate) place: Place,
    /// Its parameters hold a secret, which whoever has the digest could try to guess.
    pub(crate) secret: bool,
    /// What a check takes to have come of it, where it cannot know.
    pub(crate) assumed: Map<String, Value>,
}

impl Outcome {
    /// One with nothing assumed of it and no secret in its parameters.
    pub(crate) fn plain(of: crate::change::Outcome, op: &str, place: Place) -> Self {
        Self { of, op: op.to_owned(), place, secret: false, assumed: Map::new() }
    }

    /// Whether the step changed something, or would.
    pub(crate) fn changed(&self) -> bool {
        self.of.status.changed()
    }

    /// What stands for it among the parameters of another step.
    ///
    /// # Errors
    /// For an action, which leaves no state behind that could be compared in a later run.
    pub(crate) fn stand_in(&self) -> Result<Value> {
        let unknown = self.of.status == Status::Unknown;
        let Some(digest) = self.of.digest.clone().or_else(|| unknown.then(|| "not known yet".to_owned())) else {
            return Err(Error::playbook(format!(
                "the outcome of `{}` leaves no state that a later run could compare",
                self.op
            ))
            .hint("let the step notify instead: `notify: later(\"service\", \"NAME\", #{ action: \"restart\" })`"));
        };
        let mut map = serde_json::Map::from_iter([("digest".to_owned(), json!(digest))]);
        if let Some(path) = self.of.values.get("path") {
            map.insert("path".to_owned(), path.clone());
        }
        Ok(Value::Object(map))
    }
}

/// An outcome that somebody holds. That of a step that waits for the next one comes when somebody looks at it.
#[derive(Clone)]
pub(crate) struct Held {
    came: Arc<OnceLock<Outcome>>,
    /// Where its step waits, if it does.
    waiting: Arc<Waiting>,
}

impl Held {
    /// That of a step which is not sent yet.
    pub(super) fn new(scope: &Scope) -> Self {
        Self { came: Arc::default(), waiting: Arc::clone(&scope.waiting) }
    }

    /// One that is there already.
    pub(crate) fn known(outcome: Outcome) -> Self {
        Self { came: Arc::new(outcome.into()), waiting: Arc::default() }
    }

    /// Takes what came of the step.
    pub(super) fn came(&self, outcome: Outcome) {
        let _ = self.came.set(outcome);
    }

    /// What came of the step; sends it first where it still waits.
    ///
    /// # Errors
    /// The fault of the first step that fails then.
    pub(crate) fn look(&self) -> Result<&Outcome> {
        if self.came.get().is_none() {
            self.waiting.look()?;
        }
        self.came.get().ok_or_else(|| Error::internal("the outcome of a step that was never sent"))
    }
}
