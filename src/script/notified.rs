//! The steps that others notified: at the end of their `on`, when a script asks for it, and those that earlier runs left.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::host::Host;
use super::scope::current_scope;
use super::world::World;
use crate::control::has_secret_output;
use crate::error::Result;
use crate::event::{EventKind, Step};
use crate::fleet::{Call, Notified};

/// Runs the steps that were notified on a host, each once.
pub(super) fn flush(host: &Host) -> Result {
    let world = &host.world;
    for notified in world.take_notified(&host.name) {
        let id = world.fleet.id_of(&host.name, &notified);
        run(world, &host.name, &notified, id, current_scope().task)?;
    }
    Ok(())
}

/// Runs what earlier runs left on the hosts of this one: at its end, when the steps that may mend what they need have
/// run. On a host that failed they stay due. Gives the first fault.
///
/// # Errors
/// The step's fault; it stays due.
pub fn flush_earlier(world: &Arc<World>) -> Result {
    let hosts = world.fleet.hosts_due_earlier();
    let failed = hosts.iter().filter(|host| world.failure(host).is_none()).filter_map(|host| {
        let result = earlier(world, host, None);
        result.inspect_err(|error| world.fail(host, error)).err()
    });
    failed.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
}

/// Runs what earlier runs left on one host, or one step of it.
///
/// # Errors
/// The step's fault; it stays due.
pub fn earlier(world: &Arc<World>, host: &str, only: Option<&str>) -> Result {
    for (id, notified) in world.fleet.due_earlier(host) {
        if only.is_none_or(|only| only == id) {
            run(world, host, &notified, Some(id), Some("left by an earlier run".to_owned()))?;
        }
    }
    Ok(())
}

fn run(world: &World, host: &str, notified: &Notified, id: Option<String>, task: Option<String>) -> Result {
    let begun = Instant::now();
    let step = Step {
        id: world.fleet.next_id(),
        host: host.to_owned(),
        op: notified.op.clone(),
        subject: notified.subject.clone(),
        user: notified.user.clone(),
        place: Some(notified.place.clone()),
        task,
    };
    let call = Call {
        host: host.to_owned(),
        step: step.clone(),
        args: Value::Object(notified.args.clone()),
        responder: notified.responder.clone(),
        mode: world.fleet.mode(),
        reads: false,
        notify: Vec::new(),
        settles: id,
        stream: world.settings.stream && !has_secret_output(&Value::Object(notified.args.clone())),
        begun,
    };
    let _turn =
        notified.at_once.map(|most| world.throttle(&format!("{} {}", notified.op, notified.subject)).enter(most));
    world.events.tell(EventKind::StepStarted { step: step.clone() });
    let result = world.fleet.call(&call);
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(mut outcome) => {
            world.control.kept(&call.args, &mut outcome)?;
            world.events.tell(EventKind::StepDone { step, outcome, took });
            Ok(())
        }
        Err(error) => {
            let error = world.control.hushed(&call.args, error).in_step(&notified.op).at(notified.place.clone());
            world.events.tell(EventKind::StepFailed { step, error: error.clone(), took });
            Err(error)
        }
    }
}
