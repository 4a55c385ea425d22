//! What scripts say to whoever watches the run.

use std::any::TypeId;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext};

use super::engine::PLAIN;
use super::fault::throw;
use super::registry::Registry;
use super::scope::scope;
use super::secret::said;
use crate::error::Error;
use crate::event::EventKind;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, registry: &mut Registry) {
    for (name, warning) in [("log", false), ("warn", true)] {
        registry.add(name, move |context: NativeCallContext, value: Dynamic| -> Raised<()> {
            say(&context, warning, said(&value))
        });
    }
    // To the language this is the logarithm to a base.
    registry.add("log", |context: NativeCallContext, _: f64, _: f64| -> Raised<()> {
        let error = Error::playbook("log: it says one value, and two were given");
        Err(throw(
            &context,
            error.hint("`log(`${a} ${b}`)` says both; the logarithm of a to the base b is `a.ln() / b.ln()`"),
        ))
    });
    // What the language itself prints, it prints in no scope. Nothing is left for it.
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
    for (name, types) in printing() {
        engine.register_raw_fn(
            name,
            types,
            move |context: NativeCallContext, args: &mut [&mut Dynamic]| -> Raised<_> {
                let text = args.first().map(|value| text_of(&context, value)).unwrap_or_default();
                let place = super::fault::place(context.call_source(), context.call_position());
                say(&context, false, if name == "debug" { format!("{place}: {text}") } else { text })?;
                Ok(ImmutableString::new())
            },
        );
    }
}

/// The language's own ways to print, and what each takes.
fn printing() -> Vec<(&'static str, Vec<TypeId>)> {
    let of = |info: rhai::FuncInfo| {
        let name = ["print", "debug"].into_iter().find(|name| *name == info.metadata.name);
        name.map(|name| (name, info.metadata.param_types.to_vec()))
    };
    PLAIN.collect_fn_metadata(None, of, true)
}

/// A value as the language prints it; for `debug`, as it stands in a script.
fn text_of(context: &NativeCallContext, value: &Dynamic) -> String {
    let way = if context.fn_name() == "debug" { "to_debug" } else { "to_string" };
    let text = context.call_native_fn::<ImmutableString>(way, (value.clone(),));
    text.map_or_else(|_| said(value), |text| text.to_string())
}

fn say(context: &NativeCallContext, warning: bool, text: String) -> Raised<()> {
    let scope = scope(context)?;
    scope.run.events.tell(EventKind::Said { host: scope.host, warning, text });
    Ok(())
}
