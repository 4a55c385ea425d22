//! The loop that makes steps idempotent: read, compare, mend, read again; in a dry run (check), plan instead of mend.

use std::time::Instant;

use serde_json::{Map, Value};

use super::kind::{Action, Effects, Fact, Operation, Resource};
use super::session::Session;
use super::spec::decode;
use crate::change::{Change, Diff, Outcome, Status, compare, digest};
use crate::error::{Detail, Error, Kind, Result};
use crate::sys::{Effect, Hands, Peer, Probe};
use crate::wire::{Mode, Request};

/// The operation that a request asks for, with what came along.
fn asked<O: Operation>(request: &Request) -> Result<O> {
    let mut op: O = decode(request.args.clone())?;
    op.attach(request.attachment.clone())?;
    Ok(op)
}

/// Has it noted that the steps which the request notifies are due, before anything is changed; or that they are not,
/// since nothing was.
fn due(request: &Request, peer: &dyn Peer, stands: bool) -> Result {
    if request.notify.is_empty() { Ok(()) } else { peer.due(stands) }
}

/// Where the caller has the last word on what this step came to, has it noted that they are due until that has spoken:
/// it may not live to say so.
fn due_until_judged(request: &Request, peer: &dyn Peer, outcome: &Outcome) -> Result {
    let asked = request.judged && request.mode == Mode::Apply;
    let ran = matches!(outcome.status, Status::Changed | Status::Ok | Status::Read);
    if asked && ran { due(request, peer, true) } else { Ok(()) }
}

pub(super) fn resource<R: Resource>(request: &Request, session: &Session, peer: &dyn Peer) -> Result<Outcome> {
    let started = Instant::now();
    let op: R = asked(request)?;
    let probe = probe(request, session, peer);
    let found = difference(&op, &probe, session, request);
    let nothing = found.as_ref().is_ok_and(|(_, change)| change.is_none());
    let doubt = doubt(&probe, nothing, found.as_ref().err());
    let outcome = match doubt.map_or(found, Err) {
        Ok((actual, None)) => {
            if request.mode == Mode::Apply {
                op.adopt(&hands(request, session, peer), actual.as_ref())?;
            }
            Outcome {
                digest: stand_in(&op, actual.as_ref())?,
                values: op.values(actual.as_ref()),
                ..Outcome::new(Status::Ok)
            }
        }
        Ok((_, Some(change))) => match request.mode {
            Mode::Check => plan(&op, change, &probe, session, request)?,
            Mode::Apply => mend(&op, &change, session, request, peer)?,
        },
        Err(e) if e.kind() == Kind::Unknown && request.mode == Mode::Check => {
            // Later steps may depend on what this one leaves behind, whatever it finds.
            if let Ok(desired) = op.desired(None) {
                remember(&op, desired.as_ref(), true, session, request);
            }
            Outcome::new(Status::Unknown).because(e.to_string())
        }
        Err(e) => return Err(e),
    };
    told(outcome, request, peer, started)
}

/// The outcome of a resource as it is told: the same code for all of them, as for all that does not need their type.
fn told(mut outcome: Outcome, request: &Request, peer: &dyn Peer, started: Instant) -> Result<Outcome> {
    if request.secret {
        outcome.diff.iter_mut().for_each(hide);
    }
    due_until_judged(request, peer, &outcome)?;
    outcome.micros = elapsed(started);
    Ok(outcome)
}

/// That nothing is to be done, or that it cannot be done, never rests on an assumption: it is unknown then.
fn doubt(probe: &Probe, nothing: bool, fault: Option<&Error>) -> Option<Error> {
    let assumed = probe.assumed()?;
    let reason = probe.packages_planned().unwrap_or(assumed);
    match fault {
        Some(e) if e.kind() == Kind::Step => Some(Error::unknown(format!("{reason}: {}", e.message()))),
        None if nothing => Some(Error::unknown(reason)),
        _ => None,
    }
}

type Difference<S> = (Option<S>, Option<Change<S>>);

/// What is there, and how it differs from what should be.
fn difference<R: Resource>(
    op: &R,
    probe: &Probe,
    session: &Session,
    request: &Request,
) -> Result<Difference<R::State>> {
    let found = op.actual(probe);
    let actual = match recalled(R::NAME, R::SUBJECT, session, request) {
        Some(recalled) => {
            // What an earlier step of its own planned is no assumption of this one.
            probe.forget_assumed();
            merged(found, recalled)?
        }
        None => found?,
    };
    let desired = op.desired(actual.as_ref())?;
    let diff = compare(actual.as_ref(), desired.as_ref())?;
    Ok(match diff {
        None => (actual, None),
        Some(diff) => (None, Some(Change { actual, desired, diff })),
    })
}

/// What an earlier step of this check planned for the same subject of the same operation.
fn recalled(op: &str, parameter: &str, session: &Session, request: &Request) -> Option<Value> {
    if request.mode == Mode::Apply {
        return None;
    }
    session.plan.borrow().recall(op, &subject(parameter, request)).cloned()
}

/// The planned fields over those found.
fn merged<S: serde::Serialize + serde::de::DeserializeOwned>(
    found: Result<Option<S>>,
    planned: Value,
) -> Result<Option<S>> {
    let Value::Object(planned) = planned else { return Ok(None) };
    let found = found.ok().flatten().map(serde_json::to_value).and_then(Result::ok);
    let mut fields = match found {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.extend(planned.into_iter().filter(|(_, value)| !value.is_null()));
    let state = serde_json::from_value(Value::Object(fields));
    state.map(Some).map_err(|e| Error::internal("a planned state that cannot be read").because(e))
}

fn plan<R: Resource>(
    op: &R,
    change: Change<R::State>,
    probe: &Probe,
    session: &Session,
    request: &Request,
) -> Result<Outcome> {
    op.rehearse(probe, &change)?;
    let assumed = probe.assumed();
    remember(op, change.desired.as_ref(), assumed.is_some(), session, request);
    let values = op.values(change.desired.as_ref());
    let digest = stand_in(op, change.desired.as_ref())?;
    Ok(Outcome { diff: Some(change.diff), digest, values, ..Outcome::new(Status::WouldChange).assuming(assumed) })
}

fn remember<R: Resource>(op: &R, desired: Option<&R::State>, assumed: bool, session: &Session, request: &Request) {
    let effects = op.effects(desired);
    // What is planned for a path is found again at the path; everything else is found by its subject.
    if !R::IS_AT_ITS_PATHS || effects.is_empty() || !effects.iter().all(Effect::is_of_a_path) {
        let state = desired.and_then(|state| serde_json::to_value(state).ok()).unwrap_or(Value::Null);
        let state = op.is_recalled().then_some(state);
        session.plan.borrow_mut().remember(R::NAME, &subject(R::SUBJECT, request), state);
    }
    take_in(effects, assumed, session, request);
}

fn take_in(effects: Effects, assumed: bool, session: &Session, request: &Request) {
    let mut plan = session.plan.borrow_mut();
    for effect in effects {
        let path = if let Effect::Path(path, _) = &effect { Some(path.clone()) } else { None };
        plan.apply_as(effect, request.user.as_deref());
        if let Some(path) = path.filter(|_| assumed) {
            plan.assume(&path);
        }
    }
}

fn mend<R: Resource>(
    op: &R,
    change: &Change<R::State>,
    session: &Session,
    request: &Request,
    peer: &dyn Peer,
) -> Result<Outcome> {
    let hands = hands(request, session, peer);
    due(request, peer, true)?;
    let before = op.things(change.actual.as_ref());
    session.creations.borrow_mut().expect(&before, &op.things(change.desired.as_ref()));
    let found = |now: Option<&R::State>| session.creations.borrow_mut().found(&before, &op.things(now));
    if let Err(e) = op.fix(&hands, change) {
        // What was made before it failed is there all the same.
        if let Ok(now) = op.actual(&hands) {
            found(now.as_ref());
            if compare(change.actual.as_ref(), now.as_ref())?.is_none() {
                due(request, peer, false)?;
            }
        }
        return Err(e);
    }
    let actual = op.actual(&hands)?;
    found(actual.as_ref());
    let desired = op.desired(actual.as_ref())?;
    if let Some(left) = compare(actual.as_ref(), desired.as_ref())? {
        return Err(still_differs(R::NAME, &left));
    }
    let digest = stand_in(op, actual.as_ref())?;
    Ok(Outcome {
        diff: Some(change.diff.clone()),
        digest,
        values: op.values(actual.as_ref()),
        ..Outcome::new(Status::Changed)
    })
}

fn still_differs(op: &str, left: &Diff) -> Error {
    Error::step(format!("{op}: it was changed, but is still not as wanted: {}", differing(left)))
}

/// The names of the fields that differ; never their values, which may be secret.
fn differing(diff: &Diff) -> String {
    let names: Vec<String> = diff.fields.iter().map(|field| format!("`{}`", field.name)).collect();
    if names.is_empty() { "its presence".to_owned() } else { names.join(", ") }
}

/// What stands for the state reached in `restart_on`.
fn stand_in<R: Resource>(op: &R, actual: Option<&R::State>) -> Result<Option<String>> {
    if let Some(own) = op.digest(actual) {
        return Ok(Some(own));
    }
    Ok(Some(stand_in_for(serde_json::to_value(op.desired(actual)?).unwrap_or(Value::Null))))
}

fn stand_in_for(mut wanted: Value) -> String {
    if let Some(content) = wanted.get_mut("content").and_then(Value::as_object_mut) {
        content.remove("text");
    }
    digest(wanted.to_string().as_bytes())
}

fn hide(diff: &mut Diff) {
    diff.secret = true;
    for field in &mut diff.fields {
        (field.before, field.after) = (None, None);
    }
}

pub(super) fn action<A: Action>(request: &Request, session: &Session, peer: &dyn Peer) -> Result<Outcome> {
    let started = Instant::now();
    let op: A = asked(request)?;
    let probe = probe(request, session, peer);
    let guard = op.guard(&probe);
    let said = doubt(&probe, guard.as_ref().is_ok_and(Option::is_some), guard.as_ref().err());
    let guarded = match said.map_or(guard, Err) {
        Err(e) if e.kind() == Kind::Unknown && request.mode == Mode::Check => {
            // It may run or not: nothing that it would do is certain.
            session.plan.borrow_mut().would_run();
            take_in(op.effects().into_iter().map(Effect::doubted).collect(), false, session, request);
            Some(Outcome::new(Status::Unknown).because(e.to_string()))
        }
        guard => guard?.map(|reason| Outcome::new(Status::Skipped).because(reason)),
    };
    // A guard that says no also keeps a look from happening.
    let looked = if guarded.is_none() { op.look(&probe) } else { None };
    let looked = looked.map(|looked| doubt(&probe, true, looked.as_ref().err()).map_or(looked, Err));
    let mut outcome = match (guarded, looked, request.mode) {
        (Some(outcome), _, _) => outcome,
        (None, Some(Err(e)), Mode::Check) if e.kind() == Kind::Unknown => {
            Outcome::new(Status::Unknown).because(e.to_string())
        }
        (None, Some(read), _) => read?,
        (None, None, Mode::Check) => {
            session.plan.borrow_mut().would_run();
            take_in(op.effects(), false, session, request);
            Outcome::new(Status::WouldRun).assuming(probe.assumed())
        }
        (None, None, Mode::Apply) => {
            let hands = hands(request, session, peer);
            due(request, peer, true)?;
            let outcome = op.act(&hands);
            // A program that ran may have changed anything, however it ended.
            let idle = |e: &Error| e.detail() == Some(&Detail::NotStarted);
            let same = |outcome: &Outcome| !outcome.status.changed() && !request.judged;
            if outcome.as_ref().is_err_and(idle) || outcome.as_ref().is_ok_and(same) {
                due(request, peer, false)?;
            }
            outcome?
        }
    };
    due_until_judged(request, peer, &outcome)?;
    outcome.micros = elapsed(started);
    Ok(outcome)
}

pub(super) fn fact<F: Fact>(request: &Request, session: &Session, peer: &dyn Peer) -> Result<Outcome> {
    let started = Instant::now();
    let op: F = asked(request)?;
    let values = op.read(&probe(request, session, peer))?;
    let outcome = Outcome { values, ..Outcome::new(Status::Read) };
    due_until_judged(request, peer, &outcome)?;
    Ok(Outcome { micros: elapsed(started), ..outcome })
}

fn probe<'a>(request: &'a Request, session: &'a Session, peer: &'a dyn Peer) -> Probe<'a> {
    let plan = (request.mode == Mode::Check).then_some(&session.plan);
    let probe = Probe::new(plan, peer, &session.jobs, &session.digests, request.stream);
    match &request.user {
        Some(user) => probe.in_place_of(user),
        None => probe,
    }
}

/// The only maker of hands, and only called when applying.
fn hands<'a>(request: &Request, session: &'a Session, peer: &'a dyn Peer) -> Hands<'a> {
    Hands::new(peer, &session.jobs, &session.digests, &session.creations, request.stream)
}

fn subject(parameter: &str, request: &Request) -> String {
    request.args.get(parameter).map(ToString::to_string).unwrap_or_default()
}

fn elapsed(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
