//! What the agent of a run writes down, so that the next agent of the same run can tell what came of a step
//! whose connection was lost.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::change::Outcome;
use crate::error::Error;
use crate::wire::{Mode, Record, Request};

/// Records are padded to a multiple of this, in bytes.
const BLOCK: usize = 512;

/// The record of a run that holds the host's lock. There is one run at a time, and one step of it.
pub(super) struct Recorder {
    path: PathBuf,
    /// Kept open, because it is written to before and after every step.
    file: Option<File>,
    /// How long it is.
    length: Cell<usize>,
    run: String,
}

impl Recorder {
    /// A recorder for a run, and what an earlier agent of the same run did last.
    pub(super) fn new(run_dir: &Path, run: &str) -> (Self, Option<Record>) {
        let path = run_dir.join("step.json");
        let found = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).ok();
        // Whatever its length is, the first record says how long it is from then on.
        let recorder = Self { path, file, length: Cell::new(usize::MAX), run: run.to_owned() };
        let own = found.filter(|record| record.run == run);
        if own.is_none() {
            recorder.write(0, None);
        }
        (recorder, own)
    }

    /// Takes note of a step that begins.
    pub(super) fn begun(&self, step: &Request) {
        if step.mode == Mode::Apply {
            self.write(step.id, None);
        }
    }

    /// Takes note of how it ended. What it printed is left to nobody when it is a secret.
    pub(super) fn ended(&self, step: &Request, result: &Result<Outcome, Error>) {
        let is_secret = step.args.get("secret_output").and_then(serde_json::Value::as_bool) == Some(true);
        if step.mode == Mode::Apply && !is_secret {
            self.write(step.id, Some(result.clone()));
        }
    }

    /// The run is over: nobody will ask any more.
    pub(super) fn done(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Losing a record costs certainty only: the control side then says that it does not know.
    fn write(&self, id: u64, result: Option<Result<Outcome, Error>>) {
        let record = Record { run: self.run.clone(), id, result };
        let (Some(file), Ok(mut bytes)) = (&self.file, serde_json::to_vec(&record)) else { return };
        // Blanks behind it do not count, and with them most records are of one length.
        bytes.resize(bytes.len().next_multiple_of(BLOCK), b' ');
        let longer = self.length.replace(bytes.len()) > bytes.len();
        // An agent killed between the two leaves what cannot be read, and then nobody knows.
        let _ =
            file.write_all_at(&bytes, 0).and_then(|()| if longer { file.set_len(bytes.len() as u64) } else { Ok(()) });
    }
}

/// What tells an agent, by its process id, that the next one of its run has come.
pub(super) fn abandoned(run_dir: &Path, pid: u32) -> PathBuf {
    run_dir.join(format!("abandoned-{pid}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Status;

    fn step(id: u64, args: serde_json::Value) -> Request {
        serde_json::from_value(json!({ "id": id, "op": "run", "args": args, "mode": "apply" })).unwrap()
    }

    #[test]
    fn the_next_agent_of_a_run_learns_what_came_of_a_step_and_another_run_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (first, nothing) = Recorder::new(folder.path(), "a");
        assert_eq!(nothing, None);
        assert_eq!(Recorder::new(folder.path(), "a").1.unwrap().id, 0);
        first.begun(&step(7, json!({})));
        let begun = Recorder::new(folder.path(), "a").1.unwrap();
        assert_eq!((begun.id, begun.result), (7, None));
        first.ended(&step(7, json!({})), &Ok(Outcome::new(Status::Changed)));
        let ended = Recorder::new(folder.path(), "a").1.unwrap();
        assert_eq!((ended.id, ended.result), (7, Some(Ok(Outcome::new(Status::Changed)))));
        assert_eq!(Recorder::new(folder.path(), "b").1, None);
        assert_eq!(Recorder::new(folder.path(), "a").1, None, "the other run has taken the place");
    }

    #[test]
    fn a_record_that_was_cut_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::new(folder.path(), "a");
        recorder.begun(&step(7, json!({})));
        fs::OpenOptions::new().append(true).open(&recorder.path).unwrap().write_at(b"{", 500).unwrap();
        assert_eq!(Recorder::new(folder.path(), "a").1, None);
    }

    #[test]
    fn what_a_step_prints_in_secret_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::new(folder.path(), "a");
        let step = step(7, json!({ "secret_output": true }));
        recorder.begun(&step);
        recorder.ended(&step, &Ok(Outcome::new(Status::Changed).with("stdout", "canary")));
        assert_eq!(Recorder::new(folder.path(), "a").1.unwrap().result, None);
    }
}
