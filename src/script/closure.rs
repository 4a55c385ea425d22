//! Closures that run for several hosts at once: each host gets a private copy of what they captured.

use std::fmt::Write as _;

use rhai::{Array, Dynamic, FnPtr, Map, NativeCallContext};

use crate::error::Error;

/// A copy that shares nothing with the original, however deep.
///
/// Captured variables are shared cells; even reading one from two threads at a time fails in Rhai, depending
/// on timing. So nothing shared may reach a second thread.
pub(super) fn detach(value: &Dynamic) -> Dynamic {
    let value = value.flatten_clone();
    if value.is_fnptr() {
        let mut closure = value.cast::<FnPtr>();
        let captured: Vec<Dynamic> = closure.curry().iter().map(detach).collect();
        closure.set_curry(captured);
        return closure.into();
    }
    if value.is_array() {
        return value.cast::<Array>().iter().map(detach).collect::<Array>().into();
    }
    if value.is_map() {
        return value.cast::<Map>().iter().map(|(key, item)| (key.clone(), detach(item))).collect::<Map>().into();
    }
    value
}

/// A closure with a private copy of what it captured. What it writes to stays in the copy, so the captured
/// values are put in shared cells again, as the language expects of captures.
pub(super) fn private(closure: &FnPtr) -> FnPtr {
    let mut own = closure.clone();
    let captured: Vec<Dynamic> = closure.curry().iter().map(|value| share(detach(value))).collect();
    own.set_curry(captured);
    own
}

fn share(value: Dynamic) -> Dynamic {
    value.into_shared()
}

/// What a closure captured, as text to compare: a write to a captured variable changes it.
pub(super) fn fingerprint(closure: &FnPtr) -> Vec<String> {
    closure
        .curry()
        .iter()
        .map(|value| {
            let mut text = String::new();
            describe(&value.flatten_clone(), &mut text);
            text
        })
        .collect()
}

fn describe(value: &Dynamic, out: &mut String) {
    let value = value.flatten_clone();
    if value.is_array() {
        out.push('[');
        for item in &value.cast::<Array>() {
            describe(item, out);
            out.push(',');
        }
        out.push(']');
    } else if value.is_map() {
        out.push('{');
        for (key, item) in &value.cast::<Map>() {
            let _ = write!(out, "{key}:");
            describe(item, out);
            out.push(',');
        }
        out.push('}');
    } else if value.is_string()
        || value.is_int()
        || value.is_float()
        || value.is_bool()
        || value.is_unit()
        || value.is_char()
    {
        let _ = write!(out, "{value:?}");
    } else {
        // Values of mk's own, and closures: only their kind, because they cannot be changed by a script.
        out.push_str(value.type_name());
    }
}

/// The error for a closure that wrote to a captured variable, when it did.
pub(super) fn wrote_outside(context: &NativeCallContext, closure: &FnPtr, before: &[String]) -> Option<Error> {
    let after = fingerprint(closure);
    let index = before.iter().zip(&after).position(|(before, after)| before != after)?;
    let name = captured_name(context, closure, index).unwrap_or_else(|| "a variable".to_owned());
    Some(wrote_to(&name))
}

/// The error for a closure that writes to what is outside of it.
pub(super) fn wrote_to(name: &str) -> Error {
    Error::playbook(format!("the closure writes to {name}, which is outside of it"))
        .because("every host has its own copy, so what is written to it is lost")
        .hint("return the value from the closure: `on` gives what each host returned, by its name")
}

/// The name of a captured variable: the first parameters of the anonymous function are its captures.
fn captured_name(context: &NativeCallContext, closure: &FnPtr, index: usize) -> Option<String> {
    let parameters = closure.curry().len() + 1;
    let definition =
        context.iter_namespaces().find_map(|module| module.get_script_fn(closure.fn_name(), parameters))?;
    definition.params.get(index).map(|name| format!("`{name}`"))
}
