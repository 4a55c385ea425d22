//! Events as text for people: quiet, then what changed, then a recap.

use std::collections::BTreeSet;
use std::io::Write;

use super::folded::{Folded, pattern};
use super::recap::{Counts, Recap};
use super::{Reporter, diff, fault, line};
use crate::change::{Outcome, Status};
use crate::error::Place;
use crate::event::{Event, Step, What};
use crate::wire::Mode;

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    colour: bool,
}

impl Look {
    /// Text without colours.
    pub fn plain() -> Self {
        Self { colour: false }
    }

    /// Colours, when that is what a terminal gets.
    pub fn coloured(colour: bool) -> Self {
        Self { colour }
    }

    /// Colours where the stream is a terminal, unless `NO_COLOR` is set.
    pub fn of(stream: &impl std::io::IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && stream.is_terminal() }
    }

    fn code(self, code: &'static str) -> &'static str {
        if self.colour { code } else { "" }
    }

    pub(super) fn red(self) -> &'static str {
        self.code("\x1b[31m")
    }

    pub(super) fn green(self) -> &'static str {
        self.code("\x1b[32m")
    }

    pub(super) fn yellow(self) -> &'static str {
        self.code("\x1b[33m")
    }

    pub(super) fn blue(self) -> &'static str {
        self.code("\x1b[34m")
    }

    pub(super) fn bold(self) -> &'static str {
        self.code("\x1b[1m")
    }

    pub(super) fn reset(self) -> &'static str {
        self.code("\x1b[0m")
    }
}

/// Shows a run as it goes.
pub struct Human<W> {
    out: W,
    look: Look,
    verbose: u8,
    diffs: bool,
    recap: Recap,
    mode: Mode,
    quiet: bool,
    warnings: Folded,
    /// The steps that have been told to be tried again: host, operation and place.
    retried: BTreeSet<(String, String, Option<Place>)>,
}

impl<W: Write> Human<W> {
    /// Writes to `out`; `verbose` 1 adds steps that changed nothing, 2 adds what commands print.
    pub fn new(out: W, look: Look, verbose: u8, diffs: bool) -> Self {
        Self {
            out,
            look,
            verbose,
            diffs,
            recap: Recap::default(),
            mode: Mode::Apply,
            quiet: false,
            warnings: Folded::default(),
            retried: BTreeSet::new(),
        }
    }

    /// Shows only what failed.
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    fn say(&mut self, text: &str) {
        line(&mut self.out, text);
    }

    /// Shows the warnings that were held back for others like them.
    fn warned(&mut self) {
        for (text, hosts) in self.warnings.take() {
            match hosts.as_slice() {
                [host] => self.said(Some(host), true, &text),
                hosts => {
                    self.said(Some(&format!("{} hosts", hosts.len())), true, &format!("{text} ({})", pattern(hosts)));
                }
            }
        }
    }

    fn said(&mut self, host: Option<&str>, warning: bool, text: &str) {
        let look = self.look;
        let word = match warning {
            true => format!("{}warning{}      ", look.yellow(), look.reset()),
            false => format!("{:13}", ""),
        };
        let host = host.map(|host| format!("{host:<14} ")).unwrap_or_default();
        self.say(&format!("{word}{host}{}", text.lines().map(printable).collect::<Vec<_>>().join("\n")));
    }

    fn step_done(&mut self, step: &Step, outcome: &Outcome, took: u64) {
        let (word, colour) = match outcome.status {
            Status::Changed => ("changed", self.look.yellow()),
            Status::WouldChange => ("would change", self.look.yellow()),
            Status::WouldRun => ("would run", self.look.yellow()),
            Status::Unknown => ("unknown", self.look.blue()),
            Status::Ok => ("ok", self.look.green()),
            Status::Skipped => ("skipped", self.look.blue()),
            Status::Read => ("read", self.look.green()),
        };
        if self.verbose == 0 && matches!(outcome.status, Status::Ok | Status::Skipped | Status::Read) {
            return;
        }
        let mut text = format!("{colour}{word:<12}{} {:<14} {}", self.look.reset(), step.host, call(step));
        if let Some(reason) = &outcome.reason {
            text += &format!(" ({})", printable(reason));
        }
        if took >= 1000 {
            text += &format!(" [{}]", seconds(took));
        }
        self.say(&text);
        if let Some(diff) = outcome.diff.as_ref().filter(|_| self.diffs) {
            for shown in diff::lines(diff, self.look) {
                self.say(&format!("    {}", if self.look.colour { shown } else { printable(&shown) }));
            }
        }
    }

    fn host_line(&mut self, host: &str, counts: Counts) {
        let look = self.look;
        let changed = if self.mode == Mode::Check { "would change" } else { "changed" };
        let mut parts = vec![format!("ok {}", counts.ok)];
        let mut part = |word: &str, count: usize, colour: &str| {
            if count > 0 {
                parts.push(format!("{colour}{word} {count}{}", look.reset()));
            }
        };
        part(changed, counts.changed, look.yellow());
        part("skipped", counts.skipped, look.blue());
        part("unknown", counts.unknown, look.blue());
        part("failed", counts.failed, look.red());
        let mut text = format!("  {host:<14} {}", parts.join("  "));
        if let Some(error) = self.recap.lost.get(host) {
            let short = printable(&error.to_string());
            text += &format!("  {}out: {}{}", look.red(), short.lines().next().unwrap_or_default(), look.reset());
        } else if let Some(reason) = self.recap.unpredicted.get(host) {
            text += &format!("  {}", printable(reason));
        }
        self.say(&text);
    }
}

impl<W: Write> Reporter for Human<W> {
    fn event(&mut self, event: &Event) {
        self.recap.add(event);
        let look = self.look;
        let failure = matches!(&event.what, What::StepFailed { .. } | What::Said { warning: true, .. });
        if self.quiet && !failure {
            return;
        }
        // Whatever marks another part of the run comes after what was said in the part before.
        let border = matches!(
            &event.what,
            What::PlayStarted { .. }
                | What::PlaySkipped { .. }
                | What::TaskStarted { .. }
                | What::TaskDone { .. }
                | What::StepFailed { .. }
                | What::RunDone { .. }
                | What::Said { host: None, .. }
        );
        if border {
            self.warned();
        }
        match &event.what {
            What::RunStarted { mode, .. } => self.mode = *mode,
            What::PlayStarted { playbook } => self.say(&format!("{}play {playbook}{}", look.bold(), look.reset())),
            What::PlaySkipped { playbook, completed } => self.say(&format!(
                "{}skipped{}      play {playbook}, completed {completed} with the same inputs",
                look.blue(),
                look.reset()
            )),
            What::TaskStarted { task } => self.say(&format!("{}{task}{}", look.bold(), look.reset())),
            What::TaskDone { task, took } if self.verbose > 0 => self.say(&format!("{task}: {}", seconds(*took))),
            What::Connected { host, way, pushed, took } if self.verbose > 0 => {
                let agent = if *pushed { ", agent copied" } else { "" };
                self.say(&format!("connected    {host:<14} {way}{agent} [{}]", seconds(*took)));
            }
            What::Output { host, text, .. } if self.verbose > 1 => {
                for shown in text.lines() {
                    self.say(&format!("{:12} {host:<14} {}", "", printable(shown)));
                }
            }
            What::StepDone { step, outcome, took } => self.step_done(step, outcome, *took),
            What::StepFailed { step, error, .. } => {
                self.say(&format!("{}failed{}       {:<14} {}", look.red(), look.reset(), step.host, call(step)));
                let shown = fault::render(error, look);
                self.say(&if look.colour {
                    shown
                } else {
                    shown.lines().map(printable).collect::<Vec<_>>().join("\n")
                });
            }
            What::Retry { step, error, left } => {
                // What takes long is told once; how it goes on, only to those who want to see every step.
                let known = (step.host.clone(), step.op.clone(), step.place.clone());
                if !self.retried.insert(known) && self.verbose == 0 {
                    return;
                }
                let (shown, times) = (printable(&error.to_string()), if *left == 1 { "once" } else { "times" });
                let left = if *left == 1 { String::new() } else { format!("{left} ") };
                self.say(&format!(
                    "retry        {:<14} {}: {shown} (will try {left}{times} more)",
                    step.host,
                    call(step)
                ));
            }
            What::Said { host: Some(host), warning: true, text } => self.warnings.hold(host, text),
            What::Said { host, warning, text } => self.said(host.as_deref(), *warning, text),
            What::PredictionEnded { reason, place } => {
                let text = super::recap::unknown_from(place.as_ref(), reason);
                self.say(&format!("{}unpredicted{}  the rest is {}", look.blue(), look.reset(), printable(&text)));
            }
            _ => {}
        }
    }

    fn tick(&mut self) {
        if self.warnings.is_due() {
            self.warned();
        }
    }

    fn finish(&mut self) {
        self.warned();
        if self.quiet {
            return;
        }
        let skipped = match self.recap.skipped.len() {
            0 => String::new(),
            1 => ", 1 playbook skipped".to_owned(),
            count => format!(", {count} playbooks skipped"),
        };
        if self.recap.hosts.is_empty() {
            if !skipped.is_empty() {
                self.say(&format!("nothing done{skipped}"));
            }
            return;
        }
        let total = self.recap.total();
        let count = self.recap.hosts.len();
        let hosts = if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") };
        let head = match (self.mode, total.changed + total.unknown, total.failed + self.recap.lost.len()) {
            (Mode::Apply, 0, 0) => format!("nothing changed on {hosts}"),
            (Mode::Check, 0, 0) => format!("nothing would change on {hosts}"),
            (Mode::Check, ..) => format!("check of {hosts}"),
            (Mode::Apply, ..) => format!("recap of {hosts}"),
        };
        let (bold, reset) = (self.look.bold(), self.look.reset());
        self.say(&format!(
            "{bold}{head}, {} steps in {}{skipped}{reset}",
            total.ok + total.changed + total.skipped + total.unknown + total.failed,
            seconds(self.recap.ms)
        ));
        let all: Vec<(String, Counts)> =
            self.recap.hosts.iter().map(|(host, counts)| (host.clone(), *counts)).collect();
        for (host, counts) in all {
            self.host_line(&host, counts);
        }
    }
}

/// A step as the call that made it.
pub(super) fn call(step: &Step) -> String {
    let user = step.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let task = step
        .task
        .as_ref()
        .filter(|task| *task == "left by an earlier run")
        .map(|task| format!(" ({task})"))
        .unwrap_or_default();
    printable(&format!("{} {}{user}{task}", step.op, step.subject))
}

/// A length of time in milliseconds as people read it.
pub(super) fn seconds(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms} ms");
    }
    let tenths = (ms + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// Text of a host's, without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
