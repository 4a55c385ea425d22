//! For whom and from where a step's parameters are resolved, and what this side keeps of an outcome.

use serde_json::{Map, Value};

use super::artifacts::{MIRROR, Stored, release_arch};
use super::{Control, sources};
use crate::change::Outcome;
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

impl Control {
    /// What this side keeps of an outcome before the script sees it.
    ///
    /// # Errors
    /// A secret that cannot be kept.
    pub fn kept(&self, args: &Value, outcome: &mut Outcome) -> Result {
        if args.get("secret_output").and_then(Value::as_bool) == Some(true) {
            for name in ["stdout", "stderr"] {
                let said = outcome.values.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                if !said.is_empty() {
                    let label = format!("output {}", crate::change::digest(said.as_bytes()));
                    outcome
                        .values
                        .insert(name.to_owned(), Value::from(self.secrets.add(&label, said.trim_end_matches('\n'))?));
                }
            }
        }
        Ok(())
    }

    /// An artifact of the project's lock, for the host's architecture.
    pub(super) fn artifact(&self, name: &str, version: Option<&str>, context: &ResolveContext) -> Result<Stored> {
        let names = (context.names)();
        let mirror = names.get(MIRROR).and_then(Value::as_str).filter(|mirror| !mirror.is_empty());
        let machine = (context.arch)()?;
        let found = self.artifacts.find(name, version, release_arch(&machine), mirror)?;
        self.artifacts.get(&found)
    }
}
