//! What is found wrong.

use crate::error::{Error, Kind, Place, Result};

/// What is wrong, and what may not be meant.
#[derive(Default)]
pub(super) struct Findings {
    faults: Vec<Error>,
    warnings: Vec<Error>,
}

impl Findings {
    /// Something is wrong there.
    pub(super) fn report(&mut self, error: Error, at: Place) {
        self.faults.push(error.as_kind(Kind::Playbook).at(at));
    }

    /// Something is wrong where it says itself.
    pub(super) fn add(&mut self, error: Error) {
        self.faults.push(error);
    }

    /// Something may not be meant there.
    pub(super) fn warn(&mut self, error: Error, at: Place) {
        self.warnings.push(error.at(at));
    }

    /// What went well; a fault is wrong where it says itself.
    pub(super) fn kept<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// How much is wrong so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// What is wrong, and then what may not be meant, each by file and place.
    pub(super) fn sorted(self) -> (Vec<Error>, Vec<Error>) {
        let sorted = |mut all: Vec<Error>| {
            all.sort_by_key(|error| error.place().map(|place| (place.file.clone(), place.line, place.column)));
            all.dedup();
            all
        };
        (sorted(self.faults), sorted(self.warnings))
    }
}
