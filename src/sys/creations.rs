//! Creations: what the running step makes on this host, written down before it is made.
//!
//! The control side keeps the ledger, and learns what a step made with its outcome. Between the two a run can be
//! killed; what it made is then found in a file on the host by the next run that takes the lock. A line stands in
//! the file before the thing stands on the host, so nothing is made that nobody knows of. The file is emptied when
//! the next list of steps comes: whoever sends it has the outcomes of those before in the ledger.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Left, Maker, Thing, Trace, traces};

/// What is to be made, as it is known before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    /// Something at a path where nothing is.
    Path {
        path: PathBuf,
        /// It goes again only when it is empty: others may have put something into it.
        if_empty: bool,
    },
    /// What became of something that is no path.
    Trace(Trace),
}

#[derive(Serialize, Deserialize)]
struct Line {
    note: Note,
    maker: Maker,
}

/// The notes of the running step, behind those of the steps of its list before it.
#[derive(Debug, Default)]
pub struct Creations {
    notes: Vec<Note>,
    /// The paths among them.
    noted: HashSet<PathBuf>,
    /// What an operation is about to make, until it was looked what it has made.
    expected: Vec<Trace>,
    maker: Maker,
    /// The step holds a secret, so nothing of its parameters may stand in the file.
    secret: bool,
    file: Option<File>,
    /// Where the running step's lines begin in the file.
    begun: u64,
    /// Where they end.
    end: u64,
}

impl Creations {
    /// Keeps notes in a file from now on, and gives what an earlier run left there.
    pub fn keep_in(&mut self, path: &Path) -> Vec<Left> {
        let left = read(path);
        let folder = path.parent().unwrap_or(path);
        let made = fs::create_dir_all(folder);
        let open = || fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        self.file = made.and_then(|()| open()).ok();
        self.end = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        left
    }

    /// A step begins. What those of its list before it made stays written down: they may not be in the ledger yet.
    pub fn begin(&mut self, maker: Maker, secret: bool) {
        (self.expected, self.maker, self.secret) = (Vec::new(), maker, secret);
        self.notes.clear();
        self.noted.clear();
        self.begun = self.end;
    }

    /// The ledger has all.
    pub fn clear(&mut self) {
        self.begun = 0;
        self.cut();
    }

    /// Takes the running step's lines out of the file.
    fn cut(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.end > self.begun)
            && file.set_len(self.begun).is_ok()
        {
            self.end = self.begun;
        }
    }

    /// Something is about to be made at a path. Says nothing where something is already.
    pub(super) fn path(&mut self, path: &Path, if_empty: bool) {
        if !is_there(path) && self.noted.insert(path.to_owned()) {
            self.note(Note::Path { path: path.to_owned(), if_empty });
        }
    }

    /// What was at a path is gone. What is made there afterwards, by the same step, takes its place.
    pub(super) fn gone(&mut self, path: &Path) {
        self.note(Note::Trace(Trace::Below(path.to_owned())));
    }

    /// Something that is no path was made.
    pub(super) fn made(&mut self, thing: Thing) {
        self.note(Note::Trace(Trace::Made(thing)));
    }

    /// An operation is about to bring about these things.
    pub fn expect(&mut self, before: &[Thing], after: &[Thing]) {
        self.expected = traces(before, after);
        let made = self.expected.iter().filter(|trace| matches!(trace, Trace::Made(_)));
        let lines: Vec<Note> = made.cloned().map(Note::Trace).collect();
        self.write(&lines);
    }

    /// These are there now, whatever was expected.
    pub fn found(&mut self, before: &[Thing], now: &[Thing]) {
        self.expected = traces(before, now);
    }

    /// Takes in what another agent of this host says that its step made.
    pub fn adopt(&mut self, traces: &[Trace]) {
        self.notes.extend(traces.iter().cloned().map(Note::Trace));
    }

    /// What the step has made, as it is on the host now: paths in the order of their making, then everything else.
    pub fn finish(&mut self) -> Vec<Trace> {
        self.noted.clear();
        let mut made = resolved(&std::mem::take(&mut self.notes));
        made.append(&mut self.expected);
        if !self.secret {
            self.cut();
            let notes: Vec<Note> = made.iter().cloned().map(Note::Trace).collect();
            self.write(&notes);
        }
        made
    }

    fn note(&mut self, note: Note) {
        self.write(std::slice::from_ref(&note));
        self.notes.push(note);
    }

    /// A host that cannot write this down, on a full disk say, will fail the step itself.
    fn write(&mut self, notes: &[Note]) {
        let Some(file) = self.file.as_mut() else { return };
        let mut text = Vec::new();
        let shown = |note: &&Note| !self.secret || matches!(note, Note::Path { .. });
        for note in notes.iter().filter(shown) {
            let _ = serde_json::to_writer(&mut text, &Line { note: note.clone(), maker: self.maker.clone() });
            text.push(b'\n');
        }
        if file.write_all(&text).is_ok() {
            self.end += text.len() as u64;
        } else {
            // Half a line would spoil the next one.
            let _ = file.set_len(self.end);
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Notes as traces: a path is what stands there, and nothing when nothing came of it.
fn resolved<'a>(notes: &'a [Note]) -> Vec<Trace> {
    let below = |note: &'a Note| if let Note::Trace(Trace::Below(gone)) = note { Some(gone.as_path()) } else { None };
    let gone: HashSet<&Path> = notes.iter().filter_map(below).collect();
    let replaced = |path: &Path| gone.contains(path) && is_there(path);
    let resolve = |note: &Note| match note {
        // What only takes the place of something else is as much mk's own as that was.
        Note::Path { path, .. } | Note::Trace(Trace::Below(path)) if replaced(path) => None,
        Note::Path { path, if_empty } => thing_at(path, *if_empty).map(Trace::Made),
        Note::Trace(trace) => Some(trace.clone()),
    };
    notes.iter().filter_map(resolve).collect()
}

/// What stands at a path, with the call that takes it away.
fn thing_at(path: &Path, if_empty: bool) -> Option<Thing> {
    let op = if fs::symlink_metadata(path).ok()?.is_dir() { "dir" } else { "file" };
    let mut args = json!({ "path": path, "state": "absent" });
    if if_empty {
        args["if_empty"] = true.into();
    }
    Some(Thing::new(op, path.to_string_lossy(), args))
}

fn read(path: &Path) -> Vec<Left> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // A line that was cut says that nothing had been made yet.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let left = |line: Line| resolved(&[line.note]).pop().map(|trace| Left { trace, maker: line.maker });
    lines.filter_map(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    fn made(traces: &[Trace]) -> Vec<&str> {
        traces
            .iter()
            .filter_map(|t| if let Trace::Made(thing) = t { Some(thing.subject.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn what_was_there_before_and_what_came_to_nothing_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old"), "").unwrap();
        let mut creations = Creations::default();
        creations.begin(Maker::default(), false);
        for name in ["old", "new", "never"] {
            creations.path(&path(name), false);
        }
        fs::write(path("new"), "").unwrap();
        assert_eq!(made(&creations.finish()), [path("new").to_str().unwrap()]);
    }

    #[test]
    fn the_next_run_learns_what_one_made_that_was_killed_and_a_taken_one_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("notes"), folder.path().join("new"));
        let mut killed = Creations::default();
        assert_eq!(killed.keep_in(&file), []);
        let place = Some(Place::new("p.rhai", 3, 1));
        killed.begin(Maker { place: place.clone(), user: None }, false);
        killed.path(&new, false);
        fs::write(&new, "").unwrap();
        drop(killed);
        let mut next = Creations::default();
        let left = next.keep_in(&file);
        assert_eq!((left.len(), &left[0].maker.place), (1, &place));
        // Only the next list of steps says that the ledger has it.
        next.begin(Maker::default(), false);
        assert_eq!(Creations::default().keep_in(&file).len(), 1);
        next.clear();
        assert_eq!(Creations::default().keep_in(&file), []);
    }

    #[test]
    fn what_the_steps_of_a_list_made_is_kept_until_the_next_list_comes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        let mut list = Creations::default();
        list.keep_in(&file);
        let mut step = |name: &str, made: bool, secret: bool| {
            list.begin(Maker::default(), secret);
            list.path(&folder.path().join(name), false);
            if made {
                fs::write(folder.path().join(name), "").unwrap();
            }
            list.finish();
        };
        step("one", true, false);
        step("failed", false, false);
        step("secret", true, true);
        step("two", true, false);
        let left: Vec<Trace> = Creations::default().keep_in(&file).into_iter().map(|left| left.trace).collect();
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(made(&left), [path("one"), path("secret"), path("two")]);
    }

    #[test]
    fn what_takes_the_place_of_something_is_neither_made_nor_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "").unwrap();
        let mut creations = Creations::default();
        creations.begin(Maker::default(), false);
        creations.gone(&path);
        fs::remove_file(&path).unwrap();
        creations.path(&path, false);
        fs::write(&path, "").unwrap();
        assert_eq!(creations.finish(), []);
        creations.begin(Maker::default(), false);
        creations.gone(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(creations.finish(), [Trace::Below(path)]);
    }
}
