//! Events as text for people, as JSON lines and as JUnit. Each is a fold over the same events.

mod diff;
mod fault;
mod human;
mod json;
mod recap;

use std::io::Write;
use std::sync::mpsc::Receiver;

pub use fault::render as render_fault;
pub use human::{Human, Look};
pub use json::Json;
pub use recap::{Counts, Recap};

use crate::event::Event;

/// Takes events one by one.
pub trait Reporter {
    /// Takes one.
    fn event(&mut self, event: &Event);

    /// Told that there are no more.
    fn finish(&mut self) {}
}

/// Feeds events to all reporters until the run is over.
pub fn feed(events: &Receiver<Event>, reporters: &mut [Box<dyn Reporter + Send>]) {
    for event in events {
        for reporter in reporters.iter_mut() {
            reporter.event(&event);
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
