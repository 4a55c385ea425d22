//! What every operation must hold, and a small host to try it on. Only in tests.

use std::path::PathBuf;

use serde_json::Value;

use super::{Session, Spec};
use crate::change::{Outcome, Status};
use crate::error::Result;
use crate::sys::NoPeer;
use crate::wire::{Mode, Request};

/// This machine as a host, with a scratch directory and the memory of one run.
pub struct Host {
    session: Session,
    scratch: tempfile::TempDir,
}

impl Host {
    /// A host with an empty scratch directory.
    pub fn new() -> Self {
        Self { session: Session::fresh(), scratch: tempfile::tempdir().unwrap() }
    }

    /// A path in the scratch directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Puts a file there.
    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// What a file there holds.
    pub fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Applies a step that must not fail.
    pub fn apply(&self, op: &str, args: Value) -> Outcome {
        self.try_apply(op, args).unwrap()
    }

    /// Applies a step.
    pub fn try_apply(&self, op: &str, args: Value) -> Result<Outcome> {
        step(find(op), args, Mode::Apply, &self.session)
    }

    /// Checks a step, as one of the same run as those checked before it.
    pub fn check(&self, op: &str, args: Value) -> Outcome {
        self.try_check(op, args).unwrap()
    }

    /// As [`Host::check`], for a step that may fail.
    pub fn try_check(&self, op: &str, args: Value) -> Result<Outcome> {
        step(find(op), args, Mode::Check, &self.session)
    }

    /// Holds an operation to its contract for each of these wishes, one after the other on this host:
    /// a check twice, an apply twice and a check give would-change, would-change, changed, ok, ok, and what
    /// the check predicts is what the apply does. A second check of the same run takes the first for done.
    pub fn contract(&self, op: &str, wishes: &[Value]) {
        let spec = find(op);
        for wish in wishes {
            let once =
                |mode| step(spec, wish.clone(), mode, &Session::fresh()).unwrap_or_else(|e| panic!("{op} {wish}: {e}"));
            let predicted = once(Mode::Check);
            let again = once(Mode::Check);
            let same_run = Session::fresh();
            let foreseen = [(); 2].map(|()| step(spec, wish.clone(), Mode::Check, &same_run).unwrap().status);
            let done = once(Mode::Apply);
            let still = [once(Mode::Apply), once(Mode::Check)];
            assert_eq!([predicted.status, again.status], [Status::WouldChange; 2], "{op} {wish}: checks before");
            assert_eq!(foreseen, [Status::WouldChange, Status::Ok], "{op} {wish}: checks of one run");
            assert_eq!(done.status, Status::Changed, "{op} {wish}: the first apply");
            assert_eq!(still.each_ref().map(|outcome| outcome.status), [Status::Ok; 2], "{op} {wish}: afterwards");
            assert_eq!(predicted.diff, done.diff, "{op} {wish}: the prediction");
            assert!(
                still.iter().all(|outcome| outcome.digest == done.digest),
                "{op} {wish}: a digest that moves restarts units"
            );
        }
    }
}

/// The message with which parameters are refused before any host is asked.
pub fn refusal(op: &str, args: Value) -> String {
    (find(op).check)(args).unwrap_err().to_string()
}

/// Tests stand above all layers, so they may ask the registry.
fn find(op: &str) -> &'static Spec {
    crate::ops::find(op).unwrap()
}

fn step(spec: &Spec, args: Value, mode: Mode, session: &Session) -> Result<Outcome> {
    // As on its way to a host: decoded and completed by one side, decoded again by the other.
    let args = (spec.check)(args)?;
    let request = Request {
        id: 1,
        op: spec.name.to_owned(),
        args,
        mode,
        user: None,
        place: None,
        secret: false,
        stream: false,
        notify: None,
        settles: None,
    };
    (spec.run)(&request, session, &NoPeer)
}
