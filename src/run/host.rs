//! A host of a run, and the user to act as on it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::running::Run;

/// A host, and the user to act as on it. Copies are the same host.
#[derive(Clone)]
pub(crate) struct Host {
    /// Its name in the inventory.
    pub(crate) name: String,
    /// The user that steps act as; `None` for the one that mk acts as there.
    pub(crate) user: Option<String>,
    /// The run that it takes part in.
    pub(crate) run: Arc<Run>,
}

impl Host {
    /// The host of that name, acted on as mk does.
    pub(crate) fn new(run: &Arc<Run>, name: &str) -> Self {
        Self { name: name.to_owned(), user: None, run: Arc::clone(run) }
    }

    /// The same host, acted on as another user.
    pub(crate) fn acting_as(&self, user: Option<String>) -> Self {
        Self { user, ..self.clone() }
    }

    /// The groups that it is in; none for one that the inventory does not have.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.run.inventory.host(&self.name).map(|host| host.groups.clone()).unwrap_or_default()
    }

    /// The host as templates and parameters see it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "name": self.name, "groups": self.groups(), "vars": self.run.vars(&self.name) })
    }
}
