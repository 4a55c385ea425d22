//! A host as a script sees it.

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};
use serde_json::{Value, json};

use super::fault::{place, throw};
use super::running::Run;
use super::value::{from_json, from_map, to_json};
use crate::error::{Error, Result, nearest};

/// A host, and the user to act as on it. It has a private copy in every closure; copies are the same host.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) run: Arc<Run>,
}

const FIELDS: [&str; 5] = ["name", "vars", "groups", "facts", "user"];

impl Host {
    pub(super) fn new(run: &Arc<Run>, name: &str) -> Self {
        Self { name: name.to_owned(), user: None, run: Arc::clone(run) }
    }

    /// The host as templates and parameters see it.
    pub(super) fn to_json(&self) -> Value {
        json!({ "name": self.name, "groups": self.groups(), "vars": self.run.vars(&self.name) })
    }

    fn groups(&self) -> Vec<String> {
        self.run.inventory.host(&self.name).map(|host| host.groups.clone()).unwrap_or_default()
    }

    fn get(&self, context: &NativeCallContext, name: &str) -> Result<Dynamic> {
        match name {
            "name" => Ok(self.name.clone().into()),
            "vars" => Ok(from_map(&self.run.vars(&self.name)).into()),
            "groups" => Ok(from_json(&json!(self.groups()))),
            "user" => Ok(self.user.clone().map_or(Dynamic::UNIT, Into::into)),
            "facts" => super::step::facts(context, self).map(|facts| from_map(&facts).into()),
            _ => {
                let error = Error::playbook(format!("a host has no `{name}`"));
                Err(match nearest(name, FIELDS) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None if self.run.vars(&self.name).contains_key(name) => {
                        error.hint(format!("its variable is `host.vars.{name}`"))
                    }
                    None => {
                        error.hint("it has `name`, `vars`, `groups`, `facts` and the operations that `mk doc` lists")
                    }
                })
            }
        }
    }

    fn var(&self, name: &str) -> Result<Dynamic> {
        let vars = self.run.vars(&self.name);
        vars.get(name).map(from_json).ok_or_else(|| {
            let error = Error::playbook(format!("`{}` has no variable `{name}`", self.name));
            let otherwise = format!("`mk vars {}` lists its variables", self.name);
            error.suggest_or(name, vars.keys().map(String::as_str), otherwise)
        })
    }
}

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Host>("Host");
    engine.register_indexer_get(|context: NativeCallContext, host: &mut Host, name: &str| -> Raised<Dynamic> {
        host.get(&context, name).map_err(|e| throw(&context, e))
    });
    engine.register_fn("as_user", |host: &mut Host, user: &str| Host { user: Some(user.to_owned()), ..host.clone() });
    engine.register_fn("get", |context: NativeCallContext, host: &mut Host, name: &str| -> Raised<Dynamic> {
        host.var(name).map_err(|e| throw(&context, e))
    });
    engine.register_fn("get", |host: &mut Host, name: &str, otherwise: Dynamic| host.var(name).unwrap_or(otherwise));
    engine.register_fn(
        "learn",
        |context: NativeCallContext, host: &mut Host, name: &str, value: Dynamic| -> Raised<()> {
            let value = to_json(&value).map_err(|e| throw(&context, e))?;
            if host.run.control.secrets.shows(&value) {
                let error = Error::playbook(
                    "this holds a secret, which cannot be learned: what is learned is shown and kept in the clear",
                );
                return Err(throw(&context, error));
            }
            let place = place(context.call_source(), context.call_position());
            host.run.learn(&host.name, name, value, &place).map_err(|e| throw(&context, e))
        },
    );
    engine.register_fn("unlearn", |context: NativeCallContext, host: &mut Host, name: &str| -> Raised<()> {
        host.run.unlearn(&host.name, name).map_err(|e| throw(&context, e))
    });
    engine.register_fn("in_group", |host: &mut Host, group: &str| host.groups().iter().any(|name| name == group));
    engine.register_fn("flush_notified", |context: NativeCallContext, host: &mut Host| -> Raised<()> {
        super::pipelining::first(&context)?;
        super::notified::flush(host).map_err(|e| throw(&context, e))
    });
    engine.register_fn("to_string", |host: &mut Host| host.name.clone());
    engine.register_fn("to_debug", |host: &mut Host| format!("host({})", host.name));
    engine.register_fn("==", |a: &mut Host, b: Host| a.name == b.name && a.user == b.user);
    engine.register_fn("!=", |a: &mut Host, b: Host| a.name != b.name || a.user != b.user);
}
