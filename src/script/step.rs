//! A call of an operation becomes a step: parameters checked and resolved, sent, told, and given back.

use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult, FnPtr, Map as RhaiMap, NativeCallContext};
use serde_json::{Map, Value, json};

use super::fault::{place, throw};
use super::here::here;
use super::host::Host;
use super::outcome::Outcome;
use super::parameters;
use super::value::to_json;
use crate::change::Status;
use crate::control::{Base, Place as Resolving};
use crate::error::{Error, Kind, Place, Result};
use crate::event::{Part, Step, What};
use crate::fleet::Call;
use crate::op::{Danger, Operation, Span, Spec};
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Parameters that every operation takes, and that the host never sees.
#[derive(Default)]
struct Common {
    attempts: u32,
    delay: Duration,
    notify: Option<Value>,
    changed: Option<FnPtr>,
    failed: Option<FnPtr>,
}

/// A step not yet sent, made by `later`.
#[derive(Debug, Clone)]
pub(super) struct Later {
    pub(super) op: String,
    pub(super) args: RhaiMap,
}

/// Runs a step and gives its outcome to the script.
pub(super) fn step(context: &NativeCallContext, host: &Host, spec: &'static Spec, args: RhaiMap) -> Raised<Dynamic> {
    let mut begun = Instant::now();
    let at = place(context.call_source(), context.call_position());
    let prepared = prepare(context, host, spec, args);
    let (common, args) = prepared.map_err(|e| throw(context, at_its_key(context, e.in_step(spec.name))))?;
    let mut attempt = |left: u32| -> Raised<Outcome> {
        let sent = send(host, spec, args.clone(), (&at, begun), common.notify.clone(), left);
        begun = Instant::now();
        let sent = sent.map_err(|e| throw(context, e))?;
        let judged = judge(context, sent.outcome.clone(), spec, &at, &common);
        match &judged {
            Ok(outcome) => sent.tell_done(host, &outcome.of),
            Err(error) => sent.tell_failed(host, error, left),
        }
        judged
    };
    // What a check cannot see now, it will not see a moment later.
    let mut left = if host.world.fleet.mode() == Mode::Apply { common.attempts.max(1) } else { 1 };
    loop {
        left -= 1;
        match attempt(left) {
            Ok(outcome) => {
                if outcome.changed()
                    && let Some(notify) = &common.notify
                {
                    host.world.notify(&host.name, notify.clone(), &at);
                }
                return Ok(Dynamic::from(outcome));
            }
            Err(error) if left > 0 && may_retry(&error) => {
                super::here::pause(&host.world, common.delay).map_err(|e| throw(context, e))?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn may_retry(error: &EvalAltResult) -> bool {
    let super::fault::Payload(error) = super::fault::payload(error);
    error.is_some_and(|e| matches!(e.kind(), Kind::Step | Kind::Assertion))
}

/// Splits off the common parameters, checks the others, and fills in what lives on this side.
fn prepare(
    context: &NativeCallContext,
    host: &Host,
    spec: &Spec,
    mut args: RhaiMap,
) -> Result<(Common, Map<String, Value>)> {
    if let Some(key) = args.keys().find(|key| key.starts_with('@')) {
        return Err(Error::playbook(format!("{}: unknown field `{key}`", spec.name)));
    }
    let mut common = Common::default();
    if let Some(retry) = args.remove("retry") {
        let retry = to_json(&retry)?;
        let number = |name: &str| retry.get(name).and_then(Value::as_u64);
        common.attempts = u32::try_from(number("attempts").unwrap_or(3)).unwrap_or(u32::MAX);
        let delay: Span = serde_json::from_value(retry.get("delay").cloned().unwrap_or(json!(1)))
            .map_err(|e| Error::playbook(format!("{}: `retry.delay`: {e}", spec.name)))?;
        common.delay = delay.0;
    }
    let closure = |value: Option<Dynamic>, name: &str| match value {
        None => Ok(None),
        Some(value) if value.is_fnptr() => Ok(Some(value.cast::<FnPtr>())),
        Some(_) => Err(Error::playbook(format!("{}: `{name}` must be a closure that takes the outcome", spec.name))),
    };
    common.changed = closure(args.remove("changed"), "changed")?;
    common.failed = closure(args.remove("failed"), "failed")?;
    let notify = args.remove("notify");
    let base = Base::of(context.call_source().unwrap_or_default());
    if let Some(notify) = notify {
        let Some(later) = notify.clone().try_cast::<Later>() else {
            return Err(Error::playbook(format!("{}: `notify` must be a step made by `later(…)`", spec.name)));
        };
        let spec = crate::ops::find(&later.op)?;
        let args = resolved(host, spec, &later.args, &base)?;
        let subject = subject_of(spec, &args);
        common.notify = Some(json!({ "op": later.op, "subject": subject, "args": args, "user": host.user }));
    }
    if common.failed.is_some() && (spec.name == "run" || spec.name == "shell") {
        // The closure decides, so no exit status is a fault by itself.
        args.entry("ok".into()).or_insert_with(|| rhai::Array::new().into());
    }
    Ok((common, resolved(host, spec, &args, &base)?))
}

fn resolved(host: &Host, spec: &Spec, args: &RhaiMap, base: &Base) -> Result<Map<String, Value>> {
    let Value::Object(args) = to_json(&Dynamic::from(args.clone()))? else {
        return Err(Error::internal("parameters that are no map"));
    };
    // Absent and `()` are the same: a script can pass on what it was not given.
    let args: Map<String, Value> = args.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let checked = (spec.check)(Value::Object(args.clone())).map_err(|e| did_you_mean(e, spec))?;
    drop(checked);
    let mut args = args;
    let world = &host.world;
    let names = || {
        let mut names = world.vars(&host.name);
        names.insert("host".to_owned(), host.to_json());
        names
    };
    world.control.resolve(
        spec.name,
        &mut args,
        &Resolving {
            base: base.clone(),
            names: &names,
            host: &host.name,
            mode: world.fleet.mode(),
            arch: &|| Ok(world.fleet.hello(&host.name)?.arch),
        },
    )?;
    Ok(args)
}

/// An error about parameters, with the nearest right name where a name is wrong.
fn did_you_mean(error: Error, spec: &Spec) -> Error {
    match parameters::field(&error) {
        Some(field) if error.message().contains("unknown field `") => parameters::unknown_field(spec, field),
        _ => parameters::explained(error, spec.name),
    }
}

/// An error about a parameter at the place of its name, where the call's map is written out.
fn at_its_key(context: &NativeCallContext, error: Error) -> Error {
    let source = context.call_source().unwrap_or_default();
    let key = parameters::field(&error)
        .and_then(|field| super::lint::key_place(context.engine(), source, context.call_position(), field));
    match key {
        Some(place) if error.kind() == Kind::Playbook => error.at(place),
        _ => error,
    }
}

/// A step that its host has run, not yet told: the script may have a say in what came of it.
pub(super) struct Sent {
    step: Step,
    pub(super) outcome: Outcome,
    took: u64,
}

impl Sent {
    pub(super) fn tell_done(&self, host: &Host, outcome: &crate::change::Outcome) {
        let (step, outcome) = (self.step.clone(), outcome.clone());
        host.world.events.tell(What::StepDone { step, outcome, took: self.took });
    }

    fn tell_failed(&self, host: &Host, error: &EvalAltResult, left: u32) {
        let super::fault::Payload(Some(error)) = super::fault::payload(error) else { return };
        let step = self.step.clone();
        host.world.events.tell(match left {
            0 => What::StepFailed { step, error, took: self.took },
            left => What::Retry { step, error, left },
        });
    }
}

/// Sends a step and tells what came of it.
pub(super) fn send(
    host: &Host,
    spec: &Spec,
    args: Map<String, Value>,
    (at, begun): (&Place, Instant),
    notify: Option<Value>,
    left: u32,
) -> Result<Sent> {
    let world = &host.world;
    let step = Step {
        id: world.fleet.next_id(),
        host: host.name.clone(),
        op: spec.name.to_owned(),
        subject: subject_of(spec, &args),
        user: host.user.clone(),
        place: Some(at.clone()),
        task: here().task,
    };
    world.events.tell(What::StepStarted { step: step.clone() });
    let sent = Instant::now();
    let reads = spec.danger == Danger::Read || args.get("reads") == Some(&Value::Bool(true));
    let call = Call {
        host: host.name.clone(),
        step: step.clone(),
        reads,
        args: Value::Object(args),
        mode: world.fleet.mode(),
        notify,
        settles: None,
        stream: world.settings.stream,
        begun,
    };
    let result = if spec.name == "raw" { super::globals::raw(host, &call) } else { world.fleet.call(&call) };
    let took = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
    if here().host.as_ref() != Some(&host.name) {
        // Whoever called waits for a host that is not its own.
        world.events.spent(Part::Waiting, here().host.as_deref(), None, (begun, Instant::now()));
    }
    if spec.name == crate::ops::Reboot::NAME {
        world.forget_facts(&host.name);
    }
    match result {
        Ok(mut outcome) => {
            world.control.kept(&call.args, &mut outcome)?;
            let outcome = Outcome { of: outcome, op: step.op.clone(), place: at.clone() };
            Ok(Sent { step, outcome, took })
        }
        Err(error) => {
            let error = error.in_step(spec.name).at(at.clone());
            let told = error.clone();
            if left > 0 && error.kind() == Kind::Step {
                world.events.tell(What::Retry { step, error: told, left });
            } else {
                world.events.tell(What::StepFailed { step, error: told, took });
            }
            Err(error)
        }
    }
}

/// Lets the script's own predicates decide whether a step changed something or failed.
fn judge(
    context: &NativeCallContext,
    mut outcome: Outcome,
    spec: &Spec,
    at: &Place,
    common: &Common,
) -> Raised<Outcome> {
    let ran = matches!(outcome.of.status, Status::Changed | Status::Ok | Status::Read);
    let ask = |closure: &FnPtr, name: &str| -> Raised<bool> {
        let answer: Dynamic = closure.call_within_context(context, (outcome.clone(),))?;
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
        outcome.of.status = if ask(closure, "changed")? { Status::Changed } else { Status::Ok };
    }
    Ok(outcome)
}

/// What a step is about, for people.
fn subject_of(spec: &Spec, args: &Map<String, Value>) -> String {
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

/// The facts of a host, read once a run.
pub(super) fn facts(context: &NativeCallContext, host: &Host) -> Result<Map<String, Value>> {
    let at = place(context.call_source(), context.call_position());
    host.world.facts(&host.name, || {
        let spec = crate::ops::find("facts")?;
        let sent = send(host, spec, Map::new(), (&at, Instant::now()), None, 0)?;
        sent.tell_done(host, &sent.outcome.of);
        Ok(sent.outcome.of.values)
    })
}

/// Whether an operation takes these parameters.
///
/// # Errors
/// Says what is wrong with them.
pub fn checked(op: &str, args: &Map<String, Value>) -> Result {
    let spec = crate::ops::find(op)?;
    (spec.check)(Value::Object(args.clone())).map(drop).map_err(|e| did_you_mean(e, spec))
}

/// Runs one operation on a host outside any script: what `mk do` does.
///
/// # Errors
/// The step's fault.
pub fn ad_hoc(
    world: &std::sync::Arc<super::World>,
    host: &str,
    op: &str,
    args: Map<String, Value>,
    base: &std::path::Path,
) -> Result<crate::change::Outcome> {
    let begun = Instant::now();
    let host = Host::new(world, host);
    let spec = crate::ops::find(op)?;
    let args = super::value::from_map(&args);
    let base = Base::File(base.join("command-line"));
    let args = resolved(&host, spec, &args, &base)?;
    let at = Place::new("command line", 0, 0);
    let sent = send(&host, spec, args, (&at, begun), None, 0)?;
    sent.tell_done(&host, &sent.outcome.of);
    Ok(sent.outcome.of)
}
