//! Handlers: the steps that others notified, at the end of their `on`, when a script asks for it, and those that earlier runs left.

use std::sync::Arc;

use super::dispatch::Ready;
use super::host::Host;
use super::resolved::Wanted;
use super::running::Run;
use super::scope::Scope;
use crate::error::Result;
use crate::fleet::Notified;

/// Runs the steps that were notified on a host, each once.
///
/// # Errors
/// The fault of the first that fails.
pub(crate) fn flush(scope: &Scope, host: &Host) -> Result {
    for notified in scope.run.take_notified(&host.name) {
        let id = scope.run.fleet.id_of(&host.name, &notified);
        run_notified(scope, host, &notified, id)?;
    }
    Ok(())
}

/// The same for the hosts of steps that stood outside of any `on`, at the end of the run.
///
/// # Errors
/// The fault of the first that fails.
pub(crate) fn flush_outside(scope: &Scope) -> Result {
    scope.run.hosts_notified().iter().try_for_each(|name| flush(scope, &Host::new(&scope.run, name)))
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
    let scope = Scope::new(run).in_task("left by an earlier run").of_host(host);
    let due = run.fleet.due_earlier(host).into_iter().filter(|(id, _)| only.is_none_or(|only| only == id));
    due.into_iter().try_for_each(|(id, notified)| run_notified(&scope, &Host::new(run, host), &notified, Some(id)))
}

/// Runs one as any other step is run, and strikes it off when it went well.
fn run_notified(scope: &Scope, host: &Host, notified: &Notified, id: Option<String>) -> Result {
    let spec = crate::ops::find(&notified.op)?;
    let acting = host.acting_as(notified.user.clone());
    let wanted = Wanted { args: notified.args.clone(), responder: notified.responder.clone() };
    let mut ready = Ready::new(scope, &acting, spec, wanted, notified.place.clone());
    ready.settles = id;
    let name = || format!("{} {}", notified.op, notified.subject);
    let _turn = notified.at_once.map(|most| scope.run.throttle(&name()).enter(most));
    let sent = ready.send(0)?;
    ready.done(&sent, &sent.outcome)
}
