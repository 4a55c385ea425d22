//! What is done to each of some hosts without a playbook, as by `mk do`, `mk facts` and `mk prune`.

use std::sync::{Arc, Mutex, PoisonError};

use super::running::Run;
use crate::error::{Error, Result};
use crate::event::EventKind;

/// A whole run without a playbook: `work` on each of these hosts, as many at a time as the forks allow, and then what
/// the run has left to do. A host whose work fails is out of the run. Gives the faults.
pub(crate) fn on_each(
    run: &Arc<Run>,
    name: &str,
    hosts: Vec<String>,
    work: impl Fn(&str) -> Result + Sync,
    then: impl FnOnce(&Arc<Run>) -> Result,
) -> Vec<Error> {
    run.started(name);
    let mut faults = each(run, hosts, |host| work(host).inspect_err(|error| run.fail(host, error)));
    faults.extend(then(run).err());
    run.events.tell(EventKind::RunDone { error: None });
    faults
}

/// The same without telling of it.
pub(crate) fn each(run: &Run, hosts: Vec<String>, work: impl Fn(&str) -> Result + Sync) -> Vec<Error> {
    let next = Mutex::new(hosts.into_iter());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..run.fleet.forks() {
            scope.spawn(|| {
                loop {
                    let host = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(host) = host else { return };
                    if let Err(error) = work(&host) {
                        faults.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    }
                }
            });
        }
    });
    faults.into_inner().unwrap_or_else(PoisonError::into_inner)
}
