//! What runs right now, at the bottom of a terminal. Everything else scrolls above it.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Reporter;
use super::human::{call, seconds};
use super::sink::Sink;
use super::text::Text;
use crate::error::Result;
use crate::event::{Event, EventKind};

/// The most lines it takes; where more steps run, one line counts them.
const LINES: usize = 30;

/// Steps shorter than this are over before anybody could read them.
const SHORT: Duration = Duration::from_millis(200);

/// One line a step that runs.
pub(crate) struct Live {
    rows: MultiProgress,
    bars: Vec<ProgressBar>,
    running: BTreeMap<u64, (String, String, Instant)>,
    done: usize,
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    /// On standard error's terminal or standard output's: they are the same where both are one.
    pub(crate) fn new() -> Self {
        let rows = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { rows, bars: Vec::new(), running: BTreeMap::new(), done: 0 }
    }

    /// A sink whose lines go above the rows.
    pub(crate) fn above(&self, out: Sink) -> Sink {
        out.through(|out| Above { rows: self.rows.clone(), out, held: Vec::new() })
    }

    fn draw(&mut self) {
        let shown = lines(&self.running, self.done, Instant::now());
        while self.bars.len() > shown.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.rows.remove(&bar);
            }
        }
        while self.bars.len() < shown.len() {
            let bar = self.rows.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            self.bars.push(bar);
        }
        for (bar, text) in self.bars.iter().zip(shown) {
            bar.set_message(text.as_str().to_owned());
        }
    }
}

/// The rows for these steps.
fn lines(running: &BTreeMap<u64, (String, String, Instant)>, done: usize, now: Instant) -> Vec<Text> {
    let for_long = |begun: &Instant| now.saturating_duration_since(*begun);
    let mut long: Vec<_> = running.values().filter(|(_, _, begun)| for_long(begun) >= SHORT).collect();
    long.sort_by(|a, b| a.0.cmp(&b.0));
    let took = |begun: &Instant| seconds(u64::try_from(for_long(begun).as_millis()).unwrap_or(u64::MAX) / 1000 * 1000);
    if long.len() > LINES {
        let slowest = long.iter().min_by_key(|(_, _, begun)| *begun);
        let slowest = slowest.map(|(host, step, begun)| format!(", longest: {host} {step} [{}]", took(begun)));
        let (count, slowest) = (long.len(), slowest.unwrap_or_default());
        return vec![Text::line(format_args!("{count} steps run, {done} are done{slowest}"))];
    }
    let row = |(host, step, begun): &&(String, String, Instant)| match for_long(begun) < Duration::from_secs(1) {
        true => Text::line(format_args!("running      {host:<14} {step}")),
        false => Text::line(format_args!("running      {host:<14} {step} [{}]", took(begun))),
    };
    long.iter().map(row).collect()
}

impl Reporter for Live {
    fn event(&mut self, event: &Event) {
        match &event.what {
            EventKind::StepStarted { step } => {
                let text = call(step).as_str().to_owned();
                self.running.insert(step.id, (step.host.clone(), text, Instant::now()));
            }
            EventKind::StepDone { step, .. } | EventKind::StepFailed { step, .. } | EventKind::Retry { step, .. } => {
                self.running.remove(&step.id);
                self.done += 1;
                // Its row must not come back below the line that says how it ended.
                self.draw();
            }
            EventKind::RunDone { .. } => {
                self.running.clear();
                self.draw();
            }
            _ => {}
        }
    }

    fn tick(&mut self) {
        self.draw();
    }

    fn finish(&mut self) -> Result {
        self.running.clear();
        self.draw();
        let _ = self.rows.clear();
        Ok(())
    }
}

/// Writes whole lines above the rows.
struct Above {
    rows: MultiProgress,
    out: Box<dyn Write + Send>,
    held: Vec<u8>,
}

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let (held, out) = (std::mem::take(&mut self.held), &mut self.out);
        self.rows.suspend(|| {
            out.write_all(&held)?;
            out.flush()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_steps_have_a_line_each_and_many_share_one() {
        let begun = Instant::now();
        let now = begun + Duration::from_millis(2500);
        let some = |count: u64| -> BTreeMap<_, _> {
            (0..count).map(|id| (id, (format!("h{id}"), "run sleep 9".to_owned(), begun))).collect()
        };
        let shown = |running: &BTreeMap<u64, _>, done, now| -> Vec<String> {
            lines(running, done, now).iter().map(|row| row.as_str().to_owned()).collect()
        };
        assert_eq!(shown(&some(1), 0, now), ["running      h0             run sleep 9 [2.0 s]"]);
        assert_eq!(shown(&some(1), 0, begun + Duration::from_millis(100)), Vec::<String>::new());
        assert_eq!(shown(&some(1), 0, begun + Duration::from_millis(900)), ["running      h0             run sleep 9"]);
        assert_eq!(shown(&some(30), 0, now).len(), 30);
        assert_eq!(shown(&some(31), 7, now), ["31 steps run, 7 are done, longest: h0 run sleep 9 [2.0 s]"]);
    }
}
