//! Variables and their precedence: their values, where each came from, and which of several wins.
//!
//! A host's variables are layers, lowest first. Layers of groups are shared between hosts. Nothing is
//! merged: the highest layer that has a key gives its whole value, and the others stay to be asked for.

use std::collections::BTreeMap;
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

/// How the origin of a variable begins that a playbook learned of its host; what follows is the place of the call.
pub(crate) const LEARNED: &str = "learned by";

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
    /// Those that playbooks have learned of a host: they beat everything in the inventory.
    pub learned: BTreeMap<String, Vec<Variable>>,
    /// Those that beat all others. Of two with one key the later wins.
    pub command_line: Vec<Variable>,
}

/// Variables of one source, in the order given; of two with one key the later wins.
pub(super) type Layer = Arc<[Variable]>;

/// The entries of a map as variables from `label`. `what` names the map in errors.
pub(super) fn variables(node: Node, what: &str, label: &str) -> Result<Vec<Variable>> {
    let variable =
        |(key, value): (super::yaml::Text, Node)| Variable::new(key.text, value.to_value(), label).at(key.at.place());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{line, load, load_files};
    use super::*;

    const INVENTORY: &str = "\
vars: { k: vars }
groups:
  zoo: { children: [low, mid], vars: { k: zoo } }
  mid: { children: [low], vars: { k: mid } }
  low: { hosts: [h], vars: { k: low } }
  ape: { hosts: [h], vars: { k: ape } }
hosts:
  h: { vars: { k: host } }
";

    /// The chain for `k`, as labels with places.
    fn chain(files: &[(&str, &[u8])], extras: &Extras) -> Vec<String> {
        let inventory = load_files(files, extras).unwrap();
        let shown = |variable: &&Variable| {
            let place = variable.origin.place.as_ref().map(|place| {
                let file = place.file.rsplit_once("inventory.yml").map_or_else(
                    || place.file.rsplitn(3, '/').take(2).collect::<Vec<_>>().join(" in "),
                    |_| "inventory.yml".to_owned(),
                );
                format!(" {file}:{}:{}", place.line, place.column)
            });
            format!("{} {}{}", variable.value, variable.origin.label, place.unwrap_or_default())
        };
        inventory.why("h", "k").unwrap().iter().map(shown).collect()
    }

    #[test]
    fn the_nearer_to_the_host_the_higher() {
        let extras = Extras {
            defaults: vec![Variable::new("k", json!("toml"), "mk.toml")],
            learned: BTreeMap::from([("h".to_owned(), vec![Variable::new("k", json!("seen"), "learned by p.rhai:1")])]),
            command_line: vec![
                Variable::new("k", json!("first"), "command line"),
                Variable::new("k", json!("second"), "command line"),
            ],
        };
        let files: &[(&str, &[u8])] = &[
            ("inventory.yml", INVENTORY.as_bytes()),
            ("group_vars/all.yml", b"k: all file"),
            ("group_vars/mid.yml", b"\nk: mid file"),
            ("host_vars/h.yml", b"k: host file"),
        ];
        assert_eq!(
            chain(files, &extras),
            [
                "\"second\" command line",
                "\"first\" command line",
                "\"seen\" learned by p.rhai:1",
                "\"host file\" host h.yml in host_vars:1:1",
                "\"host\" host inventory.yml:8:16",
                "\"low\" group `low` inventory.yml:5:30",
                "\"mid file\" group `mid` mid.yml in group_vars:2:1",
                "\"mid\" group `mid` inventory.yml:4:35",
                "\"zoo\" group `zoo` inventory.yml:3:40",
                "\"ape\" group `ape` inventory.yml:6:30",
                "\"all file\" group `all` all.yml in group_vars:1:1",
                "\"vars\" group `all` inventory.yml:1:9",
                "\"toml\" mk.toml",
            ]
        );
    }

    #[test]
    fn whole_values_replace_and_are_not_merged() {
        let inventory =
            load("vars: { m: { a: 1, b: 2 }, l: [1, 2] }\nhosts: { h: { vars: { m: { a: 3 }, l: [] } }, i: }");
        let inventory = inventory.unwrap();
        assert_eq!(Value::Object(inventory.vars("h").unwrap()), json!({"m": {"a": 3}, "l": []}));
        assert_eq!(inventory.host("i").unwrap().var("m"), Some(&json!({"a": 1, "b": 2})));
        assert_eq!(inventory.host("i").unwrap().var("x"), None);
    }

    #[test]
    fn variables_of_the_ungrouped_reach_only_them() {
        let files: &[(&str, &[u8])] = &[
            ("inventory.yml", b"groups: { g: { hosts: [a] } }\nhosts: { a: , b: }"),
            ("group_vars/ungrouped.yml", b"k: 1"),
        ];
        let inventory = load_files(files, &Extras::default()).unwrap();
        assert_eq!(
            (inventory.host("a").unwrap().var("k"), inventory.host("b").unwrap().var("k")),
            (None, Some(&json!(1)))
        );
    }

    #[test]
    fn a_range_fills_its_numbers_into_values_but_not_into_keys() {
        let inventory = load(
            "hosts:\n  'w-[08..09]': { vars: { ip: '10.0.0.{n}', deep: [{ '{n}': '{name} {{ n }}' }], port: 3 } }\n  \
             x: { vars: { format: '%{name} {n}' } }",
        )
        .unwrap();
        assert_eq!(
            Value::Object(inventory.vars("w-09").unwrap()),
            json!({"ip": "10.0.0.09", "deep": [{"{n}": "w-09 {{ n }}"}], "port": 3})
        );
        assert_eq!(inventory.vars("x").unwrap()["format"], "%{name} {n}");
    }

    #[test]
    fn an_unknown_variable_or_host_is_refused() {
        let inventory = load("hosts: { web-1: { vars: { node_ip: 1 } } }").unwrap();
        let complaint = |host, key| line(&inventory.why(host, key).unwrap_err());
        assert_eq!(
            complaint("web-1", "node_pi"),
            "the host `web-1` has no variable `node_pi` (did you mean `node_ip`?)"
        );
        assert_eq!(complaint("web-1", "x"), "the host `web-1` has no variable `x`");
        assert_eq!(complaint("wbe-1", "x"), "no host is called `wbe-1` (did you mean `web-1`?)");
        assert_eq!(line(&inventory.vars("db").unwrap_err()), "no host is called `db`");
    }
}
