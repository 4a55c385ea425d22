//! Events as a JUnit report: a suite a task, a case a step on a host.

use std::fmt::Write as _;

use super::sink::Sink;
use super::text::Text;
use super::{Recap, Reporter, Style, diff, fault};
use crate::change::{Outcome, Status};
use crate::error::{Error, Result};
use crate::event::{Event, EventKind, Step};

/// The suite of the steps that belong to no task.
const REST: &str = "playbook";

/// How a case ended.
enum End {
    Passed,
    Skipped(String),
    Failed(Error),
    /// A check found that something would be done: what, and what differs.
    Drifted(&'static str, Text),
}

struct Case {
    /// The step, where it is one.
    id: Option<u64>,
    host: String,
    name: String,
    ms: u64,
    end: End,
}

/// Collects cases, and writes the report at the end.
pub(crate) struct JUnit {
    out: Sink,
    /// Suites in the order of their first case.
    suites: Vec<(String, Vec<Case>)>,
    recap: Recap,
    /// What ended the run.
    ended: Option<Error>,
}

impl JUnit {
    /// A report into `out`.
    pub(crate) fn new(out: Sink) -> Self {
        Self { out, suites: Vec::new(), recap: Recap::default(), ended: None }
    }

    fn add(&mut self, suite: Option<&String>, case: Case) {
        let name = suite.map_or(REST, String::as_str);
        match self.suites.iter_mut().find(|(known, _)| known == name) {
            Some((_, cases)) => cases.push(case),
            None => self.suites.push((name.to_owned(), vec![case])),
        }
    }

    fn step(&mut self, step: &Step, ms: u64, end: End) {
        let line = step.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        let name = format!("{} {}{line}", step.op, step.subject);
        self.add(step.task.as_ref(), Case { id: Some(step.id), host: step.host.clone(), name, ms, end });
    }
}

impl Reporter for JUnit {
    fn event(&mut self, event: &Event) {
        self.recap.add(event);
        match &event.what {
            EventKind::StepDone { step, outcome, took } => {
                let end = match outcome.status {
                    Status::Skipped | Status::Unknown => End::Skipped(outcome.reason.clone().unwrap_or_default()),
                    Status::WouldChange => End::Drifted("would change", differs(outcome)),
                    Status::WouldRun => End::Drifted("would run", differs(outcome)),
                    Status::Ok | Status::Read | Status::Changed => End::Passed,
                };
                self.step(step, *took, end);
            }
            EventKind::StepFailed { step, error, took } => self.step(step, *took, End::Failed(error.clone())),
            EventKind::HostKept { host, error } if error.step_name().is_none() => {
                let (name, end) = ("host".to_owned(), End::Failed(error.clone()));
                self.add(None, Case { id: None, host: host.clone(), name, ms: 0, end });
            }
            EventKind::RunDone { error } => self.ended.clone_from(error),
            _ => {}
        }
    }

    fn finish(&mut self) -> Result {
        self.beside_steps();
        let text = self.report();
        self.out.put(&Text::page(&text));
        self.out.ended()
    }
}

/// What a check found to differ.
fn differs(outcome: &Outcome) -> Text {
    let assumed = outcome.reason.iter().map(Text::line);
    Text::joined(assumed.chain(outcome.diff.iter().flat_map(|diff| diff::lines(diff, Style::plain()))))
}

impl JUnit {
    /// Adds what failed and is no step: hosts that could not be reached, and the script itself.
    fn beside_steps(&mut self) {
        let failures = &self.recap.failures;
        let of_no_step = |(host, _): &(&String, &Error)| failures.of_host(host).0 == 0;
        let mut cases: Vec<Case> = self
            .recap
            .lost
            .iter()
            .filter(of_no_step)
            .map(|(host, error)| {
                let (name, end) = ("host".to_owned(), End::Failed(error.clone()));
                Case { id: None, host: host.clone(), name, ms: 0, end }
            })
            .collect();
        let told = failures.is_any_ended() || !cases.is_empty();
        let ended = self.ended.take().filter(|e| !told || e.step_name().is_none() && e.host().is_none());
        cases.extend(ended.map(|error| {
            let (name, end) = ("script".to_owned(), End::Failed(error));
            Case { id: None, host: String::new(), name, ms: self.recap.ms, end }
        }));
        cases.into_iter().for_each(|case| self.add(None, case));
    }

    fn is_caught(&self, case: &Case) -> bool {
        case.id.is_some_and(|id| self.recap.failures.is_caught(id))
    }

    fn report(&self) -> String {
        let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mk\">\n".to_owned();
        for (name, cases) in &self.suites {
            let has_failed = |case: &&Case| match case.end {
                End::Failed(_) => !self.is_caught(case),
                End::Drifted(..) => true,
                End::Passed | End::Skipped(_) => false,
            };
            let failed = cases.iter().filter(has_failed).count();
            let skipped = cases.iter().filter(|case| matches!(case.end, End::Skipped(_))).count();
            let ms = cases.iter().map(|case| case.ms).sum();
            let _ = writeln!(
                out,
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{}\">",
                escaped(name),
                cases.len(),
                seconds(ms)
            );
            for case in cases {
                self.case(case, &mut out);
            }
            out += "  </testsuite>\n";
        }
        out + "</testsuites>\n"
    }

    fn case(&self, case: &Case, out: &mut String) {
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
            escaped(&case.host),
            escaped(&case.name),
            seconds(case.ms)
        );
        let inside = match &case.end {
            End::Passed => {
                *out += "/>\n";
                return;
            }
            End::Skipped(why) => format!("<skipped message=\"{}\"/>", escaped(why)),
            End::Drifted(what, differs) => {
                format!("<failure type=\"drift\" message=\"{what}\">{}</failure>", escaped(differs.as_str()))
            }
            End::Failed(error) => {
                let shown = escaped(fault::render(error, Style::plain()).as_str());
                match self.is_caught(case) {
                    true => format!("<system-out>caught by the script: {shown}</system-out>"),
                    false => {
                        let message = escaped(&error.to_string().replace('\n', " "));
                        format!("<failure message=\"{message}\">{shown}</failure>")
                    }
                }
            }
        };
        let _ = writeln!(out, ">\n      {inside}\n    </testcase>");
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text as XML has it. What XML cannot hold at all goes with what cannot be shown.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    #[test]
    fn tasks_are_suites_and_steps_are_cases() {
        let (sink, kept) = Sink::kept();
        let mut report = JUnit::new(sink);
        let step = |task: Option<&str>, host: &str| Step {
            id: 1,
            host: host.to_owned(),
            op: "run".to_owned(),
            subject: "a <b> & \"c\"".to_owned(),
            user: None,
            place: Some(Place::new("p.rhai", 3, 4)),
            task: task.map(str::to_owned),
        };
        let failed = || Error::step("x\u{1b}[31m\ny").in_step("run");
        let mut tell = |what: EventKind| report.event(&Event { v: 1, ms: 0, what });
        tell(EventKind::StepDone { step: step(Some("one"), "h1"), outcome: Outcome::new(Status::Ok), took: 1500 });
        tell(EventKind::StepFailed { step: step(None, "h2"), error: failed(), took: 2 });
        tell(EventKind::HostFailed { host: "h2".to_owned(), error: failed() });
        report.finish().unwrap();
        insta::assert_snapshot!(kept.text(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="mk">
          <testsuite name="one" tests="1" failures="0" skipped="0" time="1.500">
            <testcase classname="h1" name="run a &lt;b&gt; &amp; &quot;c&quot; at p.rhai:3:4" time="1.500"/>
          </testsuite>
          <testsuite name="playbook" tests="1" failures="1" skipped="0" time="0.002">
            <testcase classname="h2" name="run a &lt;b&gt; &amp; &quot;c&quot; at p.rhai:3:4" time="0.002">
              <failure message="x�[31m y">error: x�[31m
         : y</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn what_a_check_would_do_is_a_failure_and_what_the_script_caught_is_none() {
        let (sink, kept) = Sink::kept();
        let mut report = JUnit::new(sink);
        let step = |id: u64| Step {
            id,
            host: "h".to_owned(),
            op: "run".to_owned(),
            subject: id.to_string(),
            user: None,
            place: Some(Place::new("p.rhai", 3, 4)),
            task: None,
        };
        let mut tell = |what: EventKind| report.event(&Event { v: 1, ms: 0, what });
        tell(EventKind::StepFailed { step: step(1), error: Error::step("x").on("h"), took: 2 });
        tell(EventKind::StepDone { step: step(2), outcome: Outcome::new(Status::WouldRun), took: 1 });
        tell(EventKind::RunDone { error: None });
        report.finish().unwrap();
        insta::assert_snapshot!(kept.text(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="mk">
          <testsuite name="playbook" tests="2" failures="1" skipped="0" time="0.003">
            <testcase classname="h" name="run 1 at p.rhai:3:4" time="0.002">
              <system-out>caught by the script: error: x
         --&gt; on h</system-out>
            </testcase>
            <testcase classname="h" name="run 2 at p.rhai:3:4" time="0.001">
              <failure type="drift" message="would run"></failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
