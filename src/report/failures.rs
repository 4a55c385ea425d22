//! The steps that failed: those that cost a host or the run, and those that the script caught and went on (rescued).

use crate::error::{Error, Kind};
use crate::event::{Event, EventKind, Step};

/// The failed steps of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures(Vec<Failed>);

#[derive(Debug, Clone)]
struct Failed {
    id: u64,
    host: String,
    error: Error,
    /// The script did more on this host.
    went_on: bool,
    /// The host's part in the run ended with it, or the run did.
    ended: bool,
}

impl Failed {
    fn new(step: &Step, error: &Error) -> Self {
        // What the user stopped, a host that is lost, and what no line of the script called, no script can catch.
        let ended = error.kind() == Kind::Interrupted || error.kind().is_connection() || step.place.is_none();
        Self { id: step.id, host: step.host.clone(), error: error.clone(), went_on: false, ended }
    }

    /// Whether this is what ended a host's part, or the run. Callers and a place may have been added on the way.
    fn is(&self, error: &Error) -> bool {
        let places = (self.error.place(), error.place());
        self.error.message() == error.message() && (places.0 == places.1 || places.0.is_none() || places.1.is_none())
    }
}

impl Failures {
    /// Takes an event; says whether other steps than before count as failed or caught.
    pub(super) fn add(&mut self, event: &Event) -> bool {
        match &event.what {
            EventKind::StepFailed { step, error, .. } => self.0.push(Failed::new(step, error)),
            EventKind::StepStarted { step } => {
                self.0.iter_mut().filter(|failed| failed.host == step.host).for_each(|failed| failed.went_on = true);
                return false;
            }
            EventKind::HostFailed { host, error } | EventKind::HostKept { host, error } => self.ends(host, error),
            EventKind::RunDone { error: Some(error) } => {
                self.ends(error.host().unwrap_or_default(), error);
                // Of several hosts that failed at once, the run ends with the error of one.
                self.0.iter_mut().filter(|failed| !failed.went_on).for_each(|failed| failed.ended = true);
            }
            _ => return false,
        }
        true
    }

    /// The same error may have been caught before.
    fn ends(&mut self, host: &str, error: &Error) {
        if let Some(failed) = self.0.iter_mut().rev().find(|failed| failed.host == host && failed.is(error)) {
            failed.ended = true;
        }
    }

    /// Whether a step failed and the script went on.
    pub(super) fn is_caught(&self, step: u64) -> bool {
        self.0.iter().any(|failed| failed.id == step && !failed.ended)
    }

    /// How many steps of a host failed, and how many of them the script caught.
    pub(super) fn of_host(&self, host: &str) -> (usize, usize) {
        let ended = |ended| self.0.iter().filter(|failed| failed.host == host && failed.ended == ended).count();
        (ended(true), ended(false))
    }

    /// Whether any step cost a host or the run.
    pub(super) fn is_any_ended(&self) -> bool {
        self.0.iter().any(|failed| failed.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    fn step(id: u64, host: &str) -> Step {
        let (op, subject, place) = ("run".to_owned(), "false".to_owned(), Some(Place::new("p.rhai", 1, 1)));
        Step { id, host: host.to_owned(), op, subject, user: None, place, task: None }
    }

    fn after(all: impl IntoIterator<Item = EventKind>) -> Failures {
        let mut failures = Failures::default();
        all.into_iter().for_each(|what| _ = failures.add(&Event { v: 1, ms: 0, what }));
        failures
    }

    fn failed(id: u64, host: &str, message: &str) -> EventKind {
        let error = Error::step(message).on(host).in_step("run").at(Place::new("p.rhai", 1, 1));
        EventKind::StepFailed { step: step(id, host), error, took: 1 }
    }

    #[test]
    fn the_last_of_equal_failures_is_the_one_that_ended_the_host() {
        let lost = EventKind::HostFailed { host: "a".to_owned(), error: Error::step("x").on("a") };
        let failures = after([failed(1, "a", "x"), failed(2, "a", "x"), failed(3, "b", "x"), lost]);
        assert_eq!([1, 2, 3].map(|id| failures.is_caught(id)), [true, false, true]);
        assert_eq!((failures.of_host("a"), failures.of_host("b")), ((1, 1), (0, 1)));
    }

    #[test]
    fn a_run_that_ends_with_an_error_leaves_nothing_caught_but_what_the_script_went_on_after() {
        let ended = EventKind::RunDone { error: Some(Error::playbook("something else")) };
        let on = EventKind::StepStarted { step: step(9, "a") };
        let failures = after([failed(1, "a", "x"), on, failed(3, "b", "x"), ended]);
        assert_eq!([1, 3].map(|id| failures.is_caught(id)), [true, false]);
    }

    #[test]
    fn what_the_user_stopped_and_a_host_that_is_lost_are_never_caught() {
        for kind in [Kind::Interrupted, Kind::Unreachable] {
            let failures = after([EventKind::StepFailed { step: step(1, "a"), error: Error::new(kind, "x"), took: 1 }]);
            assert!(!failures.is_caught(1));
        }
    }
}
