//! Events as text for people, as JSON lines, as JUnit, as a page and as a log. Each is a fold over the same events.

mod diff;
mod failures;
mod fault;
mod html;
mod human;
mod json;
mod junit;
mod live;
mod log;
mod profile;
mod recap;
mod sink;
mod text;
mod warning_dedup;

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

pub(crate) use fault::{render as render_fault, warning as render_warning};
pub(crate) use html::Html;
pub(crate) use human::Human;
pub(crate) use json::Json;
pub(crate) use junit::JUnit;
pub(crate) use live::Live;
pub(crate) use log::start as start_log;
pub(crate) use profile::Profile;
pub(crate) use recap::Recap;
pub(crate) use sink::Sink;
pub(crate) use text::{Style, Text};

use crate::error::{Error, Result};
use crate::event::{Event, Receiver};

/// How often reporters are told that time goes by.
const TICK: Duration = Duration::from_millis(200);

/// Takes events one by one.
pub(crate) trait Reporter {
    /// Takes one.
    fn event(&mut self, event: &Event);

    /// Told a few times a second, whether anything happened or not.
    fn tick(&mut self) {}

    /// Told that there are no more.
    ///
    /// # Errors
    /// When not all of what it was to write could be written.
    fn finish(&mut self) -> Result {
        Ok(())
    }
}

/// Feeds events to all reporters until the run is over. Gives what could not be written.
pub(crate) fn feed(events: &Receiver, reporters: &mut [Box<dyn Reporter + Send>]) -> Vec<Error> {
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
    reporters.iter_mut().filter_map(|reporter| reporter.finish().err()).collect()
}
