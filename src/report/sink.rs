//! Where text goes: a terminal, a pipe, a file. Nothing else in `report` and `cli` writes to one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::text::{Style, Text};
use crate::error::{Context, Error, Kind, Result};

/// Takes text that may be shown, and keeps the first fault of writing it.
pub(crate) struct Sink {
    out: Box<dyn Write + Send>,
    name: String,
    style: Style,
    terminal: bool,
    fault: Option<std::io::Error>,
}

impl Sink {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::stream(std::io::stdout(), "standard output")
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Self::stream(std::io::stderr(), "standard error")
    }

    fn stream(out: impl Write + IsTerminal + Send + 'static, name: &str) -> Self {
        let (style, terminal) = (Style::of(&out), out.is_terminal());
        Self { style, terminal, ..Self::of(Box::new(out), name.to_owned()) }
    }

    /// A file, made now, before anything runs. Only its owner may read it: reports show diffs.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let name = format!("`{}`", path.display());
        let file: Result<File> = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .or_kind(Kind::Usage, || format!("cannot write {name}"));
        Ok(Self::of(Box::new(file?), name))
    }

    /// What is written goes through `through` first; the rest stays as it is.
    pub(super) fn through<W: Write + Send + 'static>(self, through: impl FnOnce(Box<dyn Write + Send>) -> W) -> Self {
        Self { out: Box::new(through(self.out)), ..self }
    }

    fn of(out: Box<dyn Write + Send>, name: String) -> Self {
        Self { out, name, style: Style::plain(), terminal: false, fault: None }
    }

    /// Whether a person looks at it, as far as can be known.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The colours that it takes.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Writes a text and the end of a line.
    pub(crate) fn line(&mut self, text: &Text) {
        self.put(&text.clone().newline());
    }

    /// Writes a text as it stands.
    pub(crate) fn put(&mut self, text: &Text) {
        self.write(text.as_str());
    }

    /// Writes what a command printed: as it is where a program or a file takes it, made fit to be shown on a terminal.
    pub(crate) fn data(&mut self, text: &str) {
        match self.terminal {
            true => self.put(&Text::page(text)),
            false => self.write(text),
        }
    }

    /// Writes into it until it cannot be written any more. That a reader went away (`mk doc | head`) is no fault.
    fn write(&mut self, text: &str) {
        if self.fault.is_none() {
            let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
            self.fault = written.err();
        }
    }

    /// Why not all of it was written.
    ///
    /// # Errors
    /// The first fault of writing.
    pub(crate) fn ended(&mut self) -> Result {
        match &self.fault {
            Some(fault) if fault.kind() != ErrorKind::BrokenPipe => {
                Err(Error::usage(format!("cannot write {}", self.name)).because(fault))
            }
            _ => Ok(()),
        }
    }

    /// One that keeps what is written, for a test.
    #[cfg(test)]
    pub(super) fn kept() -> (Self, Kept) {
        let kept = Kept::default();
        (Self::of(Box::new(kept.clone()), "a test".to_owned()), kept)
    }
}

/// What was written in a test.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Kept {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_fault_and_told_once_a_reader_that_went_away_is_none() {
        let mut sink = Sink::file(Path::new("/dev/full")).unwrap();
        sink.line(&Text::line("one"));
        sink.line(&Text::line("two"));
        let fault = sink.ended().unwrap_err();
        assert_eq!(fault.to_string(), "cannot write `/dev/full`: No space left on device (os error 28)");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut sink = Sink::of(Box::new(writer), "a pipe".to_owned());
        sink.line(&Text::line("one"));
        assert!(sink.ended().is_ok());
    }
}
