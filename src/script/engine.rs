//! The language as mk sets it up.

use std::sync::{Arc, LazyLock};

use rhai::{Dynamic, Engine, OptimizationLevel, ParseError, ParseErrorType};

use super::modules::Modules;
use super::registry::Registry;
use super::scope::Tag;
use super::{
    credentials, fault, globals, guarded, habits, host, mixed, on, outcome, play, results, secret, shown, suggestions,
    talk, text,
};
use crate::error::{Error, Place};

/// The language as it comes, made once: what it has is asked of it.
pub(super) static PLAIN: LazyLock<Engine> = LazyLock::new(Engine::new);

/// The stack of a thread that runs script, in bytes. Only what is used is taken from memory.
pub(super) const STACK: usize = 32 * 1024 * 1024;

/// An engine for a run, whose scripts begin in the scope of the tag.
///
/// Every setting has its reason: the optimizer can panic and bakes constants in; the interner makes threads
/// wait for each other; the limits are the same in every build, so that a playbook that works in one works in
/// all; values are never evaluated.
pub(super) fn engine(tag: &Tag) -> Engine {
    let run = &tag.scope.run;
    let mut engine = Engine::new();
    limits(&mut engine);
    engine.set_module_resolver(Modules::new(run.control.sources.clone()));
    let stop = Arc::clone(run);
    engine.on_progress(move |count| {
        (count & 0xfff == 0 && stop.fleet.is_stopped())
            .then(|| Error::new(crate::error::Kind::Interrupted, "stopped"))
            .map(Dynamic::from)
    });
    engine.set_default_tag(Dynamic::from(tag.clone()));
    fault::register(&mut engine);
    outcome::register(&mut engine);
    results::register(&mut engine);
    guarded::register(&mut engine);
    secret::register(&mut engine);
    mixed::register(&mut engine);
    shown::register(&mut engine);
    let mut registry = Registry::default();
    host::register(&mut engine, &mut registry);
    globals::register(&mut registry);
    credentials::register(&mut registry);
    play::register(&mut registry);
    on::register(&mut registry);
    talk::register(&mut engine, &mut registry);
    text::register(&mut registry);
    secret::functions(&mut registry);
    registry.into(&mut engine);
    engine
}

/// The settings that decide what a script may say.
pub(super) fn limits(engine: &mut Engine) {
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_strings_interned(0);
    engine.set_max_call_levels(64);
    engine.set_max_expr_depths(64, 64);
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(true);
    engine.disable_symbol("eval");
}

/// A parser's error as ours, about a script's text.
pub(super) fn syntax(error: &ParseError, source: &str, text: &str) -> Error {
    let place = fault::place(Some(source), error.1);
    let inner = rhai::EvalAltResult::ErrorParsing((*error.0).clone(), rhai::Position::NONE);
    let place = Place { length: 0, ..place };
    let fault = fault::from_rhai(&inner, source).at(place);
    let fault = habits::syntax(fault, &error.0, error.1, text);
    if !fault.hints().is_empty() {
        return fault;
    }
    match &*error.0 {
        ParseErrorType::VariableUndefined(name) => suggestions::near_variable(fault, name, text),
        _ => fault,
    }
}
