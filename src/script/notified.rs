//! The steps that others notified: at the end of their `on`, when a script asks for it, and those that earlier runs left.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::host::Host;
use super::running::Run;
use super::scope::current_scope;
use crate::control::has_secret_output;
use crate::error::Result;
use crate::event::{EventKind, Step};
use crate::fleet::{Call, Notified};

/// Runs the steps that were notified on a host, each once.
pub(super) fn flush(host: &Host) -> Result {
    let run = &host.run;
    for notified in run.take_notified(&host.name) {
        let id = run.fleet.id_of(&host.name, &notified);
        run_notified(run, &host.name, &notified, id, current_scope().task)?;
    }
    Ok(())
}

/// Runs what earlier runs left on the hosts of this one: at its end, when the steps that may mend what they need have
/// run. On a host that failed they stay due. Gives the first fault.
///
/// # Errors
/// The step's fault; it stays due.
pub(crate) fn flush_earlier(run: &Arc<Run>) -> Result {
    let hosts = run.fleet.hosts_due_earlier();
    let failed = hosts.iter().filter(|host| run.failure(host).is_none()).filter_map(|host| {
        let result = earlier(run, host, None);
        result.inspect_err(|error| run.fail(host, error)).err()
    });
    failed.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
}

/// Runs what earlier runs left on one host, or one step of it.
///
/// # Errors
/// The step's fault; it stays due.
pub(crate) fn earlier(run: &Arc<Run>, host: &str, only: Option<&str>) -> Result {
    for (id, notified) in run.fleet.due_earlier(host) {
        if only.is_none_or(|only| only == id) {
            run_notified(run, host, &notified, Some(id), Some("left by an earlier run".to_owned()))?;
        }
    }
    Ok(())
}

fn run_notified(run: &Run, host: &str, notified: &Notified, id: Option<String>, task: Option<String>) -> Result {
    let begun = Instant::now();
    let step = Step {
        id: run.fleet.next_id(),
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
        mode: run.fleet.mode(),
        reads: false,
        notify: Vec::new(),
        settles: id,
        stream: run.settings.stream && !has_secret_output(&Value::Object(notified.args.clone())),
        begun,
    };
    let _turn = notified.at_once.map(|most| run.throttle(&format!("{} {}", notified.op, notified.subject)).enter(most));
    run.events.tell(EventKind::StepStarted { step: step.clone() });
    let result = run.fleet.call(&call);
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(mut outcome) => {
            run.control.kept(&call.args, &mut outcome)?;
            run.events.tell(EventKind::StepDone { step, outcome, took });
            Ok(())
        }
        Err(error) => {
            let error = run.control.hushed(&call.args, error).in_step(&notified.op).at(notified.place.clone());
            run.events.tell(EventKind::StepFailed { step, error: error.clone(), took });
            Err(error)
        }
    }
}
