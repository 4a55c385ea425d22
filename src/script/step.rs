//! A call of an operation becomes a step: parameters checked and resolved, sent, told, and given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult, FnPtr, Map as RhaiMap, NativeCallContext};
use serde_json::Value;

use super::fault::{Payload, payload, place, throw};
use super::scope::{call, flush, may_wait, scope};
use super::value::to_json;
use crate::change::Status;
use crate::control::Base;
use crate::error::{Detail, Error, Kind, Result};
use crate::fleet::Notified;
use crate::op::{Class, Spec};
use crate::run::{
    ASSUME, CHANGED, FAILED, Held, Host, NOTIFY, Outcome, RETRY, Ready, Retry, Wanted, goes_alone, subject_of,
};
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) const NOTIFY_WANTS: &str = "must be a step made by `later(…)`, or a list of such steps";
pub(super) const CLOSURE_WANTED: &str = "must be a closure that takes the outcome";

/// Parameters that every operation takes, and that the host never sees.
#[derive(Default)]
struct Common {
    attempts: u32,
    delay: Duration,
    notify: Vec<Arc<Notified>>,
    assume: Option<serde_json::Map<String, Value>>,
    changed: Option<FnPtr>,
    failed: Option<FnPtr>,
}

impl Common {
    /// Whether nothing is asked for that looks at what came of the step.
    fn leave_it_alone(&self) -> bool {
        self.attempts <= 1 && self.changed.is_none() && self.failed.is_none()
    }
}

/// A step not yet sent, made by `later`.
#[derive(Debug, Clone)]
pub(super) struct Later {
    pub(super) op: String,
    pub(super) args: RhaiMap,
    /// On how many hosts it runs at the same time; `None` for all.
    pub(super) at_once: Option<usize>,
}

/// Runs a step and gives its outcome to the script, or lets it wait for the next one where nobody looks at that.
pub(super) fn step(context: &NativeCallContext, host: &Host, spec: &'static Spec, args: RhaiMap) -> Raised<Dynamic> {
    let begun = Instant::now();
    let at = place(context.call_source(), context.call_position());
    let scope = scope(context)?;
    if !scope.wanted && !only_reads(spec, &args) {
        let of = crate::change::Outcome::new(Status::Skipped).because("it is in no task that `--tags` names");
        return Ok(Dynamic::from(Held::known(Outcome::plain(of, spec.name, at))));
    }
    let prepared = prepare(context, host, spec, args);
    let prepared = prepared.map_err(|e| throw(context, at_its_key(context, as_here(e).in_step(spec.name))));
    let (mut common, wanted) = match prepared {
        Ok(prepared) => prepared,
        // A step that waits was written before this one, so its fault is told first.
        Err(error) => return flush(context).and(Err(error)),
    };
    let mut ready = Ready::new(&scope, host, spec, wanted, at);
    (ready.begun, ready.depth) = (begun, context.call_level());
    (ready.notify, ready.judged) = (std::mem::take(&mut common.notify), common.changed.is_some());
    ready.assume = std::mem::take(&mut common.assume);
    if common.leave_it_alone() && can_wait(context, &ready) {
        let held = ready.held.clone();
        scope.wait(ready).map_err(|e| throw(context, e))?;
        return Ok(Dynamic::from(held));
    }
    // What a check cannot see now, it will not see a moment later.
    let mut left = if scope.run.fleet.mode() == Mode::Apply { common.attempts.max(1) } else { 1 };
    let alone = left > 1 || goes_alone(spec);
    if alone {
        // What is tried again is this step alone.
        flush(context)?;
    }
    loop {
        left -= 1;
        match attempt(context, &ready, &common, (left, alone)) {
            Ok(()) => return Ok(Dynamic::from(ready.held)),
            Err(error) if left > 0 && may_retry(&error) => {
                scope.pause(common.delay).map_err(|e| throw(context, e))?;
            }
            Err(error) => return Err(error),
        }
        ready.begun = Instant::now();
    }
}

/// Whether a step changes nothing, as far as its call tells.
fn only_reads(spec: &Spec, args: &RhaiMap) -> bool {
    // A wait may be for what a step brings that is left out, and `fetch` writes here.
    spec.class == Class::Fact || args.get("reads").is_some_and(|reads| reads.as_bool() == Ok(true))
}

fn attempt(context: &NativeCallContext, ready: &Ready, common: &Common, (left, alone): (u32, bool)) -> Raised<()> {
    let sent = if alone { ready.send(left) } else { ready.scope.send(ready) };
    let sent = sent.map_err(|e| throw(context, e))?;
    let judged = judge(context, sent.outcome.clone(), ready, common);
    match &judged {
        Ok(outcome) => ready.done(&sent, outcome).map_err(|e| throw(context, e))?,
        Err(error) => {
            if let Payload(Some(error)) = payload(error) {
                sent.tell_failed(&ready.scope.run, error, left);
            }
            // The script's fault is the one to be told.
            let _ = ready.refused(&sent);
        }
    }
    judged.map(drop)
}

/// Whether a step may wait for the next one. On this machine, what it does could be seen by a script in other ways.
fn can_wait(context: &NativeCallContext, ready: &Ready) -> bool {
    let run = &ready.scope.run;
    !goes_alone(ready.spec)
        && !ready.reads()
        && !run.settings.one_by_one
        && !run.is_here(&ready.host.name)
        && may_wait(context)
}

fn may_retry(error: &EvalAltResult) -> bool {
    let Payload(error) = payload(error);
    error.is_some_and(|e| matches!(e.kind(), Kind::Step | Kind::Assertion))
}

/// Splits off the common parameters, checks the others, and fills in what lives on this side.
fn prepare(context: &NativeCallContext, host: &Host, spec: &Spec, mut args: RhaiMap) -> Result<(Common, Wanted)> {
    let mut common = Common::default();
    if let Some(retry) = args.remove(RETRY) {
        let retry = to_json(&retry)?;
        if !retry.is_null() {
            let retry = Retry::of(&retry).map_err(|e| e.named(spec.name))?;
            (common.attempts, common.delay) = (retry.attempts.get(), retry.delay.0);
        }
    }
    let closure = |value: Option<Dynamic>, name: &str| match value {
        None => Ok(None),
        Some(value) if value.is_fnptr() => Ok(Some(value.cast::<FnPtr>())),
        Some(_) => Err(Error::parameter(name, CLOSURE_WANTED).named(spec.name)),
    };
    common.changed = closure(args.remove(CHANGED), CHANGED)?;
    common.failed = closure(args.remove(FAILED), FAILED)?;
    if let Some(assume) = args.remove(ASSUME) {
        let wrong = || Error::parameter(ASSUME, "must be a map of what comes of the step, by name").named(spec.name);
        common.assume = match to_json(&assume)? {
            Value::Object(values) => Some(values),
            _ => return Err(wrong()),
        };
    }
    let notify = args.remove(NOTIFY);
    let base = Base::of(context.call_source().unwrap_or_default());
    let at = place(context.call_source(), context.call_position());
    for later in notify.map_or(Ok(Vec::new()), |notify| laters(spec, notify))? {
        let spec = crate::ops::find(&later.op)?;
        let Wanted { args, responder } = resolved(host, spec, &later.args, &base)?;
        common.notify.push(Arc::new(Notified {
            subject: subject_of(spec, &args),
            op: later.op,
            args,
            user: host.user.clone(),
            responder,
            at_once: later.at_once,
            place: at.clone(),
        }));
    }
    if common.failed.is_some() && (spec.name == "run" || spec.name == "shell") {
        // The closure decides, so no exit status is a fault by itself.
        args.entry("ok".into()).or_insert_with(|| rhai::Array::new().into());
    }
    Ok((common, resolved(host, spec, &args, &base)?))
}

/// The steps that `notify` names: one, or a list.
fn laters(spec: &Spec, notify: Dynamic) -> Result<Vec<Later>> {
    if spec.name == "raw" {
        let error = Error::parameter(NOTIFY, "would be lost with a run that is killed, since no agent notes it");
        return Err(error.named(spec.name).hint("`shell` and `run` notify; after `raw`, call the step itself"));
    }
    let wrong = || Error::parameter(NOTIFY, NOTIFY_WANTS).named(spec.name);
    let several = notify.clone().try_cast::<rhai::Array>().unwrap_or_else(|| vec![notify]);
    several.into_iter().map(|later| later.try_cast::<Later>().ok_or_else(wrong)).collect()
}

fn resolved(host: &Host, spec: &Spec, args: &RhaiMap, base: &Base) -> Result<Wanted> {
    let Value::Object(args) = to_json(&Dynamic::from(args.clone()))? else {
        return Err(Error::internal("parameters that are no map"));
    };
    Wanted::resolve(host, spec, args, base)
}

/// An error about a parameter that other runners have, with what is done here instead.
pub(super) fn as_here(error: Error) -> Error {
    let Some(Detail::UnknownField { name, .. }) = error.detail() else { return error };
    let hint = super::habits::parameter(name);
    hint.into_iter().fold(error, Error::hint)
}

/// An error about a parameter at the place of its name, where the call's map is written out.
fn at_its_key(context: &NativeCallContext, error: Error) -> Error {
    let source = context.call_source().unwrap_or_default();
    let field = error.detail().and_then(Detail::field);
    let key =
        field.and_then(|field| super::syntax::key_place(context.engine(), source, context.call_position(), field));
    match key {
        Some(place) if error.kind() == Kind::Playbook => error.at(place),
        _ => error,
    }
}

/// Lets the script's own predicates decide whether a step changed something or failed.
fn judge(context: &NativeCallContext, mut outcome: Outcome, ready: &Ready, common: &Common) -> Raised<Outcome> {
    let (spec, at) = (ready.spec, &ready.at);
    let ran = matches!(outcome.of.status, Status::Changed | Status::Ok | Status::Read);
    let ask = |closure: &FnPtr, name: &str| -> Raised<bool> {
        let answer = call(context, &ready.scope, closure, (Held::known(outcome.clone()),))?;
        answer.as_bool().map_err(|kind| {
            throw(
                context,
                Error::playbook(format!("{}: `{name}` must answer true or false, not {kind}", spec.name))
                    .at(at.clone()),
            )
        })
    };
    if let Some(closure) = common.failed.as_ref().filter(|_| ran)
        && ask(closure, "failed")?
    {
        let values = &outcome.of.values;
        let text = |name: &str| values.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let error =
            Error::step(format!("{}: its `failed` condition holds", spec.name)).at(at.clone()).in_step(spec.name);
        let said = if text("stderr").is_empty() { text("stdout") } else { text("stderr") };
        return Err(throw(context, if said.is_empty() { error } else { error.note(said) }));
    }
    if let Some(closure) = common.changed.as_ref().filter(|_| ran) {
        let changed = if ready.scope.run.fleet.mode() == Mode::Check { Status::WouldChange } else { Status::Changed };
        outcome.of.status = if ask(closure, "changed")? { changed } else { Status::Ok };
    }
    Ok(outcome)
}
