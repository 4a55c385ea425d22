//! The functions of a script that belong to no host.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, Map, NativeCallContext};
use serde_json::Value;

use super::fault::throw;
use super::host::Host;
use super::on::hosts_of;
use super::pipelining;
use super::running::Run;
use super::scope::{ScriptScope, at, current_scope, pause};
use super::secret::said;
use super::step::{Later, step};
use super::value::{from_json, from_map};
use crate::change::{Outcome, Status};
use crate::control::Base;
use crate::error::{Error, Kind, Result};
use crate::event::{EventKind, TimeSpentOn};
use crate::fleet::Call;
use crate::op::HumanDuration;
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, run: &Arc<Run>) {
    operations(engine);
    inventory(engine, run);
    flow(engine, run);
    talk(engine, run);
}

/// Every operation as a method of a host, with its subject first or by name.
fn operations(engine: &mut Engine) {
    for spec in crate::ops::OPS {
        let with = move |subject: Dynamic, mut args: Map| -> Result<Map> {
            if args.insert(spec.subject.into(), subject).is_some() {
                return Err(
                    Error::playbook(format!("{}: `{}` is given twice", spec.name, spec.subject)).in_step(spec.name)
                );
            }
            Ok(args)
        };
        engine.register_fn(spec.name, move |context: NativeCallContext, host: &mut Host| {
            step(&context, host, spec, Map::new())
        });
        engine.register_fn(
            spec.name,
            move |context: NativeCallContext, host: &mut Host, only: Dynamic| -> Raised<Dynamic> {
                let args = match only.is_map() {
                    true => Ok(only.cast::<Map>()),
                    false => with(only, Map::new()),
                };
                step(&context, host, spec, args.map_err(|e| throw(&context, e))?)
            },
        );
        engine.register_fn(
            spec.name,
            move |context: NativeCallContext, host: &mut Host, subject: Dynamic, args: Map| -> Raised<Dynamic> {
                step(&context, host, spec, with(subject, args).map_err(|e| throw(&context, e))?)
            },
        );
    }
    let later = |context: &NativeCallContext, op: &str, subject: Dynamic, mut args: Map| -> Raised<Later> {
        let spec = crate::ops::find(op).map_err(|e| throw(context, e))?;
        if spec.name == "raw" {
            let error = Error::playbook("later: `raw` is no step of an agent, so none can be kept");
            return Err(throw(context, error.hint("`shell` and `run` can be notified")));
        }
        args.insert(spec.subject.into(), subject);
        Ok(Later { op: op.to_owned(), args, at_once: None })
    };
    engine.register_fn("later", move |context: NativeCallContext, op: &str, subject: Dynamic| {
        later(&context, op, subject, Map::new())
    });
    engine.register_fn("later", move |context: NativeCallContext, op: &str, subject: Dynamic, args: Map| {
        later(&context, op, subject, args)
    });
    engine.register_fn("at_once", |context: NativeCallContext, later: &mut Later, count: i64| -> Raised<Later> {
        match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(Later { at_once: Some(count), ..later.clone() }),
            _ => Err(throw(&context, Error::playbook(format!("at_once: a count of hosts is 1 or more, not {count}")))),
        }
    });
}

fn inventory(engine: &mut Engine, run: &Arc<Run>) {
    let shared = Arc::clone(run);
    engine.register_fn("hosts", move |context: NativeCallContext, pattern: &str| -> Raised<Array> {
        let chosen = hosts_of(&shared, pattern.into()).map_err(|e| throw(&context, e))?;
        Ok(chosen.into_iter().map(Dynamic::from).collect())
    });
    let shared = Arc::clone(run);
    engine.register_fn("within_limit", move |context: NativeCallContext, hosts: Dynamic| -> Raised<Array> {
        let all = hosts_of(&shared, hosts).map_err(|e| throw(&context, e))?;
        Ok(all.into_iter().filter(|host| shared.within_limit(&host.name)).map(Dynamic::from).collect())
    });
    let shared = Arc::clone(run);
    engine.register_fn("host", move |context: NativeCallContext, name: &str| -> Raised<Host> {
        let found = shared.inventory.host(name).map_err(|e| throw(&context, e.as_kind(Kind::Playbook)))?;
        Ok(Host::new(&shared, &found.name))
    });
    let shared = Arc::clone(run);
    engine.register_fn("local", move || Host::new(&shared, "local"));
    let shared = Arc::clone(run);
    engine.register_fn("vars", move || from_map(&shared.inventory.vars_of_all()));
    let shared = Arc::clone(run);
    engine.register_fn("vars", move |context: NativeCallContext, name: &str| -> Raised<Dynamic> {
        let known = shared.inventory.vars_of_all();
        known.get(name).map(from_json).ok_or_else(|| {
            let error = Error::playbook(format!("there is no variable `{name}` that holds for every host"));
            throw(&context, error.suggest(name, known.keys().map(String::as_str)))
        })
    });
    let shared = Arc::clone(run);
    engine.register_fn("vars", move |name: &str, otherwise: Dynamic| {
        shared.inventory.vars_of_all().get(name).map_or(otherwise, from_json)
    });
    let shared = Arc::clone(run);
    engine.register_fn("checking", move || shared.fleet.mode() == Mode::Check);
    engine.register_fn("now", || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    });
    let shared = Arc::clone(run);
    engine.register_fn("env", move |name: &str, otherwise: Dynamic| {
        shared.control.sources.environment(name).map_or(otherwise, Dynamic::from)
    });
    let shared = Arc::clone(run);
    engine.register_fn("file_text", move |context: NativeCallContext, src: &str| -> Raised<String> {
        let base = Base::of(context.call_source().unwrap_or_default());
        let text = shared.control.sources.find(&base, Path::new(src)).and_then(|found| found.text());
        text.map_err(|e| throw(&context, e))
    });
}

fn flow(engine: &mut Engine, run: &Arc<Run>) {
    let shared = Arc::clone(run);
    engine.register_fn("task", move |context: NativeCallContext, name: &str, closure: FnPtr| -> Raised<Dynamic> {
        pipelining::first(&context)?;
        if !wanted(&shared, name) {
            return Ok(Dynamic::UNIT);
        }
        shared.events.tell(EventKind::TaskStarted { task: name.to_owned() });
        let begun = Instant::now();
        let place = ScriptScope { task: Some(name.to_owned()), ..current_scope() };
        let result = at(place, || pipelining::settled(&context, closure.call_within_context(&context, ())));
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.events.named(name, current_scope().host.as_deref(), begun);
        shared.events.tell(EventKind::TaskDone { task: name.to_owned(), took });
        result
    });
    engine.register_fn("always", |context: NativeCallContext, body: FnPtr, finally: FnPtr| -> Raised<Dynamic> {
        pipelining::first(&context)?;
        let result: Raised<Dynamic> = pipelining::settled(&context, body.call_within_context(&context, ()));
        let cleaned: Raised<Dynamic> = pipelining::settled(&context, finally.call_within_context(&context, ()));
        // The first fault is the one to be told; the second is often only its consequence.
        let value = result?;
        drop(cleaned?);
        Ok(value)
    });
    engine.register_fn("assert", |context: NativeCallContext, holds: bool, message: &str| -> Raised<()> {
        pipelining::first(&context)?;
        if holds { Ok(()) } else { Err(throw(&context, Error::new(Kind::Assertion, message))) }
    });
    engine.register_fn("fail", |context: NativeCallContext, message: &str| -> Raised<()> {
        Err(throw(&context, Error::new(Kind::Assertion, message)))
    });
    let shared = Arc::clone(run);
    engine.register_fn("sleep", move |context: NativeCallContext, length: Dynamic| -> Raised<()> {
        let span = super::value::to_json(&length).and_then(|value| {
            serde_json::from_value::<HumanDuration>(value).map_err(|e| Error::playbook(format!("sleep: {e}")))
        });
        let length = span.map_err(|e| throw(&context, e))?.0;
        pause(&shared, length).map_err(|e| throw(&context, e))
    });
}

/// Whether `--tags` wants a task: by its name, or because it is inside one that is wanted.
fn wanted(run: &Run, name: &str) -> bool {
    let tags = &run.settings.tags;
    tags.is_empty() || tags.iter().any(|tag| tag == name) || current_scope().task.is_some()
}

fn talk(engine: &mut Engine, run: &Arc<Run>) {
    for (name, warning) in [("log", false), ("warn", true)] {
        let shared = Arc::clone(run);
        engine.register_fn(name, move |context: NativeCallContext, text: Dynamic| -> Raised<()> {
            pipelining::first(&context)?;
            shared.events.tell(EventKind::Said { host: current_scope().host, warning, text: said(&text) });
            Ok(())
        });
    }
    let shared = Arc::clone(run);
    engine.on_print(move |text| {
        shared.events.tell(EventKind::Said { host: current_scope().host, warning: false, text: text.to_owned() });
    });
    let shared = Arc::clone(run);
    engine.on_debug(move |text, source, position| {
        let place = super::fault::place(source, position);
        shared.events.tell(EventKind::Said {
            host: current_scope().host,
            warning: false,
            text: format!("{place}: {text}"),
        });
    });
}

/// `host.raw(…)`: a command on the bare connection, for hosts where no agent can run.
pub(super) fn raw(host: &Host, call: &Call) -> Result<Outcome> {
    let mut args = call.args.clone();
    host.run.control.secrets.reveal(&mut args);
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reads = call.args.get("reads").and_then(Value::as_bool).unwrap_or(false);
    if call.mode == Mode::Check && !reads {
        return Ok(Outcome::new(Status::WouldRun));
    }
    let limit: HumanDuration = call
        .args
        .get("timeout")
        .cloned()
        .and_then(|v| serde_json::from_value(v).ok())
        .unwrap_or(HumanDuration::secs(300));
    let (sent, events) = (Instant::now(), &host.run.events);
    let raw = host.run.fleet.raw(&host.name, &text("command"), text("stdin").as_bytes(), limit.0);
    let now = Instant::now();
    // Nobody there says what of it was the command.
    events.spent(TimeSpentOn::Network, Some(&host.name), None, (sent, now));
    events.spent(TimeSpentOn::Control, Some(&host.name), Some(call.step.id), (call.begun, now));
    let raw = raw?;
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = if reads { Status::Read } else { Status::Changed };
    Ok(Outcome::new(status).with("stdout", shown(&raw.stdout)).with("stderr", shown(&raw.stderr)))
}
