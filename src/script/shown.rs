//! What a value looks like where it is shown to people: by what it holds, never by the name of its type in the code.

use std::fmt::Write as _;

use rhai::{Array, Blob, Dynamic, Engine, FnPtr, Instant, Map};

use super::results::Results;
use super::secret::text;
use super::step::Later;
use super::syntax::is_closure;
use crate::error::Error;
use crate::run::{Held, Host};

/// A value as a line of talk: a text as it is, everything else as it would be written.
pub(super) fn spoken(value: &Dynamic) -> String {
    let value = value.flatten_clone();
    match text(&value) {
        Some(text) => text,
        None if value.is_unit() => String::new(),
        None if value.is_char() => value.to_string(),
        None => match value.read_lock::<Host>() {
            Some(host) => host.name.clone(),
            None => quoted(&value),
        },
    }
}

/// A value as it stands inside of others, with its texts in quotes.
pub(super) fn quoted(value: &Dynamic) -> String {
    let value = value.flatten_clone();
    // Escaped letter by letter, the token of a secret would be one no more.
    if let Some(text) = text(&value) {
        return if crate::secret::Secrets::is_tainted(&text) { format!("\"{text}\"") } else { format!("{text:?}") };
    }
    if let Some(items) = value.read_lock::<Array>() {
        return list(&items);
    }
    if let Some(fields) = value.read_lock::<Map>() {
        return map(fields.iter().map(|(key, value)| (key.as_str(), quoted(value))));
    }
    if let Some(bytes) = value.read_lock::<Blob>() {
        return match std::str::from_utf8(&bytes) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("{} bytes", bytes.len()),
        };
    }
    if let Some(closure) = value.read_lock::<FnPtr>() {
        let name = closure.fn_name();
        return if is_closure(name) { "a closure".to_owned() } else { format!("Fn({name})") };
    }
    if let Some(instant) = value.read_lock::<Instant>() {
        return format!("{:.3} s ago", instant.elapsed().as_secs_f64());
    }
    if let Ok(letter) = value.as_char() {
        return format!("{letter:?}");
    }
    of_mk(&value).unwrap_or_else(|| if value.is_unit() { "()".to_owned() } else { value.to_string() })
}

/// A value of mk's own.
fn of_mk(value: &Dynamic) -> Option<String> {
    if let Some(host) = value.read_lock::<Host>() {
        let user = host.user.as_ref().map(|user| format!(".as_user({user:?})")).unwrap_or_default();
        return Some(format!("host({:?}){user}", host.name));
    }
    if let Some(held) = value.read_lock::<Held>() {
        return Some(held.look().map_or_else(|error| error.to_string(), outcome));
    }
    if let Some(error) = value.read_lock::<Error>() {
        return Some(error.to_string());
    }
    if let Some(later) = value.read_lock::<Later>() {
        return Some(format!(
            "later({:?}, {})",
            later.op,
            map(later.args.iter().map(|(key, v)| (key.as_str(), quoted(v))))
        ));
    }
    let results = value.read_lock::<Results>()?;
    let values = results.values.iter().map(|(host, value)| (host.as_str(), quoted(value)));
    let errors = results.errors.iter().map(|(host, error)| (host.as_str(), error.to_string()));
    Some(map([("values", map(values)), ("errors", map(errors))].into_iter()))
}

/// An outcome: what became of the step, and what it gave.
fn outcome(of: &crate::run::Outcome) -> String {
    let status = serde_json::to_value(of.of.status).unwrap_or_default();
    let mut shown = format!("{}: {}", of.op, status.as_str().unwrap_or_default().replace('_', " "));
    if let Some(reason) = &of.of.reason {
        let _ = write!(shown, " ({reason})");
    }
    if !of.of.values.is_empty() {
        let value = |value| quoted(&super::value::from_json(value));
        let _ = write!(shown, " {}", map(of.of.values.iter().map(|(key, one)| (key.as_str(), value(one)))));
    }
    shown
}

fn list(items: &Array) -> String {
    format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

fn map<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    format!("#{{{}}}", fields.map(|(key, value)| format!("{key:?}: {value}")).collect::<Vec<_>>().join(", "))
}

/// Makes the language show them so, too: in `${…}`, in what is added to a text, in lists and maps.
pub(super) fn register(engine: &mut Engine) {
    macro_rules! shown {
        ($($of:ty),*) => {
            $(
                engine.register_fn("to_string", |value: &mut $of| spoken(&Dynamic::from(value.clone())));
                engine.register_fn("to_debug", |value: &mut $of| quoted(&Dynamic::from(value.clone())));
            )*
        };
    }
    shown!(Host, Error, Later, Results, Instant, Array, Map, FnPtr);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rhai::Scope;

    use super::*;
    use crate::change::Status;
    use crate::error::Place;
    use crate::run::Outcome;
    use crate::script::engine::engine;
    use crate::script::scope::Tag;
    use crate::script::tests::ready;

    /// Every type that a script can hold, each alone, in a text, in a list and in a map.
    #[test]
    fn whatever_a_script_holds_is_shown_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let run = ready(folder.path(), &runtime);
        let mut of = crate::change::Outcome::new(Status::Changed);
        of.values.insert("stdout".to_owned(), "a\nb".into());
        let outcome = Held::known(Outcome::plain(of, "run", Place::default()));
        let mut results = Results::new(&run, vec!["a".to_owned(), "b".to_owned()]);
        results.values.insert("a".to_owned(), 1_i64.into());
        results.errors.insert("b".to_owned(), Error::step("it broke"));
        let mut scope = Scope::new();
        scope.push("h", Host::new(&Arc::clone(&run), "web-1")).push("o", outcome).push("e", Error::step("it broke"));
        scope.push("r", results).push("t", Instant::now());
        let engine = engine(&Tag::outermost(&run));
        for (value, alone, inside) in [
            ("h", "web-1", "host(\"web-1\")"),
            ("h.as_user(\"etcd\")", "web-1", "host(\"web-1\").as_user(\"etcd\")"),
            ("o", "run: changed #{\"stdout\": \"a\\nb\"}", "run: changed #{\"stdout\": \"a\\nb\"}"),
            ("e", "it broke", "it broke"),
            (
                "r",
                "#{\"values\": #{\"a\": 1}, \"errors\": #{\"b\": it broke}}",
                "#{\"values\": #{\"a\": 1}, \"errors\": #{\"b\": it broke}}",
            ),
            ("later(\"run\", [\"x\"])", "later(\"run\", #{\"argv\": [\"x\"]})", "later(\"run\", #{\"argv\": [\"x\"]})"),
            ("|x| x", "a closure", "a closure"),
            ("Fn(\"f\")", "Fn(f)", "Fn(f)"),
            ("2.5", "2.5", "2.5"),
            ("1..5", "1..5", "1..5"),
            ("\"it's\"", "it's", "\"it's\""),
            ("#{ \"a b\": (), c: true }", "#{\"a b\": (), \"c\": true}", "#{\"a b\": (), \"c\": true}"),
            ("[]", "[]", "[]"),
        ] {
            for (script, wanted) in [
                (format!("`${{{value}}}`"), alone.to_owned()),
                (format!("let v = {value}; v.to_string()"), alone.to_owned()),
                (format!("`${{[{value}]}}`"), format!("[{inside}]")),
                (format!("`${{#{{ a: {value} }}}}`"), format!("#{{\"a\": {inside}}}")),
            ] {
                let shown = engine.eval_with_scope::<String>(&mut scope.clone(), &script).unwrap();
                assert_eq!(shown, wanted, "{script}");
            }
            let held = engine.eval_with_scope::<Dynamic>(&mut scope.clone(), value).unwrap();
            assert_eq!(spoken(&held), alone, "{value}");
        }
        let ago = engine.eval_with_scope::<String>(&mut scope, "`${t}`").unwrap();
        assert!(ago.ends_with(" s ago"), "{ago}");
    }
}
