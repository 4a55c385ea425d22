//! The functions of a script that belong to no host.

use std::path::Path;
use std::time::Instant;

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, Map, NativeCallContext};

use super::fault::throw;
use super::on::hosts_of;
use super::registry::Registry;
use super::scope::{Tag, call, scope, tag};
use super::step::{Later, step};
use super::value::{from_json, from_map};
use crate::control::Base;
use crate::error::{Error, Kind, Result};
use crate::event::EventKind;
use crate::op::HumanDuration;
use crate::run::Host;
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(registry: &mut Registry) {
    operations(registry);
    inventory(registry);
    flow(registry);
}

/// Every operation as a method of a host, with its subject first or by name.
fn operations(registry: &mut Registry) {
    for spec in crate::ops::OPS {
        let with = move |subject: Dynamic, mut args: Map| -> Result<Map> {
            if args.insert(spec.subject.into(), subject).is_some() {
                return Err(
                    Error::playbook(format!("{}: `{}` is given twice", spec.name, spec.subject)).in_step(spec.name)
                );
            }
            Ok(args)
        };
        registry
            .add(spec.name, move |context: NativeCallContext, host: &mut Host| step(&context, host, spec, Map::new()));
        registry.add(spec.name, move |context: NativeCallContext, host: &mut Host, only: Dynamic| -> Raised<Dynamic> {
            let args = match only.is_map() {
                true => Ok(only.cast::<Map>()),
                false => with(only, Map::new()),
            };
            step(&context, host, spec, args.map_err(|e| throw(&context, e))?)
        });
        registry.add(
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
    registry.add("later", move |context: NativeCallContext, op: &str, subject: Dynamic| {
        later(&context, op, subject, Map::new())
    });
    registry.add("later", move |context: NativeCallContext, op: &str, subject: Dynamic, args: Map| {
        later(&context, op, subject, args)
    });
    registry.add("at_once", |context: NativeCallContext, later: &mut Later, count: i64| -> Raised<Later> {
        match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(Later { at_once: Some(count), ..later.clone() }),
            _ => Err(throw(&context, Error::playbook(format!("at_once: a count of hosts is 1 or more, not {count}")))),
        }
    });
}

fn inventory(registry: &mut Registry) {
    registry.add("hosts", |context: NativeCallContext, pattern: &str| -> Raised<Array> {
        let chosen = hosts_of(&scope(&context)?.run, pattern.into()).map_err(|e| throw(&context, e))?;
        Ok(chosen.into_iter().map(Dynamic::from).collect())
    });
    registry.add("within_limit", |context: NativeCallContext, hosts: Dynamic| -> Raised<Array> {
        let run = scope(&context)?.run;
        let all = hosts_of(&run, hosts).map_err(|e| throw(&context, e))?;
        Ok(all.into_iter().filter(|host| run.within_limit(&host.name)).map(Dynamic::from).collect())
    });
    registry.add("host", |context: NativeCallContext, name: &str| -> Raised<Host> {
        let run = scope(&context)?.run;
        let found = run.inventory.host(name).map_err(|e| throw(&context, e.as_kind(Kind::Playbook)))?;
        Ok(Host::new(&run, &found.name))
    });
    registry
        .add("local", |context: NativeCallContext| -> Raised<Host> { Ok(Host::new(&scope(&context)?.run, "local")) });
    registry.add("vars", |context: NativeCallContext| -> Raised<Map> {
        Ok(from_map(&scope(&context)?.run.inventory.vars_of_all()))
    });
    registry.add("vars", |context: NativeCallContext, name: &str| -> Raised<Dynamic> {
        let known = scope(&context)?.run.inventory.vars_of_all();
        known.get(name).map(from_json).ok_or_else(|| {
            let error = Error::playbook(format!("there is no variable `{name}` that holds for every host"));
            throw(&context, error.suggest(name, known.keys().map(String::as_str)))
        })
    });
    registry.add("vars", |context: NativeCallContext, name: &str, otherwise: Dynamic| -> Raised<Dynamic> {
        Ok(scope(&context)?.run.inventory.vars_of_all().get(name).map_or(otherwise, from_json))
    });
    registry.add("checking", |context: NativeCallContext| -> Raised<bool> {
        Ok(scope(&context)?.run.fleet.mode() == Mode::Check)
    });
    registry.add("now", || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    });
    registry.add("env", |context: NativeCallContext, name: &str, otherwise: Dynamic| -> Raised<Dynamic> {
        Ok(scope(&context)?.run.control.sources.environment(name).map_or(otherwise, Dynamic::from))
    });
    registry.add("file_text", |context: NativeCallContext, src: &str| -> Raised<String> {
        let base = Base::of(context.call_source().unwrap_or_default());
        let sources = &scope(&context)?.run.control.sources;
        let text = sources.find(&base, Path::new(src)).and_then(|found| found.text());
        text.map_err(|e| throw(&context, e))
    });
}

fn flow(registry: &mut Registry) {
    registry.add("task", |context: NativeCallContext, name: &str, closure: FnPtr| -> Raised<Dynamic> {
        let Tag { scope, tasks, .. } = tag(&context)?;
        let inner = scope.in_task(name);
        if !inner.wanted {
            // It is gone through for the sake of the tasks that it may have inside.
            return match tasks.may_hold(closure.fn_name(), &scope.run.selection) {
                true => call(&context, &inner, &closure, ()),
                false => Ok(Dynamic::UNIT),
            };
        }
        let events = &scope.run.events;
        events.tell(EventKind::TaskStarted { task: name.to_owned() });
        let begun = Instant::now();
        let result = call(&context, &inner, &closure, ());
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        events.named(name, scope.host.as_deref(), begun);
        events.tell(EventKind::TaskDone { task: name.to_owned(), took });
        result
    });
    registry.add("always", |context: NativeCallContext, body: FnPtr, finally: FnPtr| -> Raised<Dynamic> {
        let scope = scope(&context)?;
        let result = call(&context, &scope, &body, ());
        let cleaned = call(&context, &scope, &finally, ());
        // The first fault is the one to be told; the second is often only its consequence.
        let value = result?;
        drop(cleaned?);
        Ok(value)
    });
    registry.add("assert", |context: NativeCallContext, holds: bool, message: &str| -> Raised<()> {
        if holds { Ok(()) } else { Err(throw(&context, Error::new(Kind::Assertion, message))) }
    });
    registry.add("fail", |context: NativeCallContext, message: &str| -> Raised<()> {
        Err(throw(&context, Error::new(Kind::Assertion, message)))
    });
    registry.add("exit", |context: NativeCallContext| exit(&context, Dynamic::UNIT));
    registry.add("exit", |context: NativeCallContext, value: Dynamic| exit(&context, value));
    registry.add("sleep", |context: NativeCallContext, length: Dynamic| -> Raised<()> {
        let span = super::value::to_json(&length).and_then(|value| {
            serde_json::from_value::<HumanDuration>(value).map_err(|e| Error::playbook(format!("sleep: {e}")))
        });
        let length = span.map_err(|e| throw(&context, e))?.0;
        scope(&context)?.pause(length).map_err(|e| throw(&context, e))
    });
}

/// Ends the playbook; the language takes it from here.
fn exit(context: &NativeCallContext, value: Dynamic) -> Raised<()> {
    if scope(context)?.host.is_some() {
        let error = Error::playbook("exit: one host cannot end the playbook for all of them");
        return Err(throw(context, error.hint("`return` ends its part, and `fail(message)` takes it out of the run")));
    }
    if value.as_int().is_ok_and(|status| status != 0) {
        let error = Error::playbook(format!("exit: a script does not choose mk's status, and here it is `{value}`"));
        return Err(throw(
            context,
            error.hint("`fail(message)` ends with 1, `exit()` with what came of the steps so far"),
        ));
    }
    Err(EvalAltResult::Exit(value, context.call_position()).into())
}
