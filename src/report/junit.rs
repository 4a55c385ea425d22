//! Events as a JUnit report: a suite a task, a case a step on a host.

use std::fmt::Write as _;
use std::io::Write;

use super::{Look, Reporter, fault};
use crate::change::Status;
use crate::error::Error;
use crate::event::{Event, Step, What};

/// The suite of the steps that belong to no task.
const REST: &str = "playbook";

/// How a case ended.
enum End {
    Passed,
    Skipped(String),
    Failed(Error),
}

struct Case {
    host: String,
    name: String,
    ms: u64,
    end: End,
}

/// Collects cases, and writes the report at the end.
pub struct JUnit<W> {
    out: W,
    /// Suites in the order of their first case.
    suites: Vec<(String, Vec<Case>)>,
}

impl<W: Write> JUnit<W> {
    /// A report into `out`.
    pub fn new(out: W) -> Self {
        Self { out, suites: Vec::new() }
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
        self.add(step.task.as_ref(), Case { host: step.host.clone(), name, ms, end });
    }
}

impl<W: Write> Reporter for JUnit<W> {
    fn event(&mut self, event: &Event) {
        match &event.what {
            What::StepDone { step, outcome, took } => {
                let end = match outcome.status {
                    Status::Skipped | Status::Unknown => End::Skipped(outcome.reason.clone().unwrap_or_default()),
                    _ => End::Passed,
                };
                self.step(step, *took, end);
            }
            What::StepFailed { step, error, took } => self.step(step, *took, End::Failed(error.clone())),
            // A step that failed is a case already; so is each try of one that no host answered.
            What::HostFailed { host, error } if error.step_name().is_none() => {
                let case = Case { host: host.clone(), name: "host".to_owned(), ms: 0, end: End::Failed(error.clone()) };
                let known = self.suites.iter().flat_map(|(_, cases)| cases);
                let twice = known.filter(|case| case.host == *host).any(|case| matches!(case.end, End::Failed(_)));
                if !twice {
                    self.add(None, case);
                }
            }
            What::RunDone { error: Some(error) } if error.step_name().is_none() && error.host().is_none() => {
                let case = Case {
                    host: String::new(),
                    name: "script".to_owned(),
                    ms: event.ms,
                    end: End::Failed(error.clone()),
                };
                self.add(None, case);
            }
            _ => {}
        }
    }

    fn finish(&mut self) {
        let text = report(&self.suites);
        // Whether the file can be written was found out before the run.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

fn report(suites: &[(String, Vec<Case>)]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mk\">\n".to_owned();
    for (name, cases) in suites {
        let failed = cases.iter().filter(|case| matches!(case.end, End::Failed(_))).count();
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
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
                escaped(&case.host),
                escaped(&case.name),
                seconds(case.ms)
            );
            let inside = match &case.end {
                End::Passed => "/>\n".to_owned(),
                End::Skipped(why) => {
                    format!(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", escaped(why))
                }
                End::Failed(error) => format!(
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                    escaped(&error.to_string().replace('\n', " ")),
                    escaped(&fault::render(error, Look::plain()))
                ),
            };
            out += &inside;
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text as XML has it. What XML cannot hold at all becomes the sign for that.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Outcome;
    use crate::error::Place;

    #[test]
    fn tasks_are_suites_and_steps_are_cases() {
        let mut bytes = Vec::new();
        let mut report = JUnit::new(&mut bytes);
        let step = |task: Option<&str>, host: &str| Step {
            id: 1,
            host: host.to_owned(),
            op: "run".to_owned(),
            subject: "a <b> & \"c\"".to_owned(),
            user: None,
            place: Some(Place::new("p.rhai", 3, 4)),
            task: task.map(str::to_owned),
        };
        let mut tell = |what: What| report.event(&Event { v: 1, ms: 0, what });
        tell(What::StepDone { step: step(Some("one"), "h1"), outcome: Outcome::new(Status::Ok), took: 1500 });
        tell(What::StepFailed { step: step(None, "h2"), error: Error::step("x\u{1b}[31m\ny").in_step("run"), took: 2 });
        tell(What::HostFailed { host: "h2".to_owned(), error: Error::step("x").in_step("run") });
        report.finish();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="mk">
          <testsuite name="one" tests="1" failures="0" skipped="0" time="1.500">
            <testcase classname="h1" name="run a &lt;b&gt; &amp; &quot;c&quot; at p.rhai:3:4" time="1.500"/>
          </testsuite>
          <testsuite name="playbook" tests="1" failures="1" skipped="0" time="0.002">
            <testcase classname="h2" name="run a &lt;b&gt; &amp; &quot;c&quot; at p.rhai:3:4" time="0.002">
              <failure message="x�[31m y">error: x�[31m
        y</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
