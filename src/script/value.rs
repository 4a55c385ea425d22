//! Values between the language and the rest of mk.

use rhai::{Array, Dynamic, Map};
use serde_json::Value;

use super::secret::{Secret, text};
use crate::error::{Error, Result};
use crate::run::{Held, Host};

/// A script's value as data.
///
/// # Errors
/// For a value that is no data, such as a closure; names where it stands.
pub(super) fn to_json(value: &Dynamic) -> Result<Value> {
    convert(value, "")
}

fn convert(value: &Dynamic, path: &str) -> Result<Value> {
    let value = value.flatten_clone();
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(Value::from(flag));
    }
    if let Ok(number) = value.as_int() {
        return Ok(Value::from(number));
    }
    if let Ok(number) = value.as_float() {
        return Ok(Value::from(number));
    }
    if let Ok(letter) = value.as_char() {
        return Ok(Value::from(letter.to_string()));
    }
    if let Some(text) = text(&value) {
        return Ok(Value::from(text));
    }
    if let Some(outcome) = value.read_lock::<Held>() {
        return outcome.look()?.stand_in();
    }
    if let Some(host) = value.read_lock::<Host>() {
        return Ok(host.to_json());
    }
    if value.is_map() {
        let entries = value.cast::<Map>();
        let fields = entries.iter().map(|(key, item)| Ok((key.to_string(), convert(item, &format!("{path}.{key}"))?)));
        return fields.collect::<Result<serde_json::Map<_, _>>>().map(Value::Object);
    }
    if value.is_array() {
        let items = value.cast::<Array>();
        let items = items.iter().enumerate().map(|(index, item)| convert(item, &format!("{path}[{index}]")));
        return items.collect::<Result<Vec<_>>>().map(Value::Array);
    }
    if value.is_blob() {
        let bytes = value.cast::<rhai::Blob>();
        return String::from_utf8(bytes)
            .map(Value::from)
            .map_err(|_| Error::playbook("a blob that is not text cannot be a parameter"));
    }
    let what = if value.is_fnptr() { "a closure" } else { value.type_name() };
    let place = path.trim_start_matches('.');
    Err(Error::playbook(if place.is_empty() {
        format!("{what} is no data")
    } else {
        format!("`{place}` is {what}, which is no data")
    }))
}

/// Data as a script's value. Text stays text: nothing in it is ever read as script.
pub(super) fn from_json(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Dynamic::from(number.as_f64().unwrap_or_default()), Dynamic::from)
        }
        // A text that came from a host has no tokens any more: this one was made with a secret.
        Value::String(text) => Secret::or_text(text.clone()),
        Value::Array(items) => items.iter().map(from_json).collect::<Array>().into(),
        Value::Object(fields) => from_map(fields).into(),
    }
}

/// The same for a map.
pub(super) fn from_map(fields: &serde_json::Map<String, Value>) -> Map {
    fields.iter().map(|(key, item)| (key.into(), from_json(item))).collect()
}
