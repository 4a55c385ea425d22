//! What happened during a run, in order. Everything shown, stored or counted is made from these.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::change::Outcome;
use crate::error::{Error, Place};
use crate::secret::Secrets;
use crate::wire::Mode;

mod queue;

pub(crate) use queue::{Receiver, Sender, channel};

/// The version of the event format; it grows when a field changes its meaning or goes away.
pub(crate) const VERSION: u32 = 1;

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    /// The format's version.
    pub v: u32,
    /// Milliseconds since the run began.
    pub ms: u64,
    /// What happened.
    #[serde(rename = "event")]
    pub what: EventKind,
}

/// A step: one operation on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Unique in the run.
    pub id: u64,
    /// The host.
    pub host: String,
    /// The operation.
    pub op: String,
    /// What it is about: a path, a name, a command.
    pub subject: String,
    /// The user it acts as, when not the connection's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the call stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TimeSpentOn {
    /// mk on this side: the script, its sources and templates, encoding.
    Control,
    /// Reaching the host, starting the agent, and ending both.
    Connect,
    /// Between this side and the agent.
    Network,
    /// The agent itself.
    Agent,
    /// Programs that the agent started.
    Child,
    /// For another host, a free place among the forks, a lock, a pause, or a host that boots.
    Waiting,
}

/// A stretch of time, and what it was spent on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// The host that it was spent for; all hosts when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The step, where this is the whole of one; what it was spent on lies inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The playbook or the task, where this is the whole of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was spent on.
    pub part: TimeSpentOn,
    /// When it began, in microseconds since the run did.
    pub at: u64,
    /// How long it was, in microseconds.
    pub took: u64,
}

/// The kinds of event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A run began.
    RunStarted {
        /// The playbook, or the operation of an ad hoc run.
        playbook: String,
        /// The inventory.
        inventory: String,
        /// Check or apply.
        mode: Mode,
    },
    /// A host answered, with its agent ready.
    Connected {
        /// The host.
        host: String,
        /// How it was reached.
        way: String,
        /// Whether the agent had to be copied first.
        pushed: bool,
        /// Milliseconds that took.
        took: u64,
    },
    /// A host is out of the run.
    HostFailed {
        /// The host.
        host: String,
        /// Why.
        error: Error,
    },
    /// A host failed, and stays in the run because of `keep_going`.
    HostKept {
        /// The host.
        host: String,
        /// What failed.
        error: Error,
    },
    /// A host whose further steps check mode cannot predict.
    Unpredicted {
        /// The host.
        host: String,
        /// What it depends on.
        reason: String,
        /// Where prediction ended.
        place: Option<Place>,
    },
    /// A value that a check cannot know decides over the rest of the script: nothing of it is predicted.
    PredictionEnded {
        /// What it depends on.
        reason: String,
        /// Where prediction ended.
        place: Option<Place>,
    },
    /// A playbook called from the one that runs began.
    PlayStarted {
        /// The playbook.
        playbook: String,
    },
    /// A playbook called from the one that runs was skipped: it completed before with the same inputs.
    PlaySkipped {
        /// The playbook.
        playbook: String,
        /// When it completed, in UTC.
        completed: String,
    },
    /// A named group of steps began.
    TaskStarted {
        /// Its name.
        task: String,
    },
    /// A named group of steps ended.
    TaskDone {
        /// Its name.
        task: String,
        /// Milliseconds it took.
        took: u64,
    },
    /// A step was sent to its host.
    StepStarted {
        /// The step.
        step: Step,
    },
    /// A step's command printed something.
    Output {
        /// The step.
        id: u64,
        /// The host.
        host: String,
        /// Whether it came on standard error.
        stderr: bool,
        /// What it printed.
        text: String,
    },
    /// A step ended well.
    StepDone {
        /// The step.
        step: Step,
        /// How.
        outcome: Outcome,
        /// Milliseconds from sending to answer.
        took: u64,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: Step,
        /// Why.
        error: Error,
        /// Milliseconds from sending to answer.
        took: u64,
    },
    /// A step failed and will be tried again.
    Retry {
        /// The step.
        step: Step,
        /// Why.
        error: Error,
        /// How many tries are left.
        left: u32,
    },
    /// The script said something.
    Said {
        /// The host it spoke of.
        host: Option<String>,
        /// Whether it is a warning.
        warning: bool,
        /// What it said.
        text: String,
    },
    /// Some time went by; told when the run is profiled. Of spans that cover the same moment, the one that
    /// began last says what the time was spent on; those of the host itself come before those of all hosts.
    Spent(Span),
    /// The run ended.
    RunDone {
        /// What ended it, if it did not end well.
        error: Option<Error>,
    },
}

/// Where events go. Clones go to the same place.
#[derive(Clone)]
pub(crate) struct Events {
    sender: Sender,
    secrets: Secrets,
    started: Instant,
    profiled: bool,
}

impl Events {
    /// Events of a run that began at `started`, without the secrets.
    pub(crate) fn new(sender: Sender, secrets: Secrets, started: Instant) -> Self {
        Self { sender, secrets, started, profiled: false }
    }

    /// The same events, with what time was spent on if that is wanted.
    #[must_use]
    pub(crate) fn profiled(self, profiled: bool) -> Self {
        Self { profiled, ..self }
    }

    /// Whether it is told what time was spent on.
    pub(crate) fn is_profiled(&self) -> bool {
        self.profiled
    }

    /// Tells what the time from `from` to `to` was spent on, if that is wanted. Without a host, it is of all hosts.
    pub(crate) fn spent(
        &self,
        part: TimeSpentOn,
        host: Option<&str>,
        step: Option<u64>,
        (from, to): (Instant, Instant),
    ) {
        self.span(part, host, (step, None), (from, to));
    }

    /// Tells how long a playbook or a task took, if that is wanted.
    pub(crate) fn named(&self, name: &str, host: Option<&str>, from: Instant) {
        self.span(TimeSpentOn::Control, host, (None, Some(name)), (from, Instant::now()));
    }

    fn span(
        &self,
        part: TimeSpentOn,
        host: Option<&str>,
        (step, name): (Option<u64>, Option<&str>),
        (from, to): (Instant, Instant),
    ) {
        if !self.profiled {
            return;
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // The end is rounded like a beginning, so that what follows begins where this ends.
        let at = micros(from.saturating_duration_since(self.started));
        let took = micros(to.saturating_duration_since(self.started)).saturating_sub(at);
        let (host, name) = (host.map(str::to_owned), name.map(str::to_owned));
        self.tell(EventKind::Spent(Span { host, step, name, part, at, took }));
    }

    /// Tells what happened. Secrets are taken out here, before any sink can see them. Waits where a host, or the
    /// script, has told more than is shown yet.
    pub(crate) fn tell(&self, what: EventKind) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = self.without_secrets(Event { v: VERSION, ms, what });
        self.sender.send(event);
    }

    fn without_secrets(&self, mut event: Event) -> Event {
        if self.secrets.is_empty() {
            return event;
        }
        let (v, ms) = (event.v, event.ms);
        if let EventKind::StepDone { outcome, .. } = &mut event.what {
            // Here the keys of maps are the host's; everywhere else they are ours.
            self.secrets.mask_outcome(outcome);
            // Of a secret that is no long random text, its digest lets anybody try one after another.
            outcome.digest = None;
        }
        let lost =
            || EventKind::Said { host: None, warning: true, text: "an event that could not be shown".to_owned() };
        // Rather nothing is shown than a secret.
        let masked = serde_json::to_value(&event).and_then(|mut value| {
            self.secrets.mask_strings(&mut value);
            serde_json::from_value(value)
        });
        masked.unwrap_or_else(|_| Event { v, ms, what: lost() })
    }
}
