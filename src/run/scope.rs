//! The scope of what a run does: in which task, in which host's part, and which steps wait there to travel together.
//! Whoever calls passes it on; nothing is remembered by thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pipelining::Waiting;
use super::running::Run;
use crate::error::{Error, Kind, Result};
use crate::event::TimeSpentOn;

/// A place in a run.
#[derive(Clone)]
pub(crate) struct Scope {
    /// The run.
    pub(crate) run: Arc<Run>,
    /// The innermost task.
    pub(crate) task: Option<String>,
    /// It and those around it, the outermost first, with `/` between them.
    path: String,
    /// Whether `--tags` wants what is done here.
    pub(crate) wanted: bool,
    /// The host whose part it is.
    pub(crate) host: Option<String>,
    pub(super) waiting: Arc<Waiting>,
}

impl Scope {
    /// A run's outermost: in no task, and no host's part.
    pub(crate) fn new(run: &Arc<Run>) -> Self {
        let wanted = run.selection.is_all();
        Self { run: Arc::clone(run), task: None, path: String::new(), wanted, host: None, waiting: Arc::default() }
    }

    /// A task in this one.
    #[must_use]
    pub(crate) fn in_task(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        let wanted = self.run.selection.wants(name, &path) || self.wanted;
        Self { task: Some(name.to_owned()), path, wanted, ..self.clone() }
    }

    /// A host's part in this one.
    #[must_use]
    pub(crate) fn of_host(&self, name: &str) -> Self {
        Self { host: Some(name.to_owned()), ..self.clone() }
    }

    /// The same place for what goes on beside it: its steps wait for themselves.
    #[must_use]
    pub(crate) fn beside(&self) -> Self {
        Self { waiting: Arc::default(), ..self.clone() }
    }

    /// Notes that this scope waited for others since `begun`.
    pub(crate) fn waited(&self, begun: Instant) {
        self.run.events.spent(TimeSpentOn::Waiting, self.host.as_deref(), None, (begun, Instant::now()));
    }

    /// Does nothing for some time.
    ///
    /// # Errors
    /// When the run is stopped meanwhile.
    pub(crate) fn pause(&self, length: Duration) -> Result {
        let begun = Instant::now();
        let until = begun + length;
        let result = loop {
            if self.run.fleet.is_stopped() {
                break Err(Error::new(Kind::Interrupted, "stopped"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        };
        self.waited(begun);
        result
    }
}
