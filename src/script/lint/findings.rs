//! What is found wrong.

use crate::error::{Error, Kind, Place, Result};
use crate::secret::without_passwords;

/// What is wrong, and what may not be meant.
#[derive(Default)]
pub(super) struct Findings {
    faults: Vec<Error>,
    /// What is wrong now, and may be right when a run comes to it: a file that it makes, a variable that it learns.
    absent: Vec<Error>,
    warnings: Vec<Error>,
}

impl Findings {
    /// Something is wrong there.
    pub(super) fn report(&mut self, error: Error, at: Place) {
        self.faults.push(error.as_kind(Kind::Playbook).at(at));
    }

    /// Something is not there that a run may do without, or bring about before it comes to that place: a file, a variable,
    /// a group that only other inventories have.
    pub(super) fn absent(&mut self, error: Error, at: Place) {
        self.absent.push(error.as_kind(Kind::Playbook).at(at));
    }

    /// Something is wrong where it says itself.
    pub(super) fn add(&mut self, error: Error) {
        self.faults.push(error);
    }

    /// Something may not be meant there.
    pub(super) fn warn(&mut self, error: Error, at: Place) {
        self.warnings.push(error.at(at));
    }

    /// What went well; a fault is wrong where it says itself, and a run that meets it says so, too.
    pub(super) fn kept<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.absent.push(error)).ok()
    }

    /// How much is wrong so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.len() + self.absent.len()
    }

    /// What is wrong whatever a run does, by file and place.
    pub(super) fn certain(self) -> Vec<Error> {
        Self { absent: Vec::new(), ..self }.sorted().0
    }

    /// What is wrong, and then what may not be meant, each by file and place.
    pub(super) fn sorted(mut self) -> (Vec<Error>, Vec<Error>) {
        let sorted = |mut all: Vec<Error>| {
            all.sort_by_key(|error| error.place().map(|place| (place.file.clone(), place.line, place.column)));
            all.dedup();
            // An address in a script may have a password.
            all.into_iter().map(|error| error.map_text(without_passwords)).collect::<Vec<Error>>()
        };
        self.faults.append(&mut self.absent);
        (sorted(self.faults), sorted(self.warnings))
    }
}
