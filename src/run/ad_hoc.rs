//! One operation on a host, without a playbook: what `mk do` does.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::dispatch::Ready;
use super::host::Host;
use super::resolved::Wanted;
use super::running::Run;
use super::scope::Scope;
use crate::change::Outcome;
use crate::control::Base;
use crate::error::{Place, Result};
use crate::inventory::COMMAND_LINE;

/// Runs it. Files on this side are found from the folder `base`.
///
/// # Errors
/// The step's fault.
pub(crate) fn ad_hoc(run: &Arc<Run>, host: &str, op: &str, args: Map<String, Value>, base: &Path) -> Result<Outcome> {
    let (scope, host) = (Scope::new(run), Host::new(run, host));
    let begun = std::time::Instant::now();
    let spec = crate::ops::find(op)?;
    let wanted = Wanted::resolve(&host, spec, args, &Base::File(base.join(COMMAND_LINE)))?;
    let mut ready = Ready::new(&scope, &host, spec, wanted, Place::new(COMMAND_LINE, 0, 0));
    ready.begun = begun;
    let sent = ready.send(0)?;
    ready.done(&sent, &sent.outcome)?;
    Ok(sent.outcome.of)
}
