//! Counting what happened.

use std::collections::BTreeMap;

use super::failures::Failures;
use crate::change::Status;
use crate::error::{Error, Place};
use crate::event::{Event, EventKind};

/// How many steps of a host ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Nothing had to be done, or something was only read.
    pub ok: usize,
    /// Something was changed, or would be.
    pub changed: usize,
    /// How many of those are foretold on an assumption.
    pub assumed: usize,
    /// A guard said there was nothing to do.
    pub skipped: usize,
    /// Check mode could not know.
    pub unknown: usize,
    /// The step failed.
    pub failed: usize,
    /// The step failed, and the script caught that and went on.
    pub caught: usize,
}

/// The counts of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recap {
    /// By host.
    pub hosts: BTreeMap<String, Counts>,
    /// The hosts that are out, and why.
    pub lost: BTreeMap<String, Error>,
    /// The hosts whose further steps a check could not predict, and why.
    pub unpredicted: BTreeMap<String, String>,
    /// Whether a check ended before the script did, because the rest depends on what it cannot know.
    pub cut_short: bool,
    /// The playbooks that were skipped because they completed before.
    pub skipped: Vec<String>,
    /// Milliseconds the run took.
    pub ms: u64,
    /// What could not be written of what was to be told: reports, the log, standard output.
    pub unwritten: Vec<Error>,
    /// The steps that failed.
    pub(super) failures: Failures,
}

impl Recap {
    /// Takes an event into the counts.
    pub(crate) fn add(&mut self, event: &Event) {
        self.ms = self.ms.max(event.ms);
        let judged = self.failures.add(event);
        match &event.what {
            EventKind::Connected { host, .. } => drop(self.hosts.entry(host.clone()).or_default()),
            EventKind::StepDone { step, outcome, .. } => {
                let counts = self.hosts.entry(step.host.clone()).or_default();
                counts.assumed += usize::from(outcome.assumed);
                match outcome.status {
                    Status::Ok | Status::Read => counts.ok += 1,
                    Status::Changed | Status::WouldChange | Status::WouldRun => counts.changed += 1,
                    Status::Skipped => counts.skipped += 1,
                    Status::Unknown => counts.unknown += 1,
                }
            }
            EventKind::StepFailed { step, .. } => drop(self.hosts.entry(step.host.clone()).or_default()),
            EventKind::HostFailed { host, error } => {
                self.hosts.entry(host.clone()).or_default();
                self.lost.entry(host.clone()).or_insert_with(|| error.clone());
            }
            EventKind::Unpredicted { host, reason, place } => {
                self.hosts.entry(host.clone()).or_default();
                self.unpredicted.insert(host.clone(), unknown_from(place.as_ref(), reason));
            }
            EventKind::PredictionEnded { reason, place } => {
                let open: Vec<String> =
                    self.hosts.keys().filter(|host| !self.lost.contains_key(*host)).cloned().collect();
                for host in open {
                    self.unpredicted.entry(host).or_insert_with(|| unknown_from(place.as_ref(), reason));
                }
                self.cut_short = true;
            }
            EventKind::PlaySkipped { playbook, .. } => self.skipped.push(playbook.clone()),
            _ => {}
        }
        if judged {
            for (host, counts) in &mut self.hosts {
                (counts.failed, counts.caught) = self.failures.of_host(host);
            }
        }
    }

    /// Whether a check foretold changes, or could not tell.
    pub(crate) fn would_change(&self) -> bool {
        let total = self.total();
        total.changed + total.unknown > 0 || self.cut_short || !self.unpredicted.is_empty()
    }

    /// All hosts together.
    pub(crate) fn total(&self) -> Counts {
        self.hosts.values().fold(Counts::default(), |sum, one| Counts {
            ok: sum.ok + one.ok,
            changed: sum.changed + one.changed,
            assumed: sum.assumed + one.assumed,
            skipped: sum.skipped + one.skipped,
            unknown: sum.unknown + one.unknown,
            failed: sum.failed + one.failed,
            caught: sum.caught + one.caught,
        })
    }
}

/// Where a check's knowledge ended, and why.
pub(super) fn unknown_from(place: Option<&Place>, reason: &str) -> String {
    match place {
        Some(place) if place.line > 0 => format!("unknown from {}:{} on: {reason}", place.file, place.line),
        _ => format!("unknown from here on: {reason}"),
    }
}
