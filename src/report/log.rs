//! The log of the control side: every event, and what mk's connections say of themselves, without the secrets.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;

use super::Reporter;
use super::human::call;
use super::sink::Sink;
use super::text::Text;
use crate::error::{Context, Error, Kind, Result};
use crate::event::{Event, EventKind};
use crate::secret::Secrets;

/// What is logged when nobody says otherwise.
const USUAL: &str = "info,mk=debug";

/// Writes each event of the run into the log.
pub(crate) struct Log(Arc<Mutex<Sink>>);

/// Begins to log into `out`, for the rest of the process. `filter` says what: `mk=trace,russh=debug`.
///
/// # Errors
/// When the filter cannot be read, or something logs already.
pub(crate) fn start(out: Sink, filter: Option<&str>, secrets: Secrets) -> Result<Log> {
    let filter = EnvFilter::try_new(filter.unwrap_or(USUAL))
        .or_kind(Kind::Usage, || format!("`MK_LOG` is no filter: `{}`", filter.unwrap_or_default()))?;
    let out = Arc::new(Mutex::new(out));
    let log = Log(Arc::clone(&out));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || Masking { out: Arc::clone(&out), secrets: secrets.clone() })
        .try_init()
        .map_err(|e| Error::internal("cannot begin to log").because(e))?;
    Ok(log)
}

/// Takes the secrets out of each line, and what would make two of it. A line comes in one piece.
struct Masking {
    out: Arc<Mutex<Sink>>,
    secrets: Secrets,
}

impl Write for Masking {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let masked = self.secrets.mask(&String::from_utf8_lossy(bytes));
        lock(&self.out).line(&Text::escaped(masked.trim_end_matches('\n')));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lock(out: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter for Log {
    fn event(&mut self, event: &Event) {
        match &event.what {
            EventKind::RunStarted { playbook, inventory, mode } => {
                tracing::info!(target: "mk", playbook, inventory, ?mode, "run started");
            }
            EventKind::Connected { host, way, pushed, took } => {
                tracing::info!(target: "mk", host, way, agent_copied = pushed, ms = took, "connected");
            }
            EventKind::HostFailed { host, error } => tracing::error!(target: "mk", host, %error, "host failed"),
            EventKind::HostKept { host, error } => {
                tracing::error!(target: "mk", host, %error, "host failed, and stays");
            }
            EventKind::Unpredicted { host, reason, .. } => tracing::info!(target: "mk", host, reason, "unpredicted"),
            EventKind::PredictionEnded { reason, .. } => tracing::info!(target: "mk", reason, "prediction ended"),
            EventKind::PlaySkipped { playbook, completed } => {
                tracing::info!(target: "mk", playbook, completed, "play skipped");
            }
            EventKind::PlayStarted { playbook } => tracing::info!(target: "mk", playbook, "play started"),
            EventKind::TaskStarted { task } => tracing::info!(target: "mk", task, "task started"),
            EventKind::TaskDone { task, took } => tracing::info!(target: "mk", task, ms = took, "task done"),
            EventKind::StepStarted { step } => {
                let place = step.place.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::debug!(target: "mk", id = step.id, host = step.host, step = call(step).as_str(), place, "step started");
            }
            EventKind::Output { id, host, stderr, text } => {
                tracing::trace!(target: "mk", id, host, stderr, text, "output");
            }
            EventKind::StepDone { step, outcome, took } => {
                let (status, reason) = (outcome.status, outcome.reason.as_deref());
                tracing::info!(target: "mk", id = step.id, host = step.host, step = call(step).as_str(), ?status, reason, ms = took, "step done");
                if let Some(diff) = &outcome.diff {
                    let lines = Text::joined(super::diff::lines(diff, super::Style::plain()));
                    tracing::debug!(target: "mk", id = step.id, host = step.host, diff = lines.as_str(), "differs");
                }
            }
            EventKind::StepFailed { step, error, took } => {
                tracing::error!(target: "mk", id = step.id, host = step.host, step = call(step).as_str(), %error, ms = took, "step failed");
            }
            EventKind::Retry { step, error, left } => {
                tracing::warn!(target: "mk", id = step.id, host = step.host, step = call(step).as_str(), %error, left, "step will be tried again");
            }
            EventKind::Said { host, warning: true, text } => tracing::warn!(target: "mk", host, text, "said"),
            EventKind::Said { host, warning: false, text } => tracing::info!(target: "mk", host, text, "said"),
            EventKind::RunDone { error: Some(error) } => tracing::error!(target: "mk", %error, "run ended"),
            EventKind::Spent(span) => {
                let (host, name) = (span.host.as_deref(), span.name.as_deref());
                tracing::trace!(target: "mk", host, id = span.step, name, part = ?span.part, at = span.at, us = span.took, "spent");
            }
            EventKind::RunDone { error: None } => tracing::info!(target: "mk", "run done"),
        }
    }

    fn finish(&mut self) -> Result {
        lock(&self.0).ended()
    }
}
