//! Events as text for people: quiet, then what changed, then a recap.

use std::collections::BTreeSet;

use super::recap::{Counts, Recap};
use super::sink::Sink;
use super::text::{Style, Text};
use super::warning_dedup::{WarningDedup, pattern};
use super::{Reporter, diff, fault};
use crate::change::{Outcome, Status};
use crate::error::{Error, Kind, Place, Result};
use crate::event::{Event, EventKind, Step};
use crate::wire::Mode;

/// Shows a run as it goes.
pub(crate) struct Human {
    out: Sink,
    verbose: u8,
    diffs: bool,
    recap: Recap,
    mode: Mode,
    quiet: bool,
    warnings: WarningDedup,
    /// The steps that have been told to be tried again: host, operation and place.
    retried: BTreeSet<(String, String, Option<Place>)>,
}

impl Human {
    /// Writes to `out`; `verbose` 1 adds steps that changed nothing, 2 adds what commands print.
    pub(crate) fn new(out: Sink, verbose: u8, diffs: bool) -> Self {
        Self {
            out,
            verbose,
            diffs,
            recap: Recap::default(),
            mode: Mode::Apply,
            quiet: false,
            warnings: WarningDedup::default(),
            retried: BTreeSet::new(),
        }
    }

    /// Shows only what failed.
    pub(crate) fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    fn style(&self) -> Style {
        self.out.style()
    }

    fn say(&mut self, text: impl std::borrow::Borrow<Text>) {
        self.out.line(text.borrow());
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
        let style = self.style();
        let word = match warning {
            true => Text::default().paint(style.yellow(), "warning").then("      "),
            false => Text::line(format_args!("{:13}", "")),
        };
        let host = host.map(|host| format!("{host:<14} ")).unwrap_or_default();
        // What is said keeps its columns, and a sign before each further line.
        let gutter = Text::line(format_args!("{:1$}: ", "", 11 + host.chars().count()));
        self.say(word.then(host).then_lines(&gutter, style.none(), text));
    }

    fn step_done(&mut self, step: &Step, outcome: &Outcome, took: u64) {
        let style = self.style();
        let (word, colour) = match outcome.status {
            Status::Changed => ("changed", style.yellow()),
            Status::WouldChange => ("would change", style.yellow()),
            Status::WouldRun => ("would run", style.yellow()),
            Status::Unknown => ("unknown", style.blue()),
            Status::Ok => ("ok", style.green()),
            Status::Skipped => ("skipped", style.blue()),
            Status::Read => ("read", style.green()),
        };
        if self.verbose == 0 && matches!(outcome.status, Status::Ok | Status::Skipped | Status::Read) {
            return;
        }
        let mut text = Text::default().paint(colour, format_args!("{word:<12}"));
        text = text.then(format_args!(" {:<14} ", step.host)).and(&call(step));
        if let Some(reason) = &outcome.reason {
            text = text.then(format_args!(" ({reason})"));
        }
        if took >= 1000 {
            text = text.then(format_args!(" [{}]", seconds(took)));
        }
        self.say(text);
        if let Some(diff) = outcome.diff.as_ref().filter(|_| self.diffs) {
            for shown in diff::lines(diff, style) {
                self.say(Text::line("    ").and(&shown));
            }
        }
    }

    fn host_line(&mut self, host: &str, counts: Counts) {
        let style = self.style();
        let changed = if self.mode == Mode::Check { "would change" } else { "changed" };
        let mut text = Text::line(format_args!("  {host:<14} ok {}", counts.ok));
        let parts = [
            (changed, counts.changed, style.yellow()),
            ("skipped", counts.skipped, style.blue()),
            ("unknown", counts.unknown, style.blue()),
            ("failed", counts.failed, style.red()),
            ("caught", counts.caught, style.yellow()),
        ];
        for (word, count, colour) in parts.into_iter().filter(|(_, count, _)| *count > 0) {
            text = text.then("  ").paint(colour, format_args!("{word} {count}"));
            if word == changed && counts.assumed > 0 {
                text = text.then(format_args!(" ({} assumed)", counts.assumed));
            }
        }
        if let Some(error) = self.recap.lost.get(host) {
            let short = error.to_string();
            let short = short.lines().next().unwrap_or_default();
            text = text.then("  ").paint(style.red(), format_args!("out: {short}"));
        } else if let Some(reason) = self.recap.unpredicted.get(host) {
            text = text.then("  ").then(reason);
        }
        self.say(text);
    }
}

/// Whether a host failed for what the script says or what is wrong in it, so that no step has told of it.
fn of_script(error: &Error) -> bool {
    match error.kind() {
        Kind::Playbook => true,
        Kind::Assertion | Kind::Inventory => error.step_name().is_none(),
        _ => false,
    }
}

impl Reporter for Human {
    fn event(&mut self, event: &Event) {
        self.recap.add(event);
        let style = self.style();
        let failure = match &event.what {
            EventKind::StepFailed { .. } | EventKind::Said { warning: true, .. } => true,
            EventKind::HostFailed { error, .. } | EventKind::HostKept { error, .. } => of_script(error),
            _ => false,
        };
        if self.quiet && !failure {
            return;
        }
        // Whatever marks another part of the run comes after what was said in the part before.
        let border = matches!(
            &event.what,
            EventKind::PlayStarted { .. }
                | EventKind::PlaySkipped { .. }
                | EventKind::TaskStarted { .. }
                | EventKind::TaskDone { .. }
                | EventKind::StepFailed { .. }
                | EventKind::HostFailed { .. }
                | EventKind::HostKept { .. }
                | EventKind::RunDone { .. }
                | EventKind::Said { host: None, .. }
        );
        if border {
            self.warned();
        }
        match &event.what {
            EventKind::RunStarted { mode, .. } => self.mode = *mode,
            EventKind::PlayStarted { playbook } => {
                self.say(Text::default().paint(style.bold(), format_args!("play {playbook}")));
            }
            EventKind::PlaySkipped { playbook, completed } => {
                let rest = format_args!("      play {playbook}, completed {completed} with the same inputs");
                self.say(Text::default().paint(style.blue(), "skipped").then(rest));
            }
            EventKind::TaskStarted { task } => self.say(Text::default().paint(style.bold(), task)),
            EventKind::TaskDone { task, took } if self.verbose > 0 => {
                self.say(Text::line(format_args!("{task}: {}", seconds(*took))));
            }
            EventKind::Connected { host, way, pushed, took } if self.verbose > 0 => {
                let agent = if *pushed { ", agent copied" } else { "" };
                let took = seconds(*took);
                self.say(Text::line(format_args!("connected    {host:<14} {way}{agent} [{took}]")));
            }
            EventKind::Output { host, text, .. } if self.verbose > 1 && !text.is_empty() => {
                let shown = |line| Text::line(format_args!("{:12} {host:<14} {line}", ""));
                self.say(Text::joined(text.lines().map(shown)));
            }
            EventKind::StepDone { step, outcome, took } => self.step_done(step, outcome, *took),
            EventKind::StepFailed { step, error, .. } => {
                let head = Text::default().paint(style.red(), "failed").then(format_args!("       {:<14} ", step.host));
                self.say(head.and(&call(step)));
                self.say(fault::render(error, style));
            }
            // A fault of the script that this host alone met: no step has told of it, and its place is what is needed.
            EventKind::HostFailed { host, error } | EventKind::HostKept { host, error } if of_script(error) => {
                self.say(Text::default().paint(style.red(), "failed").then(format_args!("       {host}")));
                self.say(fault::render(error, style));
            }
            EventKind::Retry { step, error, left } => {
                // What takes long is told once; how it goes on, only to those who want to see every step.
                let known = (step.host.clone(), step.op.clone(), step.place.clone());
                if !self.retried.insert(known) && self.verbose == 0 {
                    return;
                }
                let times = if *left == 1 { "once" } else { "times" };
                let left = if *left == 1 { String::new() } else { format!("{left} ") };
                let head = Text::line(format_args!("retry        {:<14} ", step.host)).and(&call(step));
                self.say(head.then(format_args!(": {error} (will try {left}{times} more)")));
            }
            EventKind::Said { host: Some(host), warning: true, text } => self.warnings.hold(host, text),
            EventKind::Said { host, warning, text } => self.said(host.as_deref(), *warning, text),
            EventKind::PredictionEnded { reason, place } => {
                let text = super::recap::unknown_from(place.as_ref(), reason);
                let head = Text::default().paint(style.blue(), "unpredicted");
                self.say(head.then(format_args!("  the rest is {text}")));
            }
            _ => {}
        }
    }

    fn tick(&mut self) {
        if self.warnings.is_due() {
            self.warned();
        }
    }

    fn finish(&mut self) -> Result {
        self.warned();
        if !self.quiet {
            self.recapped();
        }
        self.out.ended()
    }
}

impl Human {
    /// Shows what the run came to.
    fn recapped(&mut self) {
        let skipped = match self.recap.skipped.len() {
            0 => String::new(),
            1 => ", 1 playbook skipped".to_owned(),
            count => format!(", {count} playbooks skipped"),
        };
        if self.recap.hosts.is_empty() {
            if !skipped.is_empty() {
                self.say(Text::line(format_args!("nothing done{skipped}")));
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
        let steps = total.ok + total.changed + total.skipped + total.unknown + total.failed + total.caught;
        let head = format_args!("{head}, {steps} steps in {}{skipped}", seconds(self.recap.ms)).to_string();
        self.say(Text::default().paint(self.style().bold(), head));
        let all: Vec<(String, Counts)> =
            self.recap.hosts.iter().map(|(host, counts)| (host.clone(), *counts)).collect();
        for (host, counts) in all {
            self.host_line(&host, counts);
        }
    }
}

/// A step as the call that made it.
pub(super) fn call(step: &Step) -> Text {
    let user = step.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let task = step
        .task
        .as_ref()
        .filter(|task| *task == "left by an earlier run")
        .map(|task| format!(" ({task})"))
        .unwrap_or_default();
    Text::line(format_args!("{} {}{user}{task}", step.op, step.subject))
}

/// A length of time in milliseconds as people read it.
pub(super) fn seconds(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms} ms");
    }
    let tenths = (ms + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}
