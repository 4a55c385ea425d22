//! What the time of a run was spent on: a table at its end, and a trace for the profiler of a browser.

mod sweep;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use self::sweep::{Segment, segments};
use super::human::call;
use super::{Reporter, line};
use crate::event::{Event, Part, Span, What};

/// Collects spans of time, and shows at the end what they come to.
pub struct Profile<W> {
    out: W,
    trace: Option<File>,
    all: bool,
    kept: Kept,
}

/// What is kept of a run.
#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    steps: BTreeMap<u64, Label>,
}

/// A step for people.
struct Label {
    call: String,
    place: String,
}

/// What a host's time was spent on, moment by moment, without a gap and without anything twice.
type Hosts<'a> = BTreeMap<&'a str, Vec<Segment>>;

impl<W: Write> Profile<W> {
    /// A table into `out`, with every host and step if `verbose` is more than 0, and a trace into a file.
    pub fn new(out: W, trace: Option<File>, verbose: u8) -> Self {
        Self { out, trace, all: verbose > 0, kept: Kept::default() }
    }
}

impl Kept {
    fn hosts(&self) -> Hosts<'_> {
        let end = self.end();
        let mut own: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
        let mut shared = Vec::new();
        for span in &self.spans {
            match &span.host {
                Some(host) => own.entry(host).or_default().push(span),
                None => shared.push(span),
            }
        }
        own.into_iter().map(|(host, spans)| (host, segments(&spans, &shared, end))).collect()
    }

    /// When the run ended, in microseconds.
    fn end(&self) -> u64 {
        self.spans.iter().map(|span| span.at + span.took).max().unwrap_or(0)
    }
}

impl<W: Write> Reporter for Profile<W> {
    fn event(&mut self, event: &Event) {
        match &event.what {
            What::StepStarted { step } => {
                let place = step.place.as_ref().map(ToString::to_string).unwrap_or_default();
                self.kept.steps.insert(step.id, Label { call: call(step), place });
            }
            What::Spent(span) => self.kept.spans.push(span.clone()),
            _ => {}
        }
    }

    fn finish(&mut self) {
        for text in table::lines(&self.kept, self.all) {
            line(&mut self.out, &text);
        }
        if let Some(file) = self.trace.take() {
            // Whether the file can be written was found out before the run; a full disk is told, not fatal.
            if let Err(e) = trace::write(&self.kept, &mut BufWriter::new(file)) {
                line(&mut self.out, &format!("the trace could not be written: {e}"));
            }
        }
    }
}

/// The name of a part, as in events.
fn name(part: Part) -> &'static str {
    match part {
        Part::Control => "control",
        Part::Connect => "connect",
        Part::Network => "network",
        Part::Agent => "agent",
        Part::Child => "child",
        Part::Waiting => "waiting",
    }
}

#[cfg(test)]
mod tests;
