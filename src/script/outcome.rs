//! What a step gives back to the script.

use std::sync::{Arc, OnceLock};

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};
use serde_json::{Value, json};

use super::fault::throw;
use super::pipelining;
use super::value::from_json;
use crate::change::Status;
use crate::error::{Error, Place, Result};

/// An outcome, and which step it came from.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) of: crate::change::Outcome,
    pub(super) op: String,
    pub(super) place: Place,
}

/// An outcome as a script holds it. That of a step that waits for the next one comes when somebody looks at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<OnceLock<Outcome>>);

impl Held {
    /// Takes what came of the step.
    pub(super) fn came(&self, outcome: Outcome) {
        let _ = self.0.set(outcome);
    }

    /// What came of the step; sends it first where it still waits.
    ///
    /// # Errors
    /// The fault of the first step that fails then.
    pub(super) fn look(&self) -> Result<&Outcome> {
        if self.0.get().is_none() {
            pipelining::flush()?;
        }
        self.0.get().ok_or_else(|| Error::internal("the outcome of a step that was never sent"))
    }
}

impl From<Outcome> for Held {
    fn from(outcome: Outcome) -> Self {
        Self(Arc::new(outcome.into()))
    }
}

/// What every outcome has.
const FIELDS: [&str; 5] = ["changed", "status", "diff", "reason", "digest"];

impl Outcome {
    /// Whether the step changed something, or would.
    pub(super) fn changed(&self) -> bool {
        self.of.status.changed()
    }

    /// What stands for it among the parameters of another step.
    ///
    /// # Errors
    /// For an action, which leaves no state behind that could be compared in a later run.
    pub(super) fn stand_in(&self) -> Result<Value> {
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

    fn get(&self, name: &str) -> Result<Dynamic> {
        match name {
            "changed" => return Ok(self.changed().into()),
            "status" => return Ok(serde_json::to_value(self.of.status).map(|v| from_json(&v)).unwrap_or_default()),
            "diff" => return Ok(serde_json::to_value(&self.of.diff).map(|v| from_json(&v)).unwrap_or_default()),
            "reason" => return Ok(self.of.reason.clone().map_or(Dynamic::UNIT, Into::into)),
            "digest" => return Ok(self.of.digest.clone().map_or(Dynamic::UNIT, Into::into)),
            _ => {}
        }
        if let Some(value) = self.of.values.get(name) {
            return Ok(from_json(value));
        }
        if matches!(self.of.status, Status::WouldRun | Status::Unknown | Status::WouldChange) {
            let why = self.of.reason.clone().unwrap_or_else(|| format!("`{}` has not run", self.op));
            return Err(Error::unknown(format!("depends on line {}: {why}", self.place.line)));
        }
        if self.of.status == Status::Skipped {
            let reason = self.of.reason.clone().unwrap_or_default();
            return Err(Error::playbook(format!("`{}` was skipped, so it has no `{name}`: {reason}", self.op)));
        }
        let known = FIELDS.iter().copied().chain(self.of.values.keys().map(String::as_str));
        let error = Error::playbook(format!("the outcome of `{}` has no `{name}`", self.op));
        let listed = known.clone().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
        Err(error.suggest_or(name, known, format!("it has {listed}")))
    }
}

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Held>("Outcome");
    engine.register_indexer_get(|context: NativeCallContext, held: &mut Held, name: &str| -> Raised<Dynamic> {
        held.look().and_then(|outcome| outcome.get(name)).map_err(|e| throw(&context, e))
    });
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |context: NativeCallContext, held: &mut Held| -> Raised<String> {
            let outcome = held.look().map_err(|e| throw(&context, e))?;
            Ok(format!("{}: {:?}", outcome.op, outcome.of.status))
        });
    }
}
