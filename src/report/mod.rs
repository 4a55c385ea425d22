//! Events as text for people, as JSON lines, as JUnit, as a page and as a log. Each is a fold over the same events.

mod diff;
mod fault;
mod folded;
mod html;
mod human;
mod json;
mod junit;
mod live;
mod log;
mod profile;
mod recap;

use std::io::Write;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

pub use fault::{render as render_fault, warning as render_warning};
pub use html::Html;
pub use human::{Human, Look};
pub use json::Json;
pub use junit::JUnit;
pub use live::Live;
pub use log::{Log, start as start_log};
pub use profile::Profile;
pub use recap::{Counts, Recap};

use crate::event::{Event, Receiver};

/// How often reporters are told that time goes by.
const TICK: Duration = Duration::from_millis(200);

/// Takes events one by one.
pub trait Reporter {
    /// Takes one.
    fn event(&mut self, event: &Event);

    /// Told a few times a second, whether anything happened or not.
    fn tick(&mut self) {}

    /// Told that there are no more.
    fn finish(&mut self) {}
}

/// Feeds events to all reporters until the run is over.
pub fn feed(events: &Receiver, reporters: &mut [Box<dyn Reporter + Send>]) {
    let mut ticked = Instant::now();
    loop {
        match events.take(TICK.saturating_sub(ticked.elapsed())) {
            Ok(event) => reporters.iter_mut().for_each(|reporter| reporter.event(&event)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if ticked.elapsed() >= TICK {
            reporters.iter_mut().for_each(|reporter| reporter.tick());
            ticked = Instant::now();
        }
    }
    for reporter in reporters.iter_mut() {
        reporter.finish();
    }
}

/// Writes a line somewhere. A reader that went away is no fault of the run.
fn line(out: &mut (impl Write + ?Sized), text: &str) {
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
