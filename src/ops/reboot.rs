//! `reboot`: a host goes away and comes back.

use serde::{Deserialize, Serialize};

use crate::change::{Outcome, Status};
use crate::error::Result;
use crate::op::{Action, Argv, Danger, Example, HumanDuration, Operation, Shows};
use crate::sys::{Command, GuardedCommand, Hands, Probe};

/// Reboots the host, and waits until it is back.
///
/// It is back when it has another boot id and its agent answers, and systemd has started everything. The machine
/// that mk itself runs on is refused. The outcome has `boot`, the new boot id, `seconds`, how long it was away, and
/// `system`, what systemd says of it: `"running"`, or `"degraded"` when units have failed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Reboot {
    /// How long it may take until the host is back. Ten minutes by default.
    #[serde(default = "ten_minutes")]
    pub timeout: HumanDuration,
    /// Wait until systemd has started everything. Otherwise the first answer of the host is enough.
    #[serde(default = "yes")]
    pub settled: bool,
    /// Skip the step when this command exits with 0. It must change nothing: it runs in check mode too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Argv>,
    /// Skip the step when this command does not exit with 0. It must change nothing: it runs in check mode too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Argv>,
}

fn ten_minutes() -> HumanDuration {
    HumanDuration::secs(600)
}

fn yes() -> bool {
    true
}

impl Operation for Reboot {
    const NAME: &'static str = "reboot";
    const VALUES: &'static [&'static str] = &["boot", "seconds", "system"];
    const SUBJECT: &'static str = "timeout";
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::All;
    const UNCUT: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "Only when an update asks for it.",
            code: r#"host.reboot(#{ only_if: ["test", "-e", "/run/reboot-required"] });"#,
        },
        Example { title: "In any case, and back within two minutes.", code: r#"host.reboot("2m");"# },
    ];
}

impl Action for Reboot {
    fn guard(&self, probe: &Probe) -> Result<Option<String>> {
        let words = |argv: &Option<Argv>| argv.clone().map(|words| words.0);
        GuardedCommand { unless: words(&self.unless), only_if: words(&self.only_if), ..GuardedCommand::default() }
            .guard(probe)
    }

    /// Sets it off; the control side waits for the rest.
    fn act(&self, hands: &Hands) -> Result<Outcome> {
        let systemd = std::path::Path::new("/run/systemd/system").exists();
        let words: &[&str] = if systemd { &["systemctl", "--no-block", "reboot"] } else { &["reboot"] };
        hands.must(&Command { finish: true, ..Command::new(words.iter().copied()) })?;
        Ok(Outcome::new(Status::Changed))
    }
}
