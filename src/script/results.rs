//! What `on` gives back: what each host returned, or why it failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, NativeCallContext};

use super::fault::throw;
use crate::error::Error;
use crate::run::{Host, Run};

/// The results of one `on`.
#[derive(Clone)]
pub(super) struct Results {
    pub(super) run: Arc<Run>,
    pub(super) order: Vec<String>,
    pub(super) values: BTreeMap<String, Dynamic>,
    pub(super) errors: BTreeMap<String, Error>,
    /// In a check: the hosts whose value nobody knows yet, and why.
    pub(super) unpredicted: BTreeMap<String, Error>,
}

impl Results {
    /// Those of an `on` that has not begun.
    pub(super) fn new(run: &Arc<Run>, order: Vec<String>) -> Self {
        let run = Arc::clone(run);
        Self { run, order, values: BTreeMap::new(), errors: BTreeMap::new(), unpredicted: BTreeMap::new() }
    }

    pub(super) fn get(&self, name: &str) -> Result<Dynamic, Error> {
        match name {
            // A check takes for granted that what it does not know goes well.
            "ok" => {
                let ok = |host: &str| self.values.contains_key(host) || self.unpredicted.contains_key(host);
                return Ok(self.hosts(ok).into());
            }
            "failed" => return Ok(self.hosts(|host| self.errors.contains_key(host)).into()),
            "values" if !self.unpredicted.is_empty() => return Err(self.unknown(None)),
            "values" => return Ok(self.values.iter().map(|(k, v)| (k.into(), v.clone())).collect::<Map>().into()),
            "errors" => {
                return Ok(self
                    .errors
                    .iter()
                    .map(|(k, e)| (k.into(), Dynamic::from(e.clone())))
                    .collect::<Map>()
                    .into());
            }
            _ => {}
        }
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        if let Some(error) = self.errors.get(name) {
            return Err(Error::new(error.kind(), format!("`{name}` failed, so it has no result")).because(error));
        }
        if self.unpredicted.contains_key(name) {
            return Err(self.unknown(Some(name)));
        }
        let error = Error::playbook(format!("`{name}` is not among the hosts of this `on`"));
        Err(error.suggest(name, self.order.iter().map(String::as_str)))
    }

    /// That the value of a host, or of one of them, is not known.
    fn unknown(&self, host: Option<&str>) -> Error {
        let first = self.unpredicted.iter().find(|(name, _)| host.is_none_or(|host| host == name.as_str()));
        match first {
            Some((name, error)) => Error::unknown(error.message()).because(format!("on `{name}`")),
            None => Error::internal("an unknown value of a host that is known"),
        }
    }

    fn hosts(&self, which: impl Fn(&str) -> bool) -> Array {
        self.order.iter().filter(|name| which(name)).map(|name| Dynamic::from(Host::new(&self.run, name))).collect()
    }
}

type Raised = Result<Dynamic, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Results>("Results");
    engine.register_indexer_get(|context: NativeCallContext, results: &mut Results, name: &str| -> Raised {
        results.get(name).map_err(|e| throw(&context, e))
    });
    engine.register_indexer_get(|context: NativeCallContext, results: &mut Results, host: Host| -> Raised {
        results.get(&host.name).map_err(|e| throw(&context, e))
    });
}
