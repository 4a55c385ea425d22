//! What is done to each host of a pattern without a playbook, as by `mk do`, `mk facts` and `mk agent remove`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use super::args::{Common, Connecting, Reach};
use super::exit::of_run;
use super::out;
use super::setup::{self, Ready, Telling};
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::script::{Run, Settings};

/// The hosts of a pattern. `local` is this machine also where no inventory names it.
pub(super) fn named(run: &Run, pattern: &str) -> Result<Vec<String>> {
    match pattern {
        "local" if run.inventory.host("local").is_err() => Ok(vec!["local".to_owned()]),
        pattern => Ok(run.inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect()),
    }
}

/// Does something on several hosts, as many at a time as the forks allow, and gives what failed.
pub(super) fn each(run: &Arc<Run>, names: Vec<String>, work: impl Fn(&str) -> Result + Sync) -> Vec<Error> {
    let next = Mutex::new(names.into_iter());
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

/// A run in which nothing is told but what the command itself prints and what fails.
pub(super) fn silent(common: &Common, reach: &Reach) -> Result<Ready> {
    let folder = std::env::current_dir().unwrap_or_default();
    let connecting = Connecting { reach: reach.clone(), quiet: true, ..Connecting::default() };
    setup::ready(&folder, common, &connecting, Settings::default(), None, Telling { aside: true, ..Telling::default() })
}

/// Tells that a run without a playbook begins.
pub(super) fn started(run: &Run, name: String) {
    run.events.tell(EventKind::RunStarted {
        playbook: name,
        inventory: run.inventory.file().display().to_string(),
        mode: run.fleet.mode(),
    });
}

/// Prints the faults of hosts outside of any step: one that failed was shown when it did.
pub(super) fn tell_unsaid(faults: &[Error]) {
    faults.iter().filter(|fault| fault.step_name().is_none()).for_each(out::fault);
}

/// Prints faults that no reporter has shown, and gives the exit code.
pub(super) fn ended(faults: &[Error]) -> ExitCode {
    for fault in faults {
        out::fault(fault);
    }
    ExitCode::from(of_run(faults.iter(), false))
}
