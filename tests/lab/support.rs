//! Running mk against the lab and reading its events.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// The tree with the playbooks and inventories.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the lab's inventory.
pub(crate) fn inventory() -> PathBuf {
    // Another lab will do where it has the hosts that a test names.
    root().join(std::env::var("MK_LAB_INVENTORY").unwrap_or_else(|_| "inventories/lab".to_owned()))
}

/// The command that runs mk with the lab's inventory.
pub(crate) fn mk(args: &[&str]) -> Command {
    let inventory = inventory();
    let text = std::fs::read_to_string(inventory.join("inventory.yml")).unwrap();
    let keys = regex_lite::Regex::new("known_hosts: ([^ }]+)").unwrap().captures(&text).unwrap()[1].to_owned();
    let up = std::path::Path::new(&keys).exists();
    assert!(up, "the lab is not up: mk run playbooks/lab/up.rhai -i {}", inventory.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
    command.args(args).arg("-i").arg(&inventory).current_dir(root()).env("MK_LOCK_WAIT", "60s");
    command
}

/// The command that runs mk with the small lab's inventory.
pub(crate) fn small(args: &[&str]) -> Command {
    let up = std::path::Path::new("/var/lib/mk/small/known_hosts").exists();
    assert!(up, "the small lab is not up: mk run playbooks/lab/up.rhai -i inventories/small");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
    command.args(args).args(["-i", "inventories/small"]).current_dir(root()).env("MK_LOCK_WAIT", "60s");
    command
}

/// Runs a playbook against the small lab as another inventory describes it, and reads its events.
pub(crate) fn run_with(inventory: &std::path::Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
    command.args(["run", "--json"]).args(args).arg("-i").arg(inventory).current_dir(root()).env("MK_LOCK_WAIT", "60s");
    events(&command.output().unwrap())
}

/// Runs a playbook against the small lab and reads its events.
pub(crate) fn run_small(args: &[&str]) -> Run {
    events(&small(&[&["run", "--json"], args].concat()).output().unwrap())
}

/// Runs a script against the small lab and reads its events.
pub(crate) fn script_small(text: &str) -> Run {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("small.rhai");
    std::fs::write(&path, text).unwrap();
    run_small(&[path.to_str().unwrap()])
}

/// A run of mk and its events.
pub(crate) struct Run {
    /// Its exit code.
    pub code: i32,
    /// Its events, in order.
    pub events: Vec<Value>,
    /// Everything it printed.
    pub all: Printed,
}

/// What a run printed. Shown in the message of a failed test, it is what a reader needs of it: not a line for every
/// step that went well, since CI keeps no more than the end of its log.
pub(crate) struct Printed(String);

impl std::ops::Deref for Printed {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dull = |line: &str| {
            let Ok(event) = serde_json::from_str::<Value>(line) else { return line.is_empty() };
            let (kind, about) = event["event"].as_object().and_then(|event| event.iter().next()).unwrap();
            match kind.as_str() {
                "step_done" => UNCHANGED.contains(&about["outcome"]["status"].as_str().unwrap_or_default()),
                "step_started" | "connected" | "task_started" | "task_done" | "spent" => true,
                _ => false,
            }
        };
        let telling: Vec<&str> = self.0.lines().filter(|line| !dull(line)).collect();
        let left_out = telling.len().saturating_sub(SHOWN);
        if left_out > 0 {
            writeln!(f, "({left_out} more)")?;
        }
        for line in &telling[left_out..] {
            writeln!(f, "{}", line.chars().take(400).collect::<String>())?;
        }
        Ok(())
    }
}

/// How many lines of a run the message of a failed test shows, the last ones.
const SHOWN: usize = 20;

/// The ways in which a step ends that leave a host as it was.
const UNCHANGED: [&str; 3] = ["ok", "read", "skipped"];

/// Runs a playbook and reads its events.
pub(crate) fn run(args: &[&str]) -> Run {
    let mut words = vec!["run", "--json"];
    words.extend(args);
    events(&mk(&words).output().unwrap())
}

/// The folder of the scripts: one for all, because mk keeps authorities by project.
pub(crate) fn project() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("project");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a script against the lab and reads its events.
pub(crate) fn script(text: &str, flags: &[&str]) -> Run {
    let folder = project();
    let path = folder.join("p.rhai");
    std::fs::write(&path, text).unwrap();
    // The file that the example of `template` expects beside its playbook.
    std::fs::write(folder.join("motd.j2"), "{% for member in members %}\n{{ member }}\n{% endfor %}\n").unwrap();
    // The folder that the examples of `tree` copy.
    std::fs::create_dir_all(folder.join("site/pages")).unwrap();
    std::fs::write(folder.join("site/index.html"), "<h1>demo</h1>\n").unwrap();
    std::fs::write(folder.join("site/pages/one.draft"), "not yet\n").unwrap();
    let mut words = vec![path.to_str().unwrap()];
    words.extend(flags);
    run(&words)
}

fn events(output: &Output) -> Run {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let all = Printed(format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
    Run { code: output.status.code().unwrap_or(-1), events, all }
}

/// One step that ended well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// The host.
    pub host: String,
    /// The operation and its subject.
    pub call: String,
    /// How it ended.
    pub status: String,
    /// Whether it was foretold on an assumption.
    pub assumed: bool,
    /// What differed.
    pub diff: Value,
}

impl Run {
    /// The steps that ended well, in order.
    pub(crate) fn done(&self) -> Vec<Done> {
        let steps = self.events.iter().filter_map(|event| event["event"].get("step_done"));
        steps
            .map(|done| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (op, subject) = (text(&done["step"]["op"]), text(&done["step"]["subject"]));
                Done {
                    host: text(&done["step"]["host"]),
                    call: format!("{op} {subject}"),
                    status: text(&done["outcome"]["status"]),
                    assumed: done["outcome"]["assumed"] == true,
                    diff: done["outcome"]["diff"].clone(),
                }
            })
            .collect()
    }

    /// The steps that changed something, or would.
    pub(crate) fn changes(&self) -> Vec<Done> {
        self.done().into_iter().filter(|done| !UNCHANGED.contains(&done.status.as_str())).collect()
    }
}
