//! `shell`: a script for the host's shell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::op::{Action, Argv, Danger, Effects, Example, HumanDuration, Operation, Shows};
use crate::sys::{self, Command, GuardedCommand, Hands, Probe};

/// Has the host's shell read a script: for pipes, redirections and loops. For one program, `run` is safer.
///
/// The script goes to `/bin/sh` as it stands; a value that comes from elsewhere belongs in `env`, not in its
/// text. The outcome has `stdout` and `stderr`, as text without the newlines at their end, and `code`, which
/// is that of the script's last command unless it says `set -e`. Guards are commands as for `run`, not scripts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Shell {
    /// What the shell reads.
    pub script: String,
    /// The directory to run in. The agent's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What the script reads on its standard input. Nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How long it may run before it is stopped, with its children. Without a limit by default. What it leaves in the
    /// background does not hold the step, and cannot print to it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// The exit codes that mean success. `[0]` by default; an empty array accepts all.
    #[serde(default = "success")]
    pub ok: Vec<i32>,
    /// Skip the step when this path exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<PathBuf>,
    /// Skip the step when this path does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<PathBuf>,
    /// Skip the step when this command exits with 0. It must change nothing: it runs in check mode too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Argv>,
    /// Skip the step when this command does not exit with 0. It must change nothing: it runs in check mode too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Argv>,
    /// The script changes nothing: it runs in check mode too, and the step never counts as changed.
    #[serde(default)]
    pub reads: bool,
    /// What it prints is a secret: the script gets a handle in place of the text.
    #[serde(default)]
    pub secret_output: bool,
}

/// The codes accepted when nothing is said.
fn success() -> Vec<i32> {
    vec![0]
}

impl Shell {
    fn guarded(&self) -> GuardedCommand {
        let command = Command {
            argv: sys::shell(&self.script),
            cwd: self.cwd.clone(),
            env: self.env.clone(),
            stdin: self.stdin.clone().map(String::into_bytes),
            timeout: self.timeout.map(|limit| limit.0),
            ..Command::default()
        };
        GuardedCommand {
            command,
            ok: self.ok.clone(),
            creates: self.creates.clone(),
            removes: self.removes.clone(),
            unless: self.unless.clone().map(|words| words.0),
            only_if: self.only_if.clone().map(|words| words.0),
            reads: self.reads,
        }
    }
}

impl Operation for Shell {
    const NAME: &'static str = "shell";
    const SUBJECT: &'static str = "script";
    const VALUES: &'static [&'static str] = &["stdout", "stderr", "code", "truncated"];
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::AllBut(&["stdin"]);
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A pipe, which only looks.",
            code: r#"let users = host.shell("cut -d: -f1 /etc/passwd | sort", #{ reads: true }).stdout;"#,
        },
        Example {
            title: "A value from elsewhere goes into the environment, where no quoting can go wrong.",
            code: r#"host.shell("printf '%s\n' \"$GREETING\" > /run/mk-demo.txt", #{ env: #{ GREETING: "it's me" }, creates: "/run/mk-demo.txt" });"#,
        },
    ];

    fn validate(&self) -> Result {
        if self.script.trim().is_empty() { Err(Error::parameter("script", "is empty")) } else { Ok(()) }
    }
}

impl Action for Shell {
    fn guard(&self, probe: &Probe) -> Result<Option<String>> {
        self.guarded().guard(probe)
    }

    fn look(&self, probe: &Probe) -> Option<Result<Outcome>> {
        self.guarded().look(probe)
    }

    fn act(&self, hands: &Hands) -> Result<Outcome> {
        self.guarded().act(hands)
    }

    fn effects(&self) -> Effects {
        self.guarded().effects()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::change::Status;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn the_shell_reads_the_script_and_values_come_by_the_environment() {
        let done = Host::new()
            .apply("shell", json!({ "script": "printf '%s' \"$A\" | tr a-z A-Z", "env": { "A": "it's; me" } }));
        assert_eq!((done.status, done.values["stdout"].as_str()), (Status::Changed, Some("IT'S; ME")));
    }

    #[test]
    fn an_empty_script_is_refused() {
        assert_eq!(refusal("shell", json!({ "script": " " })), "shell: `script` is empty");
    }
}
