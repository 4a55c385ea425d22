//! Taking nodes apart: what is expected of them, and what is said when they are something else.

use crate::error::Result;

use super::names;
use super::yaml::{At, Node, Text, Yaml};

impl Node {
    /// The node as a map; nothing is an empty one. `what` names it in errors.
    pub(super) fn entries(self, what: &str) -> Result<Vec<(Text, Self)>> {
        match self.kind {
            Yaml::Map(entries) => Ok(entries),
            Yaml::Null => Ok(Vec::new()),
            other => Err(self.at.fault(format!("{what} must be a map, not {}", other.noun()))),
        }
    }

    /// The node as a list.
    pub(super) fn items(self, what: &str) -> Result<Vec<Self>> {
        match self.kind {
            Yaml::List(items) => Ok(items),
            other => Err(self.at.fault(format!("{what} must be a list, not {}", other.noun()))),
        }
    }

    /// The node as text that is not empty.
    pub(super) fn text(self, what: &str) -> Result<Text> {
        match self.kind {
            Yaml::Text(text) if text.is_empty() => Err(self.at.fault(format!("{what} is empty"))),
            Yaml::Text(text) => Ok(Text { text, at: self.at }),
            // A number reads as text only with its own spelling, which is lost; so it must be quoted.
            other => Err(self.at.fault(format!("{what} must be text, not {}", other.noun()))),
        }
    }

    /// The node as a list of texts.
    pub(super) fn texts(self, what: &str) -> Result<Vec<Text>> {
        let each = format!("each of {what}");
        self.items(what)?.into_iter().map(|item| item.text(&each)).collect()
    }
}

/// The entries of a map whose keys are fixed.
pub(super) struct Fields {
    /// Where the map stands.
    pub(super) at: At,
    entries: Vec<(Text, Node)>,
}

impl Fields {
    /// Takes `node` apart, which must be a map with no keys but those `known`.
    pub(super) fn of(node: Node, what: &str, known: &[&str]) -> Result<Self> {
        let at = node.at.clone();
        let entries = node.entries(what)?;
        for (key, _) in &entries {
            if !known.contains(&key.text.as_str()) {
                if known.is_empty() {
                    return Err(key.at.fault(format!("unknown key `{}` in {what}, which has none", key.text)));
                }
                let list = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                let fault = key.at.fault(format!("unknown key `{}` in {what}, expected one of {list}", key.text));
                return Err(names::suggest(fault, &key.text, known.iter().copied()));
            }
        }
        Ok(Self { at, entries })
    }

    /// The value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(known, _)| known.text == key)?;
        Some(self.entries.swap_remove(index).1)
    }
}
