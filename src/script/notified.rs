//! The steps that others notified, at the end of their `on`.

use std::time::Instant;

use serde_json::Value;

use super::here::here;
use super::host::Host;
use crate::control::has_secret_output;
use crate::error::Result;
use crate::event::{Step, What};
use crate::fleet::Call;

/// Runs the steps that were notified on a host, each once.
pub(super) fn flush(host: &Host) -> Result {
    let world = &host.world;
    for (notified, at) in world.take_notified(&host.name) {
        let begun = Instant::now();
        let text = |field: &str| notified.get(field).and_then(Value::as_str).map(str::to_owned);
        let op = text("op").unwrap_or_default();
        let step = Step {
            id: world.fleet.next_id(),
            host: host.name.clone(),
            op: op.clone(),
            subject: text("subject").unwrap_or_default(),
            user: text("user"),
            place: Some(at.clone()),
            task: here().task,
        };
        let call = Call {
            host: host.name.clone(),
            step: step.clone(),
            args: notified.get("args").cloned().unwrap_or_default(),
            mode: world.fleet.mode(),
            reads: false,
            notify: None,
            settles: Some(notified.clone()),
            stream: world.settings.stream && !notified.get("args").is_some_and(has_secret_output),
            begun,
        };
        world.events.tell(What::StepStarted { step: step.clone() });
        let result = world.fleet.call(&call);
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(mut outcome) => {
                world.control.kept(&call.args, &mut outcome)?;
                world.events.tell(What::StepDone { step, outcome, took });
            }
            Err(error) => {
                let error = world.control.hushed(&call.args, error).in_step(op).at(at);
                world.events.tell(What::StepFailed { step, error: error.clone(), took });
                return Err(error);
            }
        }
    }
    Ok(())
}
