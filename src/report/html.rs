//! Events as one page that needs nothing else: what the run was, a timeline, and every step with its diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::human::{call, seconds};
use super::junit::escaped;
use super::sink::Sink;
use super::text::Text;
use super::{Recap, Reporter, Style, diff, fault};
use crate::change::Status;
use crate::error::Result;
use crate::event::{Event, EventKind, Step};
use crate::wire::Mode;

/// How the page looks. Colours are those of the words on a terminal. It is as wide as the window whatever is in it:
/// the columns have widths of their own (`fixed`), and what does not fit is broken, in the middle of a word if need be.
const STYLE: &str = "\
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#222;background:#fff}
body{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%;table-layout:fixed}
td,th{text-align:left;padding:.15rem .6rem;vertical-align:top}tr+tr td{border-top:1px solid #eee}
pre{margin:.3rem 0;padding:.5rem;background:#f6f6f6;white-space:pre-wrap}
.host,.task{width:14%}.at,.took{width:4.5rem}.end{width:7rem}.why{width:28%}
@media(max-width:48rem){.at,.took,tr>.num{display:none}.end{width:5rem}.host,.task{width:18%}}
.lane{position:relative;height:1.1rem;background:#f6f6f6}
.lane i{position:absolute;top:.15rem;bottom:.15rem;min-width:2px;border-radius:2px}
.ok{color:#2a7d2a}.changed{color:#a66a00}.other{color:#2b5fa8}.failed{color:#b00020}
i.ok{background:#9c9}i.changed{background:#e2a93b}i.other{background:#8ab}i.failed{background:#d33}
.num{text-align:right;white-space:nowrap}";

/// One row of the list of steps.
struct Row {
    /// The step, where it is one.
    id: Option<u64>,
    at: u64,
    took: u64,
    task: Option<String>,
    host: String,
    what: String,
    place: String,
    word: &'static str,
    class: &'static str,
    /// What a reader may open: the diff, or the fault.
    more: String,
}

/// Collects what happened, and writes the page at the end.
pub(crate) struct Html {
    out: Sink,
    playbook: String,
    inventory: String,
    mode: Mode,
    rows: Vec<Row>,
    recap: Recap,
    ended: Option<String>,
}

impl Html {
    /// A page into `out`.
    pub(crate) fn new(out: Sink) -> Self {
        let (playbook, inventory) = (String::new(), String::new());
        Self { out, playbook, inventory, mode: Mode::Apply, rows: Vec::new(), recap: Recap::default(), ended: None }
    }

    fn step(&mut self, step: &Step, ms: u64, took: u64, (word, class): (&'static str, &'static str), more: &Text) {
        self.rows.push(Row {
            id: Some(step.id),
            at: ms.saturating_sub(took),
            took,
            task: step.task.clone(),
            host: step.host.clone(),
            what: call(step).as_str().to_owned(),
            place: step.place.as_ref().map(ToString::to_string).unwrap_or_default(),
            word,
            class,
            more: more.as_str().to_owned(),
        });
    }

    fn note(&mut self, ms: u64, host: Option<&String>, word: &'static str, class: &'static str, text: &str) {
        let host = host.cloned().unwrap_or_default();
        let (what, place, more) = (text.to_owned(), String::new(), String::new());
        self.rows.push(Row { id: None, at: ms, took: 0, task: None, host, what, place, word, class, more });
    }

    fn page(&self) -> String {
        let what = if self.mode == Mode::Check { "check" } else { "run" };
        let title = escaped(&format!("mk {what} {}", self.playbook));
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"
        );
        let total = self.recap.total();
        let _ = writeln!(
            out,
            "<p>Inventory {}, {} hosts, {}. Ok {}, {} {}{}, skipped {}, unknown {}, failed {}{}.</p>",
            escaped(&self.inventory),
            self.recap.hosts.len(),
            seconds(self.recap.ms),
            total.ok,
            if self.mode == Mode::Check { "would change" } else { "changed" },
            total.changed,
            if total.assumed > 0 { format!(" ({} assumed)", total.assumed) } else { String::new() },
            total.skipped,
            total.unknown,
            total.failed,
            if total.caught > 0 { format!(", caught {}", total.caught) } else { String::new() }
        );
        if let Some(ended) = &self.ended {
            let _ = writeln!(out, "<pre class=\"failed\">{}</pre>", escaped(ended));
        }
        self.timeline(&mut out);
        self.steps(&mut out);
        out
    }

    /// How a step ended: what failed may have been caught.
    fn end_of(&self, row: &Row) -> (&'static str, &'static str) {
        match row.id {
            Some(id) if row.word == "failed" && self.recap.failures.is_caught(id) => ("caught", "changed"),
            _ => (row.word, row.class),
        }
    }

    /// A lane a host, with a bar a step.
    fn timeline(&self, out: &mut String) {
        let mut lanes: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.host.is_empty()) {
            lanes.entry(&row.host).or_default().push(row);
        }
        let is_any_out = !self.recap.lost.is_empty() || !self.recap.unpredicted.is_empty();
        let why = if is_any_out { "<col class=\"why\">" } else { "" };
        let _ = writeln!(out, "<h2>Timeline</h2>\n<table>\n<col class=\"host\"><col>{why}");
        let share = |ms: u64| {
            // Thousandths are as fine as a screen can be.
            let thousandths = ms.saturating_mul(100_000) / self.recap.ms.max(1);
            format!("{}.{:03}%", thousandths / 1000, thousandths % 1000)
        };
        for (host, rows) in lanes {
            let _ = write!(out, "<tr><td>{}<td><div class=\"lane\">", escaped(host));
            for row in rows {
                let (word, class) = self.end_of(row);
                let _ = write!(
                    out,
                    "<i class=\"{class}\" style=\"left:{};width:{}\" title=\"{}\"></i>",
                    share(row.at),
                    share(row.took),
                    escaped(&format!("{word} {} [{}]", row.what, seconds(row.took)))
                );
            }
            let lost = self.recap.lost.get(host).map(|error| format!("out: {error}"));
            let open = self.recap.unpredicted.get(host).cloned();
            let end = lost.or(open).map(|text| format!("<td>{}", escaped(&text))).unwrap_or_default();
            let _ = writeln!(out, "</div>{end}");
        }
        let _ = writeln!(out, "</table>");
    }

    fn steps(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "<h2>Steps</h2>\n<table>\n<tr><th class=\"num at\">at<th class=\"num took\">took<th class=\"host\">host<th class=\"task\">task<th>step<th class=\"end\">"
        );
        for row in &self.rows {
            let more = match row.more.is_empty() {
                true => String::new(),
                false => format!("<details open><summary>more</summary><pre>{}</pre></details>", escaped(&row.more)),
            };
            let took = if row.took > 0 { seconds(row.took) } else { String::new() };
            let (word, class) = self.end_of(row);
            let _ = writeln!(
                out,
                "<tr><td class=\"num\">{}<td class=\"num\">{took}<td>{}<td>{}<td>{} <small>{}</small>{more}<td class=\"{class}\">{word}",
                seconds(row.at),
                escaped(&row.host),
                escaped(row.task.as_deref().unwrap_or_default()),
                escaped(&row.what),
                escaped(&row.place),
            );
        }
        let _ = writeln!(out, "</table>");
    }
}

fn ending(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Ok => ("ok", "ok"),
        Status::Read => ("read", "ok"),
        Status::Changed => ("changed", "changed"),
        Status::WouldChange => ("would change", "changed"),
        Status::WouldRun => ("would run", "changed"),
        Status::Unknown => ("unknown", "other"),
        Status::Skipped => ("skipped", "other"),
    }
}

impl Reporter for Html {
    fn event(&mut self, event: &Event) {
        self.recap.add(event);
        let ms = event.ms;
        match &event.what {
            EventKind::RunStarted { playbook, inventory, mode } => {
                (self.playbook, self.inventory, self.mode) = (playbook.clone(), inventory.clone(), *mode);
            }
            EventKind::StepDone { step, outcome, took } => {
                let reason = outcome.reason.iter().map(Text::line);
                let more = reason.chain(outcome.diff.iter().flat_map(|diff| diff::lines(diff, Style::plain())));
                self.step(step, ms, *took, ending(outcome.status), &Text::joined(more));
            }
            EventKind::StepFailed { step, error, took } => {
                self.step(step, ms, *took, ("failed", "failed"), &fault::render(error, Style::plain()));
            }
            EventKind::Retry { step, error, .. } => {
                self.step(step, ms, 0, ("retry", "other"), &fault::render(error, Style::plain()));
            }
            EventKind::Said { host, warning: true, text } => self.note(ms, host.as_ref(), "warning", "changed", text),
            EventKind::Said { host, warning: false, text } => self.note(ms, host.as_ref(), "", "other", text),
            EventKind::HostFailed { host, error } if error.step_name().is_none() => {
                self.note(ms, Some(host), "out", "failed", &error.to_string());
            }
            EventKind::HostKept { host, error } if error.step_name().is_none() => {
                self.note(ms, Some(host), "failed", "failed", &error.to_string());
            }
            EventKind::PredictionEnded { reason, place } => {
                self.note(ms, None, "unpredicted", "other", &super::recap::unknown_from(place.as_ref(), reason));
            }
            EventKind::RunDone { error: Some(error) } => {
                self.ended = Some(fault::render(error, Style::plain()).as_str().to_owned());
            }
            _ => {}
        }
    }

    fn finish(&mut self) -> Result {
        self.out.put(&Text::page(&self.page()));
        self.out.ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_is_wider_than_the_window_whatever_is_in_it() {
        let (sink, kept) = Sink::kept();
        let mut page = Html::new(sink);
        let what = EventKind::Said { host: Some("h".repeat(300)), warning: true, text: "x".repeat(3000) };
        page.event(&Event { v: 1, ms: 1, what });
        page.finish().unwrap();
        let page = kept.text();
        // Columns that take the width of what is in them, and lines that are not broken, push the last column out.
        assert!(
            page.contains("table-layout:fixed") && page.contains("pre-wrap") && page.contains("overflow-wrap:anywhere")
        );
        assert!(!page.contains("min-width:30rem") && !page.contains("overflow-x:auto"), "{page}");
        assert_eq!(page.matches("<table>").count(), 2, "{page}");
    }
}
