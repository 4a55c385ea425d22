//! `service`: something done to a unit, once.

use serde::{Deserialize, Serialize};

use crate::change::{Outcome, Status};
use crate::error::{Error, Result};
use crate::op::{Action, Danger, Example, Operation, Shows};
use crate::sys::{Command, Hands};

/// Restarts, reloads, starts or stops a systemd unit, every time it is called.
///
/// For what is to be so for good, `systemd` has a state; this is for what is to happen once, such as a
/// notified restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// The unit's name; without a suffix, `.service` is meant.
    pub unit: String,
    /// What to do with it.
    pub action: Act,
}

/// What can be done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Stop it and start it again; a stopped one is started.
    Restart,
    /// Have it read its configuration again.
    Reload,
    /// Reload it if it can, restart it otherwise.
    ReloadOrRestart,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
}

impl Act {
    fn verb(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ReloadOrRestart => "reload-or-restart",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

impl Operation for Service {
    const NAME: &'static str = "service";
    const SUBJECT: &'static str = "unit";
    const DANGER: Danger = Danger::Write;
    const SHOWS: Shows = Shows::All;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A restart, every time this is called.",
            code: r#"host.service("systemd-journald", #{ action: "restart" });"#,
        },
        Example {
            title: "A restart that runs once, at the end, and only if something has changed.",
            code: r#"let restart = later("service", "systemd-journald", #{ action: "restart" }); host.service("systemd-journald", #{ action: "start", notify: restart });"#,
        },
    ];

    fn validate(&self) -> Result {
        if self.unit.is_empty() || self.unit.starts_with('-') || self.unit.contains(char::is_whitespace) {
            return Err(Error::playbook(format!("`{}` cannot be the name of a unit", self.unit)));
        }
        Ok(())
    }
}

impl Action for Service {
    fn act(&self, hands: &Hands) -> Result<Outcome> {
        let command = Command::new(["systemctl", self.action.verb(), "--", self.unit.as_str()]);
        let ran = hands.run(&command)?;
        if !ran.success() {
            let journal = Command::new(["journalctl", "-u", self.unit.as_str(), "-n", "20", "--no-pager", "-o", "cat"]);
            let lines = hands.run(&journal).map(|ran| ran.text()).unwrap_or_default();
            let error = command.failure(&ran);
            return Err(if lines.is_empty() { error } else { error.note(lines) });
        }
        Ok(Outcome::new(Status::Changed))
    }
}
