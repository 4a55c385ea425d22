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

/// The records of a run that holds the host's lock: one for each step of the list that it carries out, one after
/// another. What an earlier, longer list has left behind them belongs to another list, or cannot be read.
pub(super) struct Recorder {
    path: PathBuf,
    /// Kept open, because it is written to before and after every step.
    file: Option<File>,
    run: String,
    list: Cell<u64>,
    /// Where the record of the next step begins.
    end: Cell<u64>,
}

impl Recorder {
    /// A recorder for a run, and what an earlier agent of the same run did last.
    pub(super) fn new(run_dir: &Path, run: &str) -> (Self, Vec<Record>) {
        let path = run_dir.join("step.json");
        let found = fs::read(&path).map(|bytes| read(&bytes, run)).unwrap_or_default();
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).ok();
        let list = found.first().map_or(0, |record| record.list + 1);
        let recorder = Self { path, file, run: run.to_owned(), list: Cell::new(list), end: Cell::new(0) };
        if found.is_empty() {
            recorder.write(0, None);
        }
        (recorder, found)
    }

    /// Takes note that another list of steps begins.
    pub(super) fn list_begins(&self) {
        self.list.set(self.list.get() + 1);
        self.end.set(0);
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
        if step.mode == Mode::Apply {
            let result = if is_secret { None } else { Some(result.clone()) };
            self.end.set(self.end.get() + self.write(step.id, result));
        }
    }

    /// The run is over: nobody will ask any more.
    pub(super) fn done(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Gives the length of the record. Losing it costs certainty only: the control side then says that it does not
    /// know.
    fn write(&self, id: u64, result: Option<Result<Outcome, Error>>) -> u64 {
        let record = Record { run: self.run.clone(), list: self.list.get(), id, result };
        let (Some(file), Ok(mut bytes)) = (&self.file, serde_json::to_vec(&record)) else { return 0 };
        // Blanks behind it do not count, and with them most records are of one length.
        bytes.resize(bytes.len().next_multiple_of(BLOCK), b' ');
        // An agent killed in the middle leaves what cannot be read, and then nobody knows.
        let _ = file.write_all_at(&bytes, self.end.get());
        bytes.len() as u64
    }
}

/// The records of a run's last list.
fn read(bytes: &[u8], run: &str) -> Vec<Record> {
    let records = serde_json::Deserializer::from_slice(bytes).into_iter::<Record>();
    let own = records.map_while(Result::ok).take_while(|record| record.run == run);
    let mut last: Vec<Record> = Vec::new();
    for record in own {
        if last.first().is_some_and(|first| first.list != record.list) {
            break;
        }
        last.push(record);
    }
    last
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

    fn left(folder: &Path, run: &str) -> Vec<(u64, Option<Result<Outcome, Error>>)> {
        Recorder::new(folder, run).1.into_iter().map(|record| (record.id, record.result)).collect()
    }

    #[test]
    fn the_next_agent_of_a_run_learns_what_came_of_a_step_and_another_run_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (first, nothing) = Recorder::new(folder.path(), "a");
        assert_eq!(nothing, []);
        assert_eq!(left(folder.path(), "a"), [(0, None)]);
        first.begun(&step(7, json!({})));
        assert_eq!(left(folder.path(), "a"), [(7, None)]);
        let changed = Ok(Outcome::new(Status::Changed));
        first.ended(&step(7, json!({})), &changed);
        assert_eq!(left(folder.path(), "a"), [(7, Some(changed))]);
        assert_eq!(left(folder.path(), "b"), []);
        assert_eq!(left(folder.path(), "a"), [], "the other run has taken the place");
    }

    #[test]
    fn every_step_of_the_last_list_is_told_and_none_of_those_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::new(folder.path(), "a");
        let long = Ok(Outcome::new(Status::Changed).with("stdout", "x".repeat(2000)));
        let short = Ok(Outcome::new(Status::Ok));
        let run = |id: u64, result: &Result<Outcome, Error>| {
            recorder.begun(&step(id, json!({})));
            recorder.ended(&step(id, json!({})), result);
        };
        recorder.list_begins();
        run(1, &long);
        run(2, &short);
        run(3, &long);
        assert_eq!(
            left(folder.path(), "a"),
            [(1, Some(long.clone())), (2, Some(short.clone())), (3, Some(long.clone()))]
        );
        recorder.list_begins();
        run(4, &short);
        assert_eq!(left(folder.path(), "a"), [(4, Some(short.clone()))]);
        recorder.begun(&step(5, json!({})));
        assert_eq!(left(folder.path(), "a"), [(4, Some(short)), (5, None)]);
    }

    #[test]
    fn a_record_that_was_cut_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::new(folder.path(), "a");
        recorder.begun(&step(7, json!({})));
        fs::OpenOptions::new().write(true).open(&recorder.path).unwrap().set_len(20).unwrap();
        assert_eq!(left(folder.path(), "a"), []);
    }

    #[test]
    fn what_a_step_prints_in_secret_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::new(folder.path(), "a");
        let step = step(7, json!({ "secret_output": true }));
        recorder.begun(&step);
        recorder.ended(&step, &Ok(Outcome::new(Status::Changed).with("stdout", "canary")));
        assert_eq!(left(folder.path(), "a"), [(7, None)]);
    }
}
