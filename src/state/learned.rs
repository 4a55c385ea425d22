//! Variables that playbooks have learned of hosts, such as an address that a network gave out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StateDir;
use crate::error::{Context, Kind, Result};

const FILE: &str = "learned.json";

/// A value, and the place in a script that gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The value.
    pub value: Value,
    /// `FILE:LINE` of the call.
    pub by: String,
}

/// What is known, by host and then by key.
pub(crate) type ByHost = BTreeMap<String, BTreeMap<String, Learned>>;

impl StateDir {
    /// All that playbooks have learned.
    ///
    /// # Errors
    /// When the state cannot be read, or is not what mk wrote.
    pub fn learned(&self) -> Result<ByHost> {
        self.of_hosts().read(FILE)?.map_or_else(|| Ok(ByHost::new()), |text| decode(&text))
    }

    /// Keeps a value of a host's variable. Says whether it is another than before.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn learn(&self, host: &str, key: &str, learned: Learned) -> Result<bool> {
        let state = self.of_hosts();
        let _lock = state.lock()?;
        let mut all = self.learned()?;
        let known = all.entry(host.to_owned()).or_default().insert(key.to_owned(), learned.clone());
        if known.is_some_and(|known| known.value == learned.value) {
            return Ok(false);
        }
        state.keep_learned(&all)?;
        Ok(true)
    }

    /// Forgets what was learned of a host's variable. Says whether there was anything.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn unlearn(&self, host: &str, key: &str) -> Result<bool> {
        let state = self.of_hosts();
        let _lock = state.lock()?;
        let mut all = self.learned()?;
        if all.get_mut(host).and_then(|known| known.remove(key)).is_none() {
            return Ok(false);
        }
        state.keep_learned(&all)?;
        Ok(true)
    }

    fn keep_learned(&self, all: &ByHost) -> Result {
        let text = serde_json::to_string_pretty(all).or_kind(Kind::Internal, || "cannot encode mk's state".to_owned());
        self.write(FILE, &text?)
    }

    /// The part that is the inventory's alone.
    pub(super) fn of_hosts(&self) -> Self {
        Self { folder: self.hosts.clone(), hosts: self.hosts.clone() }
    }
}

fn decode(text: &str) -> Result<ByHost> {
    serde_json::from_str(text).or_kind(Kind::Internal, || format!("mk's state `{FILE}` is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_there_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("s"));
        assert!(state.learned().unwrap().is_empty());
        let value = |text: &str| Learned { value: text.into(), by: "p.rhai:1".to_owned() };
        assert!(state.learn("a", "node_ip", value("100.64.0.1")).unwrap());
        assert!(!state.learn("a", "node_ip", value("100.64.0.1")).unwrap());
        assert!(state.learn("a", "node_ip", value("100.64.0.2")).unwrap());
        assert!(state.learn("b", "node_ip", value("100.64.0.3")).unwrap());
        let all = state.learned().unwrap();
        assert_eq!(all["a"]["node_ip"], value("100.64.0.2"));
        assert_eq!(all["b"]["node_ip"], value("100.64.0.3"));
        assert!(state.unlearn("a", "node_ip").unwrap());
        assert!(!state.unlearn("a", "node_ip").unwrap() && !state.unlearn("c", "node_ip").unwrap());
        let all = state.learned().unwrap();
        assert!(all["a"].is_empty(), "{all:?}");
        assert_eq!(all["b"]["node_ip"], value("100.64.0.3"));
    }

    #[test]
    fn damage_is_told_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().to_owned());
        let file = dir.path().join("hosts").join(FILE);
        std::fs::create_dir(dir.path().join("hosts")).unwrap();
        std::fs::write(&file, "{").unwrap();
        let error = state.learn("a", "k", Learned { value: 1.into(), by: String::new() }).unwrap_err();
        assert!(error.to_string().contains("learned.json` is damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
    }
}
