//! The dispatch of steps: sent, told to those who watch, and brought back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::host::Host;
use super::outcome::{Held, Outcome};
use super::resolved::Wanted;
use super::running::Run;
use super::scope::Scope;
use crate::change::Status;
use crate::control::{has_secret_output, hushed, kept};
use crate::error::{Error, Kind, Place, Result};
use crate::event::{EventKind, Step};
use crate::fleet::{Call, Notified};
use crate::op::{Danger, Operation, Spec};
use crate::wire::Mode;

/// A step with all that it needs, not sent yet.
pub(crate) struct Ready {
    /// Where in the run it stands.
    pub(crate) scope: Scope,
    /// The host, and the user to act as.
    pub(crate) host: Host,
    /// The operation.
    pub(crate) spec: &'static Spec,
    /// The parameters, and this side's half.
    pub(crate) wanted: Wanted,
    /// The place of the call.
    pub(crate) at: Place,
    /// When this side began with it.
    pub(crate) begun: Instant,
    /// The steps to run at the end of the `on` when this one changes something.
    pub(crate) notify: Vec<Arc<Notified>>,
    /// What a check takes to have come of it, where it cannot know.
    pub(crate) assume: Option<Map<String, Value>>,
    /// The caller has the last word on whether it did.
    pub(crate) judged: bool,
    /// The id of the notified step that this one is.
    pub(crate) settles: Option<String>,
    /// What the caller holds of it.
    pub(crate) held: Held,
    /// How many calls deep the caller is.
    pub(crate) depth: usize,
}

impl Ready {
    /// One that notifies nobody, called from outside of any function. This side begins with it now.
    pub(crate) fn new(scope: &Scope, host: &Host, spec: &'static Spec, wanted: Wanted, at: Place) -> Self {
        Self {
            scope: scope.clone(),
            host: host.clone(),
            spec,
            wanted,
            at,
            begun: Instant::now(),
            notify: Vec::new(),
            assume: None,
            judged: false,
            settles: None,
            held: Held::new(scope),
            depth: 0,
        }
    }

    fn call(&self) -> Call {
        let run = &self.scope.run;
        let step = Step {
            id: run.fleet.next_id(),
            host: self.host.name.clone(),
            op: self.spec.name.to_owned(),
            subject: subject_of(self.spec, &self.wanted.args),
            user: self.host.user.clone(),
            place: Some(self.at.clone()),
            task: self.scope.task.clone(),
        };
        let args = Value::Object(self.wanted.args.clone());
        Call {
            host: self.host.name.clone(),
            step,
            // What is noted on the host is noted under its lock.
            reads: self.reads() && (!self.judged || self.notify.is_empty()),
            stream: run.settings.stream && !has_secret_output(&args),
            args,
            responder: self.wanted.responder.clone(),
            mode: run.fleet.mode(),
            notify: self.notify.clone(),
            judged: self.judged,
            settles: self.settles.clone(),
            begun: self.begun,
        }
    }

    /// Whether it changes nothing, whatever the mode.
    pub(crate) fn reads(&self) -> bool {
        self.spec.danger == Danger::Read || self.wanted.args.get("reads") == Some(&Value::Bool(true))
    }

    /// Sends it, and tells what came of it unless it went well: then the caller may have a say first.
    pub(crate) fn send(&self, left: u32) -> Result<Sent> {
        let (host, run) = (&self.host, &self.scope.run);
        let call = self.call();
        run.events.tell(EventKind::StepStarted { step: call.step.clone() });
        let sent = Instant::now();
        let result = if self.spec.name == "raw" { super::raw::raw(host, &call) } else { run.fleet.call(&call) };
        self.waited(self.begun);
        if self.spec.name == crate::ops::Reboot::NAME {
            run.forget_facts(&host.name);
        }
        self.came(&call, result, sent.elapsed(), left)
    }

    /// Whoever called waits for a host that is not its own.
    fn waited(&self, begun: Instant) {
        if self.scope.host.as_ref() != Some(&self.host.name) {
            self.scope.waited(begun);
        }
    }

    fn came(&self, call: &Call, result: Result<crate::change::Outcome>, took: Duration, left: u32) -> Result<Sent> {
        let (run, step) = (&self.scope.run, call.step.clone());
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match self.foretold(result) {
            Ok((mut outcome, assumed)) => {
                kept(&run.control.secrets, &call.args, &mut outcome)?;
                let secret = !run.control.secrets.is_empty() && self.wanted.is_secret();
                let outcome = Outcome { of: outcome, op: step.op.clone(), place: self.at.clone(), secret, assumed };
                Ok(Sent { step, outcome, took })
            }
            Err(error) => {
                let error = hushed(&call.args, error);
                let error = error.in_step(self.spec.name).at(self.at.clone()).at_depth(self.depth);
                // What it changed before it failed calls for them all the same.
                for (_, notified) in run.fleet.take_due(&self.host.name, step.id) {
                    run.notify(&self.host.name, notified);
                }
                let told = error.clone();
                run.events.tell(match left {
                    left if left > 0 && error.kind() == Kind::Step => EventKind::Retry { step, error: told, left },
                    _ => EventKind::StepFailed { step, error: told, took },
                });
                Err(error)
            }
        }
    }

    /// In a check, what is assumed of it, and what it rests on.
    fn foretold(&self, result: Result<crate::change::Outcome>) -> Result<(crate::change::Outcome, Map<String, Value>)> {
        let run = &self.scope.run;
        if run.fleet.mode() == Mode::Apply {
            return result.map(|outcome| (outcome, Map::new()));
        }
        let reads = self.reads();
        let mut outcome = match result {
            // What an earlier step would have to have done first may be missing: this is what assumptions are for.
            Err(error)
                if reads && self.assume.is_some() && run.has_foretold_a_change() && error.kind() == Kind::Step =>
            {
                crate::change::Outcome::new(Status::Unknown).because(error.message())
            }
            result => result?,
        };
        if outcome.status.changed() {
            run.foretells_a_change();
        }
        let open = matches!(outcome.status, Status::Unknown | Status::WouldRun | Status::WouldChange);
        if let Some(assume) = self.assume.as_ref().filter(|_| open && run.has_foretold_a_change()) {
            let (outcome, mut values) = assuming(outcome, assume, reads);
            if has_secret_output(&Value::Object(self.wanted.args.clone())) {
                // What is made of it is as secret as it will be.
                for value in values.values_mut() {
                    if let Value::String(text) = value {
                        *text = run.control.secrets.add("assumed", text)?;
                    }
                }
            }
            return Ok((outcome, values));
        }
        if outcome.status.changed()
            && !outcome.assumed
            && let Some(place) = run.assumption(&self.host.name)
        {
            outcome.assumed = true;
            outcome.reason.get_or_insert_with(|| format!("rests on what {}:{} assumes", place.file, place.line));
        }
        Ok((outcome, Map::new()))
    }

    /// Tells that it ended well, and remembers what it notifies.
    ///
    /// # Errors
    /// When the host has noted that they are due, the script says that nothing changed, and that cannot be told there.
    pub(crate) fn done(&self, sent: &Sent, outcome: &Outcome) -> Result {
        sent.tell_done(&self.scope.run, &outcome.of);
        self.held.came(outcome.clone());
        self.notified(sent, outcome.changed())
    }

    /// Its caller calls it a failure: what the host changed calls for the steps that it notifies all the same.
    ///
    /// # Errors
    /// When nothing changed, the host has noted that they are due, and that cannot be told there.
    pub(crate) fn refused(&self, sent: &Sent) -> Result {
        self.notified(sent, sent.outcome.changed())
    }

    fn notified(&self, sent: &Sent, changed: bool) -> Result {
        let (run, host) = (&self.scope.run, &self.host.name);
        let due = run.fleet.take_due(host, sent.step.id);
        if changed {
            self.notify.iter().for_each(|notified| run.notify(host, Arc::clone(notified)));
            return Ok(());
        }
        run.fleet.forget_due(host, &due.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
    }
}

/// An outcome that a check does not know, with what is assumed of it.
fn assuming(
    mut outcome: crate::change::Outcome,
    assume: &Map<String, Value>,
    reads: bool,
) -> (crate::change::Outcome, Map<String, Value>) {
    let mut values = assume.clone();
    let changes = values.remove("changed").and_then(|changed| changed.as_bool());
    let settled = match (outcome.status, reads, changes) {
        (Status::Unknown, true, _) => Some(Status::Read),
        (Status::Unknown, false, Some(true)) => Some(Status::WouldChange),
        (Status::Unknown, false, Some(false)) => Some(Status::Ok),
        _ => None,
    };
    if let Some(status) = settled {
        (outcome.status, outcome.assumed) = (status, true);
    }
    let names: Vec<String> = assume.keys().map(|name| format!("`{name}`")).collect();
    let what = if names.is_empty() { "that it goes well".to_owned() } else { names.join(", ") };
    let why = outcome.reason.map(|reason| format!(", since {reason}")).unwrap_or_default();
    outcome.reason = Some(format!("assumes {what}{why}"));
    (outcome, values)
}

/// Sends steps of one host together. All but the last are told and done with; what is given back is the last one's.
/// The first that fails ends it, and none after it is begun.
pub(super) fn send_all(steps: &[&Ready]) -> Result<Sent> {
    let Some(first) = steps.first() else { return Err(Error::internal("no step to be sent")) };
    if steps.len() == 1 {
        return first.send(0);
    }
    let run = &first.scope.run;
    let calls: Vec<Call> = steps.iter().map(|step| step.call()).collect();
    let start = |index: usize| run.events.tell(EventKind::StepStarted { step: calls[index].step.clone() });
    let began = Instant::now();
    let mut begun = began;
    let mut last = Err(Error::internal("a step without an outcome"));
    let mut told = Ok(());
    start(0);
    run.fleet.call_all(&calls, &mut |index, result| {
        last = steps[index].came(&calls[index], result, begun.elapsed(), 0);
        begun = Instant::now();
        if let Ok(sent) = &last
            && index + 1 < calls.len()
        {
            // Without a predicate of the caller, an outcome is what the host says: nothing is to be struck off.
            told = std::mem::replace(&mut told, Ok(())).and(steps[index].done(sent, &sent.outcome));
            start(index + 1);
        }
    });
    first.waited(began);
    told.and(last)
}

/// A step that its host has run, not yet told: the caller may have a say in what came of it.
pub(crate) struct Sent {
    step: Step,
    /// What the host said.
    pub(crate) outcome: Outcome,
    took: u64,
}

impl Sent {
    fn tell_done(&self, run: &Run, outcome: &crate::change::Outcome) {
        let (step, outcome) = (self.step.clone(), outcome.clone());
        run.events.tell(EventKind::StepDone { step, outcome, took: self.took });
    }

    /// Tells that whoever called calls it a failure.
    pub(crate) fn tell_failed(&self, run: &Run, error: Error, left: u32) {
        let step = self.step.clone();
        run.events.tell(match left {
            0 => EventKind::StepFailed { step, error, took: self.took },
            left => EventKind::Retry { step, error, left },
        });
    }
}

/// What a step is about, for people.
pub(crate) fn subject_of(spec: &Spec, args: &Map<String, Value>) -> String {
    let shown = match args.get(spec.subject) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(words)) => words
            .iter()
            .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let line = shown.lines().next().unwrap_or_default();
    let short: String = line.chars().take(100).collect();
    if short.len() < shown.len() { format!("{short}…") } else { short }
}
