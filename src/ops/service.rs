//! `service`: something done to a unit, once.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::change::{Outcome, Status};
use crate::error::{Error, Result};
use crate::op::{Action, Danger, Example, Operation, Shows};
use crate::sys::{Command, Hands, Probe, unit_files};

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
    fn guard(&self, probe: &Probe) -> Result<Option<String>> {
        // When it is done, systemd itself says what is wrong, and its journal why.
        if !probe.is_check() {
            return Ok(None);
        }
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Error::step("systemd does not run on this host"));
        }
        let name = if self.unit.contains('.') { self.unit.clone() } else { format!("{}.service", self.unit) };
        let ran = probe.observe(&Command::parsed(["systemctl", "show", "--property=LoadState", "--", &name]))?;
        let starts = !matches!(self.action, Act::Stop | Act::Reload);
        match ran.text().as_str() {
            "LoadState=not-found" => {
                let file =
                    unit_files(&name).any(|file| probe.is_planned(Path::new(&file)) || Path::new(&file).exists());
                if !file && !probe.assume_brought(format_args!("unit `{name}`")) {
                    return Err(Error::step(format!("systemd knows no unit `{name}`")));
                }
            }
            "LoadState=masked" if starts && !probe.is_anything_planned() => {
                return Err(Error::step(format!("`{name}` is masked")));
            }
            _ => {}
        }
        Ok(None)
    }

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
