//! What is done to each host of a pattern without a playbook, as by `mk do`, `mk facts` and `mk agent remove`.

use std::process::ExitCode;

use super::args::{Common, Connecting, Reach};
use super::exit::of_run;
use super::out;
use super::setup::{self, Ready, Telling};
use crate::error::{Error, Result};
use crate::report::Recap;
use crate::run::{Run, Settings};

/// The hosts of a pattern. `local` is this machine also where no inventory names it.
pub(super) fn named(run: &Run, pattern: &str) -> Result<Vec<String>> {
    match pattern {
        "local" if run.inventory.host("local").is_err() => Ok(vec!["local".to_owned()]),
        pattern => Ok(run.inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect()),
    }
}

/// A run in which nothing is told but what the command itself prints and what fails.
pub(super) fn silent(common: &Common, reach: &Reach) -> Result<Ready> {
    let folder = std::env::current_dir().unwrap_or_default();
    let connecting = Connecting { reach: reach.clone(), quiet: true, ..Connecting::default() };
    setup::ready(&folder, common, &connecting, Settings::default(), None, Telling { aside: true, ..Telling::default() })
}

/// Ends a run without a playbook, prints what no reporter has shown, and gives the exit code; `changes` says of the
/// counts whether a check found some.
pub(super) fn finished(ready: Ready, faults: &[Error], changes: impl Fn(&Recap) -> bool) -> ExitCode {
    let recap = ready.end();
    // A host that failed in a step was shown when it did.
    faults.iter().filter(|fault| fault.step_name().is_none()).for_each(out::fault);
    ExitCode::from(of_run(faults.iter().chain(&recap.unwritten), changes(&recap)))
}
