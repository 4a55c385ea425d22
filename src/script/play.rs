//! `play`: a playbook run from another one, and `--resume`, which skips those that completed before.

use std::path::Path;
use std::time::Instant;

use rhai::{Dynamic, EvalAltResult, NativeCallContext};

use super::fault::{raise, shown, throw};
use super::registry::Registry;
use super::scope::{scope, tag};
use crate::control::Base;
use crate::event::EventKind;
use crate::run;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(registry: &mut Registry) {
    registry.add("play", |context: NativeCallContext, path: &str| -> Raised<Dynamic> {
        let scope = scope(&context)?;
        let inputs = &scope.run.control.sources.inputs;
        let tracking = inputs.begin();
        let result = play(&context, path, tracking);
        drop(inputs.end(tracking));
        result
    });
    registry.add("forget_completed", |context: NativeCallContext| -> Raised<()> {
        run::forget_completed(&scope(&context)?.run).map_err(|e| throw(&context, e))
    });
}

fn play(context: &NativeCallContext, path: &str, tracking: u64) -> Raised<Dynamic> {
    let fail = |e| throw(context, e);
    let scope = scope(context)?;
    let run = &scope.run;
    let base = Base::of(context.call_source().unwrap_or_default());
    let found = run.control.sources.find(&base, Path::new(path)).map_err(fail)?;
    let name = shown(&found.name());
    run.has_played();
    // What runs once a host is neither noted nor skipped: one host's good end says nothing of the others'.
    let whole = scope.host.is_none();
    if whole
        && run.settings.resume
        && let Some(done) = run::still_holds(run, &found, &name).map_err(fail)?
    {
        // What the skipped one would read is read by whoever plays it.
        run.control.sources.inputs.note_all(&done.inputs.read);
        run.selection.pass_over();
        run.events.tell(EventKind::PlaySkipped { playbook: name, completed: done.at });
        return Ok(Dynamic::UNIT);
    }
    run.events.tell(EventKind::PlayStarted { playbook: name.clone() });
    let begun = Instant::now();
    let value = super::playbook::evaluate(context.engine(), &tag(context)?, &found);
    run.events.named(&name, scope.host.as_deref(), begun);
    let value = value.map_err(|error| raise(error, context.call_position()))?;
    if whole {
        let read = run.control.sources.inputs.end(tracking);
        run::completed(run, &found, read).map_err(fail)?;
    }
    Ok(value)
}
