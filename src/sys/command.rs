//! Running a program: an argument vector, never a string for a shell.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::jobs::{Jobs, signal};
use super::peer::Peer;
use crate::error::{Context, Detail, Error, Result};
use crate::wire::Stream;

/// How much of each stream is kept, in bytes. What comes beyond is read and dropped.
pub(crate) const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;

/// How long a command may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A program to run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The directory to run in.
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// What it reads. Nothing by default.
    pub stdin: Option<Vec<u8>>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Pass what it prints on while it runs.
    pub stream: bool,
    /// Finish even when the control side goes away: for work that must not be cut in half.
    pub finish: bool,
}

/// What came of a program.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it printed, at most [`OUTPUT_LIMIT`] bytes.
    pub stdout: Vec<u8>,
    /// What it complained, at most [`OUTPUT_LIMIT`] bytes.
    pub stderr: Vec<u8>,
    /// Whether something was dropped.
    pub truncated: bool,
}

impl Ran {
    /// Whether it ended with status 0.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Its output as text, without the newline at the end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// How it ended, in words.
    pub(crate) fn ending(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        }
    }

    /// The last lines of what it complained, or of what it printed.
    pub(crate) fn tail(&self) -> String {
        let bytes = if self.stderr.iter().all(u8::is_ascii_whitespace) { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The argument vector that has a shell read `script`. The one place that does.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

impl Command {
    /// A command of these words.
    pub(crate) fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// A command whose output is parsed, so that it must speak the same language everywhere.
    pub(crate) fn parsed<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(argv).env("LC_ALL", "C")
    }

    /// The same command with a variable set.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same command reading `bytes`.
    #[must_use]
    pub(crate) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Some(bytes);
        self
    }

    /// The same command, ended after `limit`.
    #[must_use]
    pub(crate) fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How a user would type it.
    pub(crate) fn shown(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        let quoted = |word: &String| match word {
            word if !word.is_empty() && word.chars().all(plain) => word.clone(),
            word => format!("'{}'", word.replace('\'', r"'\''")),
        };
        self.argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// The failure of this command, with its last lines.
    pub(crate) fn failure(&self, ran: &Ran) -> Error {
        let error = Error::step(format!("`{}` {}", self.shown(), ran.ending()));
        match ran.tail() {
            tail if tail.is_empty() => error,
            tail => error.note(tail),
        }
    }

    /// Runs it to its end, whatever that is.
    pub(super) fn execute(&self, jobs: &Jobs, peer: &dyn Peer) -> Result<Ran> {
        let (program, args) =
            self.argv.split_first().ok_or_else(|| Error::step("a command needs at least one word"))?;
        if jobs.is_stopped() {
            return Err(stopped());
        }
        if self.finish {
            jobs.finish_step();
        }
        let mut command = std::process::Command::new(program);
        command.args(args).env("PATH", search_path()).envs(&self.env).process_group(0);
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .or_step(|| format!("cannot run `{program}`"))
            .map_err(|e| e.detailed(Detail::NotStarted))?;
        let entry = (!jobs.is_finishing()).then(|| jobs.enter(child.id()));
        let ran = self.attend(&mut child, peer);
        drop(entry);
        jobs.took(begun.elapsed());
        if jobs.is_stopped() {
            return Err(stopped());
        }
        ran
    }

    /// Feeds and drains a started child, and ends it when its time is up.
    fn attend(&self, child: &mut Child, peer: &dyn Peer) -> Result<Ran> {
        let deadline = self.timeout.map(|limit| Instant::now() + limit);
        let (sender, pieces) = mpsc::sync_channel(16);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut kept = Kept::default();
        let mut timed_out = false;
        let status = std::thread::scope(|scope| {
            if let (Some(mut pipe), Some(bytes)) = (stdin, &self.stdin) {
                // A program that does not read all of its input is no fault of the step.
                scope.spawn(move || drop(pipe.write_all(bytes)));
            }
            let out = sender.clone();
            scope.spawn(move || stdout.map(|pipe| pump(pipe, Stream::Out, &out)));
            scope.spawn(move || stderr.map(|pipe| pump(pipe, Stream::Err, &sender)));
            let pid = i32::try_from(child.id()).unwrap_or(0);
            let mut asked = None;
            loop {
                let now = Instant::now();
                let next = asked.or(deadline);
                let wait = next.map_or(Duration::from_secs(3600), |at: Instant| at.saturating_duration_since(now));
                match pieces.recv_timeout(wait) {
                    Ok((stream, bytes)) => {
                        if self.stream {
                            peer.output(stream, &bytes);
                        }
                        kept.add(stream, &bytes);
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) if next.is_none() => {}
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        timed_out = true;
                        signal(pid, if asked.is_some() { Signal::KILL } else { Signal::TERM });
                        asked = Some(Instant::now() + GRACE);
                    }
                }
            }
            child.wait()
        })
        .or_step(|| format!("cannot wait for `{}`", self.shown()))?;
        let ran = Ran {
            code: status.code(),
            signal: status.signal(),
            stdout: kept.out,
            stderr: kept.err,
            truncated: kept.truncated,
        };
        if timed_out {
            let limit = self.timeout.unwrap_or_default().as_secs_f64();
            let error = Error::step(format!("`{}` did not end within {limit} s and was stopped", self.shown()));
            return Err(match ran.tail() {
                tail if tail.is_empty() => error,
                tail => error.note(tail),
            });
        }
        Ok(ran)
    }
}

/// Where programs are looked for: as this process was told, then the usual places for administration,
/// which the login shells of ordinary users leave out.
pub(super) fn search_path() -> String {
    let told = std::env::var("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut dirs: Vec<&str> = told.split(':').filter(|dir| !dir.is_empty()).collect();
    for dir in usual {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.join(":")
}

fn stopped() -> Error {
    Error::new(crate::error::Kind::Interrupted, "stopped")
}

#[derive(Default)]
struct Kept {
    out: Vec<u8>,
    err: Vec<u8>,
    truncated: bool,
}

impl Kept {
    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        let room = OUTPUT_LIMIT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.truncated |= bytes.len() > room;
    }
}

fn pump(mut pipe: impl Read, stream: Stream, sender: &mpsc::SyncSender<(Stream, Vec<u8>)>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = pipe.read(&mut buffer) {
        if count == 0 || sender.send((stream, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::NoPeer;
    use super::*;

    fn run(command: &Command) -> Result<Ran> {
        command.execute(&Jobs::default(), &NoPeer)
    }

    #[test]
    fn both_streams_and_the_status_come_back() {
        let ran = run(&Command::new(shell("cat; echo err >&2; exit 3")).stdin(b"in".to_vec())).unwrap();
        assert_eq!((ran.code, ran.stdout.as_slice(), ran.stderr.as_slice()), (Some(3), &b"in"[..], &b"err\n"[..]));
    }

    #[test]
    fn a_command_over_its_time_is_stopped_with_all_its_children() {
        let started = Instant::now();
        let error = run(&Command::new(shell("sleep 60 & sleep 60")).timeout(Duration::from_millis(100))).unwrap_err();
        assert!(error.message().contains("did not end within 0.1 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn stopping_the_jobs_ends_what_runs() {
        let jobs = Jobs::default();
        let stopper = jobs.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            stopper.stop(Duration::from_secs(2));
        });
        let error = Command::new(["sleep", "60"]).execute(&jobs, &NoPeer).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Interrupted);
        thread.join().unwrap();
    }

    #[test]
    fn a_step_that_must_be_finished_is_and_may_look_at_what_it_did() {
        let jobs = Jobs::default();
        let stopper = jobs.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            stopper.stop(Duration::from_secs(2));
        });
        let finish = Command { finish: true, ..Command::new(["sleep", "0.3"]) };
        assert!(finish.execute(&jobs, &NoPeer).unwrap().success());
        thread.join().unwrap();
        assert!(run_with(&jobs).is_ok());
        jobs.step_ended();
        assert_eq!(run_with(&jobs).unwrap_err().kind(), crate::error::Kind::Interrupted);
    }

    fn run_with(jobs: &Jobs) -> Result<Ran> {
        Command::new(["true"]).execute(jobs, &NoPeer)
    }

    #[test]
    fn a_missing_program_is_named() {
        assert!(run(&Command::new(["/no/such"])).unwrap_err().to_string().starts_with("cannot run `/no/such`: "));
    }
}
