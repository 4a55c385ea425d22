//! For whom and from where a step's parameters are resolved.

use serde_json::{Map, Value};

use super::artifacts::{Artifacts, MIRROR, Stored, release_arch};
use super::sources;
use crate::error::Result;
use crate::wire::Mode;

/// For whom and from where a step is resolved.
pub struct ResolveContext<'a> {
    /// The script that makes the call.
    pub base: sources::Base,
    /// What templates can name: the host's variables, `host` and so on. Few steps ask.
    pub names: &'a dyn Fn() -> Map<String, Value>,
    /// The host.
    pub host: &'a str,
    /// Check or apply: a check leaves nothing behind on this side either.
    pub mode: Mode,
    /// The architecture of the host, as its kernel names it. Asking connects to the host when nothing has yet.
    pub arch: &'a dyn Fn() -> Result<String>,
}

impl ResolveContext<'_> {
    /// An artifact of the project's lock, for the host's architecture.
    pub(super) fn artifact(&self, artifacts: &Artifacts, name: &str, version: Option<&str>) -> Result<Stored> {
        let names = (self.names)();
        let mirror = names.get(MIRROR).and_then(Value::as_str).filter(|mirror| !mirror.is_empty());
        let machine = (self.arch)()?;
        let found = artifacts.find(name, version, release_arch(&machine), mirror)?;
        artifacts.get(&found)
    }
}
