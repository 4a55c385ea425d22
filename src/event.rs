//! What happened during a run, in order. Everything shown, stored or counted is made from these.

use std::sync::mpsc::Sender;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::change::Outcome;
use crate::error::{Error, Place};
use crate::secret::Secrets;
use crate::wire::Mode;

/// The version of the event format; it grows when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The format's version.
    pub v: u32,
    /// Milliseconds since the run began.
    pub ms: u64,
    /// What happened.
    #[serde(rename = "event")]
    pub what: What,
}

/// A step: one operation on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
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

/// The kinds of event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
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
    /// The run ended.
    RunDone {
        /// What ended it, if it did not end well.
        error: Option<Error>,
    },
}

/// Where events go. Clones go to the same place.
#[derive(Clone)]
pub struct Events {
    sender: Sender<Event>,
    secrets: Secrets,
    started: Instant,
}

impl Events {
    /// Events from now on, without the secrets.
    pub fn new(sender: Sender<Event>, secrets: Secrets) -> Self {
        Self { sender, secrets, started: Instant::now() }
    }

    /// Tells what happened. Secrets are taken out here, before any sink can see them.
    pub fn tell(&self, what: What) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = self.without_secrets(Event { v: VERSION, ms, what });
        // The reporter ends last; when it is gone there is nobody to tell.
        let _ = self.sender.send(event);
    }

    fn without_secrets(&self, event: Event) -> Event {
        if self.secrets.is_empty() {
            return event;
        }
        let Ok(mut value) = serde_json::to_value(&event) else { return event };
        self.secrets.mask_value(&mut value);
        let (v, ms) = (event.v, event.ms);
        let lost = || What::Said { host: None, warning: true, text: "an event that could not be shown".to_owned() };
        serde_json::from_value(value).unwrap_or_else(|_| Event { v, ms, what: lost() })
    }
}
