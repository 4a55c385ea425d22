//! Running a program: an argument vector, never a string for a shell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::jobs::{Jobs, signal};
use super::peer::Peer;
use crate::error::{Context, Detail, Error, Result};
use crate::wire::Stream;

/// How much of each stream is kept, in bytes. What comes beyond is read and dropped.
pub(crate) const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;

/// How long a command may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long is waited for output of a program that has ended, when others hold its pipes.
const LINGER: Duration = Duration::from_millis(500);

/// How often it is looked whether a program has ended whose pipes say nothing.
const TICK: Duration = Duration::from_millis(50);

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
        let mut child = command.spawn().map_err(|e| self.not_started(program, e).detailed(Detail::NotStarted))?;
        let entry = (!jobs.is_finishing()).then(|| jobs.enter(child.id()));
        let ran = self.attend(&mut child, jobs, peer);
        drop(entry);
        jobs.took(begun.elapsed());
        if jobs.is_stopped() {
            return Err(stopped());
        }
        ran
    }

    /// Why nothing was started: the system has one word for a missing program and a missing directory.
    fn not_started(&self, program: &str, e: io::Error) -> Error {
        let error = Error::step(format!("cannot run `{program}`"));
        match self.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            Some(cwd) if cwd.exists() => error.because(format!("`{}` is not a directory", cwd.display())),
            Some(cwd) => error.because(format!("the directory `{}` does not exist", cwd.display())),
            None => error.because(e),
        }
    }

    /// Feeds and drains a started child, and ends it when its time is up.
    fn attend(&self, child: &mut Child, jobs: &Jobs, peer: &dyn Peer) -> Result<Ran> {
        let deadline = self.timeout.map(|limit| Instant::now() + limit);
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin.clone()) {
            // A program that does not read all of its input is no fault of the step. What it leaves behind may hold the
            // pipe, so nobody waits for this thread.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let failed = || format!("cannot wait for `{}`", self.shown());
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let mut pipes = Pipes::of(child);
        let mut kept = Kept::default();
        let mut signals = [Signal::TERM, Signal::KILL].into_iter();
        let (mut asked, mut last) = (None, None);
        let status = loop {
            let status = child.try_wait().or_step(failed)?;
            let now = Instant::now();
            if let Some(status) = status {
                // What runs on in the background may hold the pipes for ever. What the program itself wrote is in them.
                let last = *last.get_or_insert(now + LINGER);
                if pipes.open.is_empty() || now >= last || jobs.is_stopped() {
                    break Some(status);
                }
            }
            let next = if status.is_some() { last } else { asked.or(deadline) };
            if status.is_none() && next.is_some_and(|next| now >= next) {
                let Some(next) = signals.next() else { break None };
                signal(pid, next);
                asked = Some(now + GRACE);
                continue;
            }
            let left = next.map_or(TICK, |next: Instant| next.saturating_duration_since(now));
            pipes.read(left.min(TICK), &mut |stream, bytes| {
                if self.stream {
                    peer.output(stream, bytes);
                }
                kept.add(stream, bytes);
            });
        };
        if asked.is_some() || jobs.is_stopped() {
            // Its children may not have listened, and nobody waits for them.
            signal(pid, Signal::KILL);
        }
        let ran = Ran {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout: kept.out,
            stderr: kept.err,
            truncated: kept.truncated,
        };
        if asked.is_some() {
            let limit = self.timeout.unwrap_or_default().as_secs_f64();
            let end = if status.is_some() { "was stopped" } else { "cannot be stopped" };
            let error = Error::step(format!("`{}` did not end within {limit} s and {end}", self.shown()));
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

/// What a child writes to, as long as somebody can write there.
struct Pipes {
    open: Vec<(Stream, File)>,
    buffer: Vec<u8>,
    /// How long to wait where nothing is open any more.
    pause: Duration,
}

impl Pipes {
    fn of(child: &mut Child) -> Self {
        let out = child.stdout.take().map(|pipe| (Stream::Out, File::from(OwnedFd::from(pipe))));
        let err = child.stderr.take().map(|pipe| (Stream::Err, File::from(OwnedFd::from(pipe))));
        let open = out.into_iter().chain(err).collect();
        Self { open, buffer: vec![0; 64 * 1024], pause: Duration::from_millis(2) }
    }

    /// Waits for something to read, and reads it once; those at their end are closed.
    fn read(&mut self, longest: Duration, take: &mut dyn FnMut(Stream, &[u8])) {
        let Self { open, buffer, pause } = self;
        if open.is_empty() {
            // A program closes its pipes when it ends, a moment before that is told; one that did so earlier can wait.
            std::thread::sleep(longest.min(*pause));
            *pause = (*pause * 2).min(TICK);
            return;
        }
        let mut ready: Vec<PollFd> = open.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
        let longest =
            Timespec { tv_sec: longest.as_secs().try_into().unwrap_or(0), tv_nsec: longest.subsec_nanos().into() };
        // Interrupted, it is asked again.
        let _ = poll(&mut ready, Some(&longest));
        let ready: Vec<bool> = ready.iter().map(|pipe| !pipe.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        open.retain_mut(|(stream, pipe)| {
            if !ready.next().unwrap_or_default() {
                return true;
            }
            match pipe.read(buffer) {
                Ok(0) => false,
                Ok(count) => {
                    take(*stream, &buffer[..count]);
                    true
                }
                Err(e) => e.kind() == io::ErrorKind::Interrupted,
            }
        });
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

    /// Whether the process whose number is in a file goes within two seconds.
    fn goes(file: &std::path::Path) -> bool {
        let pid = std::fs::read_to_string(file).unwrap();
        for _ in 0..100 {
            // One that ended and that nobody has waited for has no words any more.
            if std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default().is_empty() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    #[test]
    fn children_that_do_not_listen_are_stopped_too() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let deaf = |file: &std::path::Path| {
            let script = format!("(trap '' TERM; exec sleep 300) & echo $! >'{}'; wait", file.display());
            Command::new(shell(&script))
        };
        let error = run(&deaf(&one).timeout(Duration::from_millis(500))).unwrap_err();
        assert!(error.message().ends_with("and was stopped"), "{error}");
        assert!(goes(&one));
        let jobs = Jobs::default();
        let stopper = jobs.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            stopper.stop(Duration::from_secs(2));
        });
        assert!(deaf(&other).execute(&jobs, &NoPeer).is_err());
        thread.join().unwrap();
        assert!(goes(&other));
    }

    #[test]
    fn what_runs_on_in_the_background_holds_neither_the_step_nor_its_time() {
        let started = Instant::now();
        for script in
            ["echo early; sleep 20 &", "echo early; setsid sleep 20 &", "echo early; sleep 20 </dev/null & exit 0"]
        {
            let ran = run(&Command::new(shell(script)).timeout(Duration::from_secs(15))).unwrap();
            assert_eq!((ran.code, ran.text().as_str()), (Some(0), "early"), "{script}");
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_time_is_kept_though_the_pipes_are_held_by_others_or_closed() {
        for script in ["setsid sleep 20 & exec sleep 30", "exec >/dev/null 2>&1; exec sleep 30"] {
            let started = Instant::now();
            let error = run(&Command::new(shell(script)).timeout(Duration::from_millis(100))).unwrap_err();
            assert!(error.message().ends_with("did not end within 0.1 s and was stopped"), "{error}");
            assert!(started.elapsed() < Duration::from_secs(4), "{script}");
        }
    }

    #[test]
    fn a_long_input_that_nobody_reads_holds_nothing() {
        let ran = run(&Command::new(["true"]).stdin(vec![b'x'; 1 << 20])).unwrap();
        assert!(ran.success());
    }

    #[test]
    fn a_long_output_is_whole_to_its_last_byte() {
        let ran = run(&Command::new(shell("head -c 3000000 /dev/zero; head -c 70000 /dev/zero >&2"))).unwrap();
        assert_eq!((ran.stdout.len(), ran.stderr.len(), ran.truncated), (3_000_000, 70_000, false));
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

    #[test]
    fn a_missing_directory_is_not_told_as_a_missing_program() {
        let within = |cwd: &str| Command { cwd: Some(cwd.into()), ..Command::new(["true"]) };
        let message = |cwd| run(&within(cwd)).unwrap_err().to_string();
        assert_eq!(message("/no/such"), "cannot run `true`: the directory `/no/such` does not exist");
        assert_eq!(message("/etc/passwd"), "cannot run `true`: `/etc/passwd` is not a directory");
    }
}
