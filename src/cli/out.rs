//! Printing what a command answers. A reader that went away (`mk doc | head`) is no fault: the command goes on to
//! its end and gives its own exit code. Whatever else keeps the answer from being written is one.

use std::sync::OnceLock;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::report::{Sink, Text, render_fault};

/// Prints a line on standard output.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::out::line(&$crate::report::Text::line(format_args!($($part)*))) };
}

/// Prints a line on standard error.
macro_rules! complain {
    () => { $crate::report::Sink::stderr().line(&$crate::report::Text::default()) };
    ($($part:tt)*) => { $crate::report::Sink::stderr().line(&$crate::report::Text::line(format_args!($($part)*))) };
}

pub(super) use {complain, say};

/// The first fault of standard output.
static UNWRITTEN: OnceLock<Error> = OnceLock::new();

/// Whether all that was printed could be written.
pub(super) fn ended() -> Result {
    UNWRITTEN.get().map_or(Ok(()), |error| Err(error.clone()))
}

fn to_stdout(print: impl FnOnce(&mut Sink)) {
    let mut sink = Sink::stdout();
    print(&mut sink);
    if let Err(error) = sink.ended() {
        let _ = UNWRITTEN.set(error);
    }
}

/// Prints a line on standard output.
pub(super) fn line(text: &Text) {
    to_stdout(|sink| sink.line(text));
}

/// Prints a page of several lines on standard output.
pub(super) fn page(text: &str) {
    to_stdout(|sink| sink.put(&Text::page(text)));
}

/// Prints a value as JSON on standard output, for people too: a field a line.
pub(super) fn json(value: &Value) {
    line(&Text::json_page(value));
}

/// Prints what a command on a host printed: its result, and beside it what it complained.
pub(super) fn data(result: &str, complained: &str) {
    to_stdout(|sink| sink.data(result));
    Sink::stderr().data(complained);
}

/// Shows a fault on standard error.
pub(super) fn fault(error: &Error) {
    let mut sink = Sink::stderr();
    let shown = render_fault(error, sink.style());
    sink.line(&shown);
}

/// Asks a question, whose answer is typed behind it.
pub(super) fn ask(question: &str) {
    Sink::stderr().put(&Text::line(question));
}
