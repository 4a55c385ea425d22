//! `run`: a program and its arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::Outcome;
use crate::error::Result;
use crate::op::{Action, Argv, Danger, Effects, Example, HumanDuration, Operation, Shows};
use crate::sys::{Command, GuardedCommand, Hands, Probe};

/// Runs a program with arguments, without a shell in between.
///
/// No word is split, quoted or expanded on the way. The outcome has `stdout` and `stderr`, as text without
/// the newlines at their end, and `code`. Guards say when there is nothing to do; in check mode the program
/// does not run unless `reads` says that it only looks, and later steps take for granted that what `creates` names is
/// there; of what `removes` names nobody knows whether it is gone. A guard that depends on what a check has only planned
/// is not run either.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// The program and its arguments, as a list of words.
    pub argv: Argv,
    /// The directory to run in. The agent's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What the program reads on its standard input. Nothing by default.
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
    /// The program changes nothing: it runs in check mode too, and the step never counts as changed.
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

impl Run {
    fn guarded(&self) -> GuardedCommand {
        let command = Command {
            argv: self.argv.0.clone(),
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

impl Operation for Run {
    const NAME: &'static str = "run";
    const SUBJECT: &'static str = "argv";
    const VALUES: &'static [&'static str] = &["stdout", "stderr", "code", "truncated"];
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::AllBut(&["stdin"]);
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A question: it is asked in check mode too, and never counts as a change.",
            code: r#"let kernel = host.run(["uname", "-r"], #{ reads: true }).stdout;"#,
        },
        Example {
            title: "Only when its result is not there yet.",
            code: r#"host.run(["mkfifo", "/run/mk-demo.pipe"], #{ creates: "/run/mk-demo.pipe" });"#,
        },
        Example {
            title: "Only when another command says that it is needed; 1 is a good answer too.",
            code: r#"host.run(["grep", "-c", "demo", "/etc/hosts"], #{ only_if: ["test", "-s", "/etc/hosts"], ok: [0, 1], timeout: "10s" });"#,
        },
    ];
}

impl Action for Run {
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
    fn what_it_prints_and_its_code_come_back() {
        let done = Host::new()
            .apply("run", json!({ "argv": ["sh", "-c", "cat; echo no >&2; exit 3"], "stdin": "in\n", "ok": [0, 3] }));
        assert_eq!(done.status, Status::Changed);
        assert_eq!(
            serde_json::Value::Object(done.values),
            json!({ "stdout": "in", "stderr": "no", "code": 3, "truncated": false })
        );
    }

    #[test]
    fn a_code_that_is_not_accepted_is_a_failure_with_the_last_lines() {
        let error = Host::new().try_apply("run", json!({ "argv": ["sh", "-c", "echo why >&2; exit 3"] })).unwrap_err();
        assert_eq!(error.message(), "`sh -c 'echo why >&2; exit 3'` exited with status 3");
        assert_eq!(error.notes(), ["why"]);
    }

    #[test]
    fn one_string_is_refused_and_shell_is_named() {
        let message = refusal("run", json!({ "argv": "ls -l" }));
        assert!(message.contains("`argv`") && message.contains("`host.shell`"), "{message}");
        assert!(refusal("run", json!({ "argv": [] })).contains("a list of words"));
    }

    #[test]
    fn guards_skip_the_step() {
        let host = Host::new();
        let skipped = |guard: &str, value: serde_json::Value| {
            let mut args = json!({ "argv": ["false"] });
            args[guard] = value;
            host.apply("run", args).reason.unwrap_or_default()
        };
        assert_eq!(skipped("creates", json!("/etc/passwd")), "`/etc/passwd` exists");
        assert_eq!(skipped("removes", json!("/no/such")), "`/no/such` does not exist");
        assert_eq!(skipped("unless", json!(["true"])), "`true` succeeds");
        assert_eq!(skipped("only_if", json!(["false"])), "`false` does not succeed");
    }

    #[test]
    fn a_check_runs_nothing_but_what_only_reads() {
        let host = Host::new();
        let path = host.path("made");
        assert_eq!(host.check("run", json!({ "argv": ["touch", path] })).status, Status::WouldRun);
        assert!(!path.exists());
        let read = host.check("run", json!({ "argv": ["echo", "hi"], "reads": true }));
        assert_eq!((read.status, read.values["stdout"].as_str()), (Status::Read, Some("hi")));
    }

    #[test]
    fn a_guarded_reader_does_not_run() {
        let host = Host::new();
        let path = host.path("made");
        let args = json!({ "argv": ["touch", path], "reads": true, "creates": "/etc/passwd" });
        assert_eq!(host.apply("run", args).status, Status::Skipped);
        assert!(!path.exists());
    }

    #[test]
    fn a_program_that_is_only_planned_is_unknown_by_its_name_too() {
        let host = Host::new();
        let words = json!({ "argv": ["mk-no-such-program"], "reads": true });
        let missing = host.try_check("run", words.clone()).unwrap_err();
        assert_eq!(missing.kind(), crate::error::Kind::Step, "{missing}");
        host.check("copy", json!({ "dest": "/usr/local/bin/mk-no-such-program", "content": "x", "mode": "0755" }));
        let read = host.check("run", words);
        assert_eq!(read.status, Status::Unknown);
        assert_eq!(read.reason.unwrap(), "`mk-no-such-program` is not on the host yet");
    }

    #[test]
    fn a_reader_that_fails_after_planned_steps_is_unknown() {
        let host = Host::new();
        host.check("copy", json!({ "dest": host.path("f"), "content": "x" }));
        let read = host.check("run", json!({ "argv": ["test", "-e", host.path("f")], "reads": true }));
        assert_eq!(read.status, Status::Unknown);
        let guarded = host.check("run", json!({ "argv": ["true"], "creates": host.path("f") }));
        assert_eq!(guarded.status, Status::Skipped);
    }
}
