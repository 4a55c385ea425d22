//! Variables: their values, where each came from, and which of several wins.
//!
//! A host's variables are layers, lowest first. Layers of groups are shared between hosts. Nothing is
//! merged: the highest layer that has a key gives its whole value, and the others stay to be asked for.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Place, Result};

use super::model::Host;
use super::names;
use super::yaml::Node;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What gave it: ``group `workers` ``, `host`, `command line`, or what the caller named.
    pub label: String,
    /// The key in the file that gave it, when a file did.
    pub place: Option<Place>,
}

/// A value that something gave to a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// The name scripts ask for.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Variable {
    /// A variable that came from `label`, such as `command line`, and from no file.
    pub fn new(key: impl Into<String>, value: Value, label: impl Into<String>) -> Self {
        Self { key: key.into(), value, origin: Origin { label: label.into(), place: None } }
    }

    /// The same variable, given at `place`.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.origin.place = Some(place);
        self
    }
}

/// Variables from outside the inventory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// Those that everything in the inventory beats, such as the project's.
    pub defaults: Vec<Variable>,
    /// Those that beat everything in the inventory. Of two with one key the later wins.
    pub command_line: Vec<Variable>,
}

/// Variables of one source, in the order given; of two with one key the later wins.
pub(super) type Layer = Arc<[Variable]>;

/// The entries of a map as variables from `label`. `what` names the map in errors.
pub(super) fn variables(node: Node, what: &str, label: &str) -> Result<Vec<Variable>> {
    let variable = |(key, value): (super::yaml::Text, Node)| {
        Variable::new(key.text, value.to_value(), label).at(key.at.place())
    };
    Ok(node.entries(what)?.into_iter().map(variable).collect())
}

impl Host {
    /// Every variable with the value that wins, keys in the order they were first given.
    pub fn vars(&self) -> Map<String, Value> {
        self.all_variables().map(|variable| (variable.key.clone(), variable.value.clone())).collect()
    }

    /// The value of one variable.
    pub fn var(&self, key: &str) -> Option<&Value> {
        self.candidates(key).next().map(|winner| &winner.value)
    }

    /// Everything that gave a value to `key`, from the one that wins to the one every other beats.
    ///
    /// # Errors
    /// When nothing gives it a value.
    pub fn why(&self, key: &str) -> Result<Vec<&Variable>> {
        let chain: Vec<_> = self.candidates(key).collect();
        if !chain.is_empty() {
            return Ok(chain);
        }
        let fault = Error::inventory(format!("the host `{}` has no variable `{key}`", self.name));
        Err(names::suggest(fault, key, self.all_variables().map(|variable| variable.key.as_str())))
    }

    fn all_variables(&self) -> impl Iterator<Item = &Variable> {
        self.layers.iter().flat_map(|layer| layer.iter())
    }

    fn candidates(&self, key: &str) -> impl Iterator<Item = &Variable> {
        self.layers.iter().rev().flat_map(|layer| layer.iter().rev()).filter(move |variable| variable.key == key)
    }
}
