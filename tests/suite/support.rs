//! Running mk as a user would, in a place of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A folder for one test, and mk run in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What a run of mk came to.
pub(crate) struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed, with the test's folder as `DIR` and times as `TIME`.
    pub stdout: String,
    /// What it complained, in the same way.
    pub stderr: String,
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it. A playbook may stand in the test as a block of its own: it is written as if it began at
    /// the left, in the first line.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let playbook = path.extension().is_some_and(|ending| ending == "rhai");
        let text = if playbook { dedent(text) } else { text.to_owned() };
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command that runs mk here, with nothing of the caller's environment but the search path.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
        command.args(args).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var("PATH").unwrap());
        // A machine is changed by one run at a time, and what one leaves behind is finished by the next: each test
        // has what its agents keep for itself.
        command.env("MK_LOCK_WAIT", "60s").env("MK_AGENT_STATE", self.folder.path().join("agent"));
        command.env("HOME", self.folder.path().join("home")).env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        if let Some(folder) = std::env::var_os("MK_AGENT_DIR") {
            command.env("MK_AGENT_DIR", folder);
        }
        command
    }

    /// Runs mk here.
    pub(crate) fn mk(&self, args: &[&str]) -> Ran {
        self.shown(&self.command(args).output().unwrap())
    }

    /// An output in a form that is the same in every run.
    pub(crate) fn shown(&self, output: &Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: self.plain(&output.stdout),
            stderr: self.plain(&output.stderr),
        }
    }

    /// Waits until something is there of this name.
    pub(crate) fn until(&self, name: &str) {
        let there = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            self.path().join(name).exists()
        });
        assert!(there, "no `{name}` within thirty seconds");
    }

    fn plain(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&self.folder.path().display().to_string(), "DIR");
        let times = regex_lite::Regex::new(r"[0-9]+(\.[0-9]+)? (ms|s)\b").unwrap();
        times.replace_all(&text, "TIME").into_owned()
    }
}

/// A text that begins with a line break, without that, and without the blanks that all its lines begin with.
pub(crate) fn dedent(text: &str) -> String {
    let Some(text) = text.strip_prefix('\n') else { return text.to_owned() };
    let blanks = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let common = text.lines().filter(|line| !line.trim().is_empty()).map(blanks).min().unwrap_or(0);
    let cut = |line: &str| line.get(common..).unwrap_or_default().to_owned() + "\n";
    text.trim_end_matches(' ').lines().map(cut).collect()
}

/// A run that does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, which: Signal) {
        kill_process(Pid::from_child(&self.0), which).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
