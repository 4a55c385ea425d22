//! What a step gives back to the script.

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};
use serde_json::Value;

use super::fault::throw;
use super::scope::scope;
use super::secret::Secret;
use super::shown::quoted;
use super::value::from_json;
use crate::change::Status;
use crate::error::{Error, Result};
use crate::op::Spec;
use crate::run::{Held, Outcome};

/// What every outcome has.
const FIELDS: [&str; 6] = ["changed", "status", "diff", "reason", "assumed", "digest"];

fn get(outcome: &Outcome, name: &str) -> Result<Dynamic> {
    let of = &outcome.of;
    match name {
        "changed" => return Ok(outcome.changed().into()),
        "status" => return Ok(serde_json::to_value(of.status).map(|v| from_json(&v)).unwrap_or_default()),
        "diff" => return Ok(serde_json::to_value(&of.diff).map(|v| from_json(&v)).unwrap_or_default()),
        "reason" => return Ok(of.reason.clone().map_or(Dynamic::UNIT, Into::into)),
        "assumed" => return Ok(of.assumed.into()),
        "digest" => return Ok(of.digest.clone().map_or(Dynamic::UNIT, Into::into)),
        _ => {}
    }
    if let Some(value) = of.values.get(name) {
        return Ok(from_json(value));
    }
    if matches!(of.status, Status::WouldRun | Status::Unknown | Status::WouldChange) {
        let why = of.reason.clone().unwrap_or_else(|| format!("`{}` has not run", outcome.op));
        return Err(Error::unknown(format!("depends on line {}: {why}", outcome.place.line)));
    }
    if of.status == Status::Skipped {
        let reason = of.reason.clone().unwrap_or_default();
        return Err(Error::playbook(format!("`{}` was skipped, so it has no `{name}`: {reason}", outcome.op)));
    }
    Err(unknown_field(&outcome.op, name, of.values.keys().map(String::as_str)))
}

fn unknown_field<'a>(op: &str, name: &str, values: impl Iterator<Item = &'a str> + Clone) -> Error {
    let known = FIELDS.iter().copied().chain(values);
    let error = Error::playbook(format!("the outcome of `{op}` has no `{name}`"));
    let listed = known.clone().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    error.suggest_or(name, known, format!("it has {listed}"))
}

/// The error for a field that no outcome of an operation has.
pub(super) fn has_no(spec: &Spec, name: &str) -> Option<Error> {
    let known = FIELDS.contains(&name) || spec.values.contains(&name);
    (!known).then(|| unknown_field(spec.name, name, spec.values.iter().copied()))
}

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Held>("Outcome");
    engine.register_indexer_get(|context: NativeCallContext, held: &mut Held, name: &str| -> Raised<Dynamic> {
        let outcome = held.look().map_err(|e| throw(&context, e))?;
        match (&outcome.of.digest, name) {
            (Some(digest), "digest") if outcome.secret => {
                let token = scope(&context)?.run.control.secrets.add("digest", digest);
                token.map(Secret::or_text).map_err(|e| throw(&context, e))
            }
            _ => match outcome.assumed.get(name).filter(|_| !outcome.of.values.contains_key(name)) {
                Some(assumed) => {
                    let scope = scope(&context)?;
                    scope.run.goes_on_with_an_assumption(scope.host.as_ref(), &outcome.place);
                    Ok(match assumed {
                        Value::String(text) => Secret::or_text(text.clone()),
                        other => from_json(other),
                    })
                }
                None => get(outcome, name).map_err(|e| throw(&context, e)),
            },
        }
    });
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |context: NativeCallContext, held: &mut Held| -> Raised<String> {
            // The fault of a step that waited is none of the value's.
            held.look().map_err(|e| throw(&context, e))?;
            Ok(quoted(&Dynamic::from(held.clone())))
        });
    }
}
