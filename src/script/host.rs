//! A host as a script sees it.

use rhai::{Array, Dynamic, Engine, EvalAltResult, NativeCallContext};
use serde_json::json;

use super::fault::{place, throw};
use super::registry::Registry;
use super::scope::scope;
use super::value::{from_json, from_map, to_json};
use crate::error::{Error, Kind, Result, nearest};
use crate::run::{self, Host, Unmade};
use crate::state::Entry;

/// What every host has.
pub(super) const FIELDS: [&str; 5] = ["name", "vars", "groups", "facts", "user"];

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

fn get(context: &NativeCallContext, host: &Host, name: &str) -> Raised<Dynamic> {
    match name {
        "name" => Ok(host.name.clone().into()),
        "vars" => Ok(from_map(&host.run.vars(&host.name)).into()),
        "groups" => Ok(from_json(&json!(host.groups()))),
        "user" => Ok(host.user.clone().map_or(Dynamic::UNIT, Into::into)),
        "facts" => {
            let at = place(context.call_source(), context.call_position());
            let facts = run::facts(&scope(context)?, host, at, context.call_level());
            facts.map(|facts| from_map(&facts).into()).map_err(|e| throw(context, e))
        }
        _ => Err(throw(context, no_field(host, name))),
    }
}

fn no_field(host: &Host, name: &str) -> Error {
    match nearest(name, FIELDS) {
        None if host.run.vars(&host.name).contains_key(name) => {
            Error::playbook(format!("a host has no `{name}`")).hint(format!("its variable is `host.vars.{name}`"))
        }
        _ => has_no(name),
    }
}

/// The error for a field that no host has.
pub(super) fn has_no(name: &str) -> Error {
    let listed = "it has `name`, `vars`, `groups`, `facts` and the operations that `mk doc` lists";
    Error::playbook(format!("a host has no `{name}`")).suggest_or(name, FIELDS, listed)
}

fn var(host: &Host, name: &str) -> Result<Dynamic> {
    let vars = host.run.vars(&host.name);
    vars.get(name).map(from_json).ok_or_else(|| {
        let error = Error::playbook(format!("`{}` has no variable `{name}`", host.name));
        let otherwise = format!("`mk vars {}` lists its variables", host.name);
        // The playbook is not wrong for the others.
        error.suggest_or(name, vars.keys().map(String::as_str), otherwise).as_kind(Kind::Inventory)
    })
}

pub(super) fn register(engine: &mut Engine, registry: &mut Registry) {
    engine.register_type_with_name::<Host>("Host");
    engine.register_indexer_get(|context: NativeCallContext, host: &mut Host, name: &str| -> Raised<Dynamic> {
        get(&context, host, name)
    });
    engine.register_fn("==", |a: &mut Host, b: Host| a.name == b.name && a.user == b.user);
    engine.register_fn("!=", |a: &mut Host, b: Host| a.name != b.name || a.user != b.user);
    registry.add("as_user", |host: &mut Host, user: &str| host.acting_as(Some(user.to_owned())));
    registry.add("get", |context: NativeCallContext, host: &mut Host, name: &str| -> Raised<Dynamic> {
        var(host, name).map_err(|e| throw(&context, e))
    });
    registry.add("get", |host: &mut Host, name: &str, otherwise: Dynamic| var(host, name).unwrap_or(otherwise));
    registry.add("in_group", |host: &mut Host, group: &str| host.groups().iter().any(|name| name == group));
    registry.add("flush_notified", |context: NativeCallContext, host: &mut Host| -> Raised<()> {
        run::flush(&scope(&context)?, host).map_err(|e| throw(&context, e))
    });
    learning(registry);
    unmaking(registry);
}

fn learning(registry: &mut Registry) {
    registry.add("learn", |context: NativeCallContext, host: &mut Host, name: &str, value: Dynamic| -> Raised<()> {
        let value = to_json(&value).map_err(|e| throw(&context, e))?;
        if host.run.control.secrets.shows(&value) {
            let error = Error::playbook(
                "this holds a secret, which cannot be learned: what is learned is shown and kept in the clear",
            );
            return Err(throw(&context, error));
        }
        let place = place(context.call_source(), context.call_position());
        host.run.learn(&host.name, name, value, &place).map_err(|e| throw(&context, e))
    });
    registry.add("unlearn", |context: NativeCallContext, host: &mut Host, name: &str| -> Raised<()> {
        host.run.unlearn(&host.name, name).map_err(|e| throw(&context, e))
    });
}

fn unmaking(registry: &mut Registry) {
    registry.add("made", |context: NativeCallContext, host: &mut Host| -> Raised<Dynamic> {
        let made = host.run.fleet.made(&host.name).map_err(|e| throw(&context, e))?;
        Ok(from_json(&json!(made)))
    });
    registry.add("unmake", |context: NativeCallContext, host: &mut Host, things: Array| -> Raised<Dynamic> {
        let at = place(context.call_source(), context.call_position());
        let scope = scope(&context)?;
        if !scope.wanted {
            return Ok(from_json(&json!({ "removed": [], "kept": [] })));
        }
        let unmade = entries(things).and_then(|things| run::unmake(&scope, host, &things, &at));
        let Unmade { removed, kept } = unmade.map_err(|e| throw(&context, e))?;
        Ok(from_json(&json!({ "removed": removed, "kept": kept })))
    });
}

fn entries(things: Array) -> Result<Vec<Entry>> {
    let entries = serde_json::from_value(to_json(&Dynamic::from(things))?);
    entries.map_err(|e| Error::playbook(format!("unmake: it takes what `made` gives: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_entry_is_refused() {
        let error = entries(vec![Dynamic::from("x")]).unwrap_err();
        assert!(error.to_string().contains("it takes what `made` gives"), "{error}");
    }
}
