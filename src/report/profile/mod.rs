//! What the time of a run was spent on: a table at its end, and a trace for the profiler of a browser.

mod sweep;
mod table;
mod trace;

use std::collections::BTreeMap;

use self::sweep::{Segment, segments};
use super::human::call;
use super::{Reporter, Sink, Text};
use crate::error::Result;
use crate::event::{Event, EventKind, Span, TimeSpentOn};

/// Collects spans of time, and shows at the end what they come to.
pub(crate) struct Profile {
    out: Sink,
    trace: Option<Sink>,
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

impl Profile {
    /// A table into `out`, with every host and step if `verbose` is more than 0, and a trace into a file.
    pub(crate) fn new(out: Sink, trace: Option<Sink>, verbose: u8) -> Self {
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

impl Reporter for Profile {
    fn event(&mut self, event: &Event) {
        match &event.what {
            EventKind::StepStarted { step } => {
                let place = step.place.as_ref().map(ToString::to_string).unwrap_or_default();
                self.kept.steps.insert(step.id, Label { call: call(step).as_str().to_owned(), place });
            }
            EventKind::Spent(span) => self.kept.spans.push(span.clone()),
            _ => {}
        }
    }

    fn finish(&mut self) -> Result {
        for text in table::lines(&self.kept, self.all) {
            self.out.line(&Text::line(text));
        }
        if let Some(mut trace) = self.trace.take() {
            trace.put(&Text::json(&trace::of(&self.kept)));
            trace.ended()?;
        }
        self.out.ended()
    }
}

/// The name of a part, as in events.
fn name(part: TimeSpentOn) -> &'static str {
    match part {
        TimeSpentOn::Control => "control",
        TimeSpentOn::Connect => "connect",
        TimeSpentOn::Network => "network",
        TimeSpentOn::Agent => "agent",
        TimeSpentOn::Child => "child",
        TimeSpentOn::Waiting => "waiting",
    }
}

#[cfg(test)]
mod tests;
