//! `raw`: a command on the bare connection, for hosts where no agent can run.

use std::time::Instant;

use serde_json::Value;

use super::host::Host;
use crate::change::{Outcome, Status};
use crate::error::Result;
use crate::event::TimeSpentOn;
use crate::fleet::Call;
use crate::op::HumanDuration;
use crate::wire::Mode;

/// Runs the command.
pub(super) fn raw(host: &Host, call: &Call) -> Result<Outcome> {
    let mut args = call.args.clone();
    host.run.control.secrets.reveal(&mut args);
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reads = call.args.get("reads").and_then(Value::as_bool).unwrap_or(false);
    if call.mode == Mode::Check && !reads {
        return Ok(Outcome::new(Status::WouldRun));
    }
    let limit: HumanDuration = call
        .args
        .get("timeout")
        .cloned()
        .and_then(|v| serde_json::from_value(v).ok())
        .unwrap_or(HumanDuration::secs(300));
    let (sent, events) = (Instant::now(), &host.run.events);
    let raw = host.run.fleet.raw(&host.name, &text("command"), text("stdin").as_bytes(), limit.0);
    let now = Instant::now();
    // Nobody there says what of it was the command.
    events.spent(TimeSpentOn::Network, Some(&host.name), None, (sent, now));
    events.spent(TimeSpentOn::Control, Some(&host.name), Some(call.step.id), (call.begun, now));
    let raw = raw?;
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = if reads { Status::Read } else { Status::Changed };
    Ok(Outcome::new(status).with("stdout", shown(&raw.stdout)).with("stderr", shown(&raw.stderr)))
}
