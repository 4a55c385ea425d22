//! What else is a secret, though no script asked for it: a password in an address, a variable of mk's own environment.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The variables whose values are secrets. mk cannot take them out of its own environment while threads run; the
/// programs that it starts do not get them. They are those of the process, and so is this list.
static HIDDEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Keeps a variable of the environment from the programs that mk starts on this machine.
pub(crate) fn hide_variable(name: &str) {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
}

/// The variables that the programs started on this machine must not get.
pub(crate) fn hidden_variables() -> Vec<String> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// The passwords of the addresses in a value: `https://user:password@host`, as it is written and as it is meant.
pub(super) fn passwords_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().flat_map(passwords_in).collect(),
        Value::Object(fields) => fields.values().flat_map(passwords_in).collect(),
        _ => Vec::new(),
    }
}

/// A text without the passwords in its addresses, however short they are. It is as long as it was: a line of a
/// playbook may have its words underlined.
pub(crate) fn without_passwords(text: &str) -> String {
    // From the last on: stars may be shorter than what they stand for.
    written(text).into_iter().rev().fold(text.to_owned(), |text, range| {
        let stars = "*".repeat(text[range.clone()].chars().count());
        format!("{}{stars}{}", &text[..range.start], &text[range.end..])
    })
}

/// Where passwords are in the addresses of a text.
fn written(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(rest.len());
        let login = rest[..end].rsplit_once('@').map(|(login, _)| login);
        if let Some((user, password)) = login.and_then(|login| login.split_once(':'))
            && !password.is_empty()
        {
            let begin = at + 3 + user.len() + 1;
            found.push(begin..begin + password.len());
        }
    }
    found
}

fn in_text(text: &str) -> Vec<String> {
    let mut found: Vec<String> =
        written(text).into_iter().flat_map(|range| [text[range.clone()].to_owned(), meant(&text[range])]).collect();
    found.dedup();
    found
}

/// A text without the percent signs of an address.
fn meant(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_of_an_address_is_found() {
        let value =
            json!({ "url": "https://me:p%40ss:w0rd@host:8443/x?a=b@c", "other": ["http://host/a:b@c", "git@host:x"] });
        assert_eq!(passwords_in(&value), ["p%40ss:w0rd", "p@ss:w0rd"]);
        assert_eq!(without_passwords("get(\"a://b:c@d\") # e://f:g@h:1"), "get(\"a://b:*@d\") # e://f:*@h:1");
        assert!(passwords_in(&json!("a://b@c and d://:@e")).is_empty());
    }
}
