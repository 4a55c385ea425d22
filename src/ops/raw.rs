//! `raw`: a command on the bare connection, without an agent.

use serde::{Deserialize, Serialize};

use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::op::{Action, Danger, Example, HumanDuration, Operation, Shows};
use crate::sys::Hands;

/// Has the host's login shell read a command, straight over the connection.
///
/// For hosts where no agent can run, and to bring them to where one can. Everything else is better done with
/// `run` or `shell`: here nothing is known of an exit status, and the command is not stopped with mk. It takes no `notify`,
/// which only an agent could note on the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// The command, as the login shell reads it.
    pub command: String,
    /// What it reads on its standard input. Nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How long it may take. Five minutes by default.
    #[serde(default = "limit")]
    pub timeout: HumanDuration,
    /// It only looks: it runs in check mode too, and never counts as a change.
    #[serde(default)]
    pub reads: bool,
}

fn limit() -> HumanDuration {
    HumanDuration::secs(300)
}

impl Operation for Raw {
    const NAME: &'static str = "raw";
    const SUBJECT: &'static str = "command";
    const VALUES: &'static [&'static str] = &["stdout", "stderr"];
    const DANGER: Danger = Danger::Write;
    const SHOWS: Shows = Shows::AllBut(&["stdin"]);
    const EXAMPLES: &'static [Example] =
        &[Example { title: "What a host without an agent is.", code: r#"host.raw("uname -a", #{ reads: true });"# }];

    fn validate(&self) -> Result {
        if self.command.trim().is_empty() { Err(Error::parameter("command", "is empty")) } else { Ok(()) }
    }
}

impl Action for Raw {
    fn act(&self, _hands: &Hands) -> Result<Outcome> {
        Err(Error::internal("`raw` is run over the connection, never by an agent"))
    }
}
