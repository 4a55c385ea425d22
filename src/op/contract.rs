//! What every operation must hold, and a small host to try it on. Only in tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::Value;

use super::{Session, Spec};
use crate::change::{Outcome, Status, Trace};
use crate::error::{Error, Result};
use crate::fleet::claims;
use crate::sys::Peer;
use crate::wire::{Mode, Request, Stream};

/// This machine as a host, with a scratch directory and the memory of one run.
pub struct Host {
    session: Session,
    scratch: tempfile::TempDir,
    /// The control side, as the test plays it.
    pub side: Side,
}

/// How a test's control side answers questions.
pub type Answers = Box<dyn Fn(&Value) -> Result<Value>>;

/// The control side, as a test plays it: it has what it was told to have, and refuses everything else.
#[derive(Default)]
pub struct Side {
    /// The content on offer.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// Answers questions.
    pub answers: Option<Answers>,
    /// What hosts gave.
    pub taken: Rc<RefCell<Vec<u8>>>,
    /// What was said of the steps that the running one notifies.
    pub due: RefCell<Vec<bool>>,
}

impl Side {
    /// Offers content; gives its digest.
    pub fn offer(&mut self, bytes: &[u8]) -> String {
        let sha256 = crate::change::digest(bytes);
        self.blobs.insert(sha256.clone(), bytes.to_vec());
        sha256
    }
}

/// What is written is there for the test to see.
struct Taken(Rc<RefCell<Vec<u8>>>);

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Peer for Side {
    fn blob(&self, sha256: &str) -> Result<Box<dyn Read + '_>> {
        self.blobs(&[sha256.to_owned()])
    }

    fn blobs(&self, sha256: &[String]) -> Result<Box<dyn Read + '_>> {
        let missing = |sha256| Error::internal(format!("the test offers no `{sha256}`"));
        let parts = sha256.iter().map(|sha256| self.blobs.get(sha256).ok_or_else(|| missing(sha256)));
        let parts: Vec<&[u8]> = parts.map(|part| part.map(Vec::as_slice)).collect::<Result<_>>()?;
        Ok(Box::new(std::io::Cursor::new(parts.concat())))
    }

    fn ask(&self, question: Value) -> Result<Value> {
        let answers = self.answers.as_ref().ok_or_else(|| Error::internal(format!("nobody answers `{question}`")))?;
        answers(&question)
    }

    fn give(&self, _sha256: &str, _size: u64) -> Result<Box<dyn Write + '_>> {
        self.taken.borrow_mut().clear();
        Ok(Box::new(Taken(Rc::clone(&self.taken))))
    }

    fn output(&self, _stream: Stream, _bytes: &[u8]) {}

    fn due(&self, stands: bool) -> Result {
        self.due.borrow_mut().push(stands);
        Ok(())
    }
}

impl Host {
    /// A host with an empty scratch directory.
    pub fn new() -> Self {
        Self { session: Session::fresh(), scratch: tempfile::tempdir().unwrap(), side: Side::default() }
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
        step(find(op), args, Mode::Apply, &self.session, &self.side)
    }

    /// Checks a step, as one of the same run as those checked before it.
    pub fn check(&self, op: &str, args: Value) -> Outcome {
        self.try_check(op, args).unwrap()
    }

    /// As [`Host::check`], for a step that may fail.
    pub fn try_check(&self, op: &str, args: Value) -> Result<Outcome> {
        step(find(op), args, Mode::Check, &self.session, &self.side)
    }

    /// Holds an operation to its contract for each of these wishes, one after the other on this host:
    /// a check twice, an apply twice and a check give would-change, would-change, changed, ok, ok, and what
    /// the check predicts is what the apply does. A second check of the same run takes the first for done.
    pub fn contract(&self, op: &str, wishes: &[Value]) {
        let spec = find(op);
        for wish in wishes {
            let once = |mode| {
                step(spec, wish.clone(), mode, &Session::fresh(), &self.side)
                    .unwrap_or_else(|e| panic!("{op} {wish}: {e}"))
            };
            let predicted = once(Mode::Check);
            let again = once(Mode::Check);
            let same_run = Session::fresh();
            let foreseen =
                [(); 2].map(|()| step(spec, wish.clone(), Mode::Check, &same_run, &self.side).unwrap().status);
            let session = Session::fresh();
            let done = step(spec, wish.clone(), Mode::Apply, &session, &self.side).unwrap();
            believed(op, wish, &session.creations.borrow_mut().finish());
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

impl Host {
    /// Checks these steps in one run and then applies them in another: how each was foretold, and how it came.
    pub fn foretold(&self, steps: &[(&str, Value)]) -> Vec<(Result<Outcome>, Result<Outcome>)> {
        let run = |mode| {
            let session = Session::fresh();
            let one = |(op, args): &(&str, Value)| step(find(op), args.clone(), mode, &session, &self.side);
            steps.iter().map(one).collect::<Vec<_>>()
        };
        let foretold = run(Mode::Check);
        foretold.into_iter().zip(run(Mode::Apply)).collect()
    }

    /// Holds a check to the truth: what it foretells comes, and what it says will fail fails. Gives in a word how each
    /// step was foretold.
    pub fn truth(&self, steps: &[(&str, Value)]) -> Vec<&'static str> {
        let word = |(foretold, came): (Result<Outcome>, Result<Outcome>), wish: &(&str, Value)| {
            let came = came.map(|outcome| outcome.status);
            match foretold {
                Ok(outcome) => {
                    let (word, comes) = match outcome.status {
                        Status::Unknown => return "unknown",
                        Status::WouldChange if outcome.assumed => ("assumed", Status::Changed),
                        Status::WouldChange => ("would change", Status::Changed),
                        Status::WouldRun if outcome.assumed => ("assumed", Status::Changed),
                        Status::WouldRun => ("would run", Status::Changed),
                        Status::Ok => ("ok", Status::Ok),
                        Status::Skipped => ("skipped", Status::Skipped),
                        Status::Read => ("read", Status::Read),
                        Status::Changed => panic!("{wish:?}: a check changes nothing"),
                    };
                    assert!(
                        came.as_ref().is_ok_and(|came| *came == comes),
                        "{wish:?} was foretold: {word}, came {came:?}"
                    );
                    word
                }
                Err(e) => {
                    assert!(came.is_err(), "{wish:?} was foretold to fail: {e}, and came {came:?}");
                    "fails"
                }
            }
        };
        self.foretold(steps).into_iter().zip(steps).map(|(both, wish)| word(both, wish)).collect()
    }

    /// What a step that changes something makes.
    pub fn made(&self, op: &str, wish: Value) -> Vec<Trace> {
        let session = Session::fresh();
        let outcome = step(find(op), wish.clone(), Mode::Apply, &session, &self.side).unwrap();
        assert_eq!(outcome.status, Status::Changed);
        let traces = session.creations.borrow_mut().finish();
        believed(op, &wish, &traces);
        traces
    }

    /// Holds an operation to what it says of things made: applied and then taken away, the last first, nothing is left
    /// of it, so that the same wish would do the same again.
    pub fn unmakes(&self, op: &str, wish: &Value) {
        let once = |op: &str, args: Value, mode| {
            let session = Session::fresh();
            let outcome = step(find(op), args, mode, &session, &self.side).unwrap_or_else(|e| panic!("{op}: {e}"));
            (outcome, session.creations.borrow_mut().finish())
        };
        let (before, _) = once(op, wish.clone(), Mode::Check);
        let (_, traces) = once(op, wish.clone(), Mode::Apply);
        believed(op, wish, &traces);
        let made =
            traces.into_iter().filter_map(|trace| if let Trace::Made(thing) = trace { Some(thing) } else { None });
        let made: Vec<_> = made.collect();
        assert!(!made.is_empty(), "{op} {wish}: nothing was made");
        for thing in made.into_iter().rev() {
            let (outcome, _) = once(&thing.op, Value::Object(thing.args.clone()), Mode::Apply);
            assert_eq!(outcome.status, Status::Changed, "{op} {wish}: {thing:?} is not taken away");
        }
        assert_eq!(once(op, wish.clone(), Mode::Check).0.diff, before.diff, "{op} {wish}: what is left");
    }
}

/// Holds what an operation says of things made to what the control side lets it have made: it declares the one and does
/// the other.
fn believed(op: &str, wish: &Value, traces: &[Trace]) {
    for trace in traces {
        assert!(claims::holds(trace, Some(&claims::Step { op, args: wish })), "{op} {wish}: {trace:?} is not believed");
    }
}

/// An owner and a group that files can be given to: by root others, by others only themselves.
pub fn owners() -> (String, String) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (uid, gid) = if uid == 0 { (65_534, 65_534) } else { (uid, gid) };
    (uid.to_string(), gid.to_string())
}

/// The message with which parameters are refused before any host is asked.
pub fn refusal(op: &str, args: Value) -> String {
    (find(op).check)(args).err().expect("it is refused").to_string()
}

/// Tests stand above all layers, so they may ask the registry.
fn find(op: &str) -> &'static Spec {
    crate::ops::find(op).unwrap()
}

fn step(spec: &Spec, args: Value, mode: Mode, session: &Session, side: &Side) -> Result<Outcome> {
    // As on its way to a host: what the control side makes ready is beside the parameters, which are decoded by both.
    let mut args = args;
    let attached = args.as_object_mut().and_then(|args| args.remove("attached"));
    let attachment = attached.map(|attached| serde_json::from_value(attached).unwrap()).unwrap_or_default();
    (spec.check)(args.clone())?;
    let request = Request {
        id: 1,
        op: spec.name.to_owned(),
        args,
        attachment,
        mode,
        user: None,
        place: None,
        secret: false,
        stream: false,
        timed: false,
        notify: Vec::new(),
        judged: false,
        settles: None,
    };
    let outcome = (spec.run)(&request, session, side)?;
    let declared = |name: &String| spec.values.contains(&name.as_str());
    assert!(outcome.values.keys().all(declared), "{}: {:?}, declared are {:?}", spec.name, outcome.values, spec.values);
    Ok(outcome)
}
