//! Variables from the command line: `-e key=value` and `-e @file.yml`.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::trust::Guard;

use super::vars::{Variable, variables};
use super::{load, yaml};

/// How the origin of such a variable is called.
pub(crate) const LABEL: &str = "command line";

/// Reads the argument of one `-e`: `key=value`, or `@file.yml` for a map of them.
///
/// A value is what it would be in a YAML file: `3` is a number, `true` a boolean, `null` nothing,
/// `[a, b]` and `{a: 1}` a list and a map, `"3"` text. Everything else is text exactly as it stands, and so is a
/// number that would be written in another way than it was: `1.10` is a version, `0644` a mode.
///
/// # Errors
/// When there is no key, the file cannot be read or may not be obeyed, or a list, map or quoted text does not parse.
pub(crate) fn parse_extra(arg: &str, guard: &Guard) -> Result<Vec<Variable>> {
    if let Some(file) = arg.strip_prefix('@') {
        return load::read_yaml(Path::new(file), guard)
            .and_then(|node| variables(node, "a file of variables", LABEL))
            .map_err(|e| e.as_kind(Kind::Usage));
    }
    let Some((key, text)) = arg.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(Error::usage(format!("`{arg}` is not `key=value`"))
            .hint("`-e key=value` sets one variable, `-e @file.yml` those in a file"));
    };
    let key = key.trim();
    let value = value(text).map_err(|e| {
        // A place inside an argument helps nobody; the argument is short enough to be seen whole.
        let cause = e.causes().first().map_or(e.message(), String::as_str);
        Error::usage(format!("the value of `{key}` is not valid: `{text}`"))
            .because(cause)
            .hint("text that begins with a quote, `[` or `{` must be quoted: `key='\"[text]\"'`")
    })?;
    Ok(vec![Variable::new(key, value, LABEL)])
}

/// The value that `text` stands for.
fn value(text: &str) -> Result<Value> {
    if text.starts_with(['[', '{', '"', '\'']) {
        return Ok(yaml::parse("-e", text)?.to_value());
    }
    // Only what can be a number, a boolean or nothing is given to YAML: it would see a comment, an alias
    // or a map in other texts, and on a command line none is meant.
    let is_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    let parsed = if is_word { yaml::parse("-e", text).ok() } else { None };
    Ok(match (parsed.map(|node| node.to_value()), text) {
        (Some(value @ Value::Bool(_)), _) => value,
        (Some(Value::Number(number)), text) if number.to_string() == text => Value::Number(number),
        (_, "~" | "null") => Value::Null,
        _ => Value::String(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(arg: &str) -> Value {
        let all = parse_extra(arg, &Guard::default()).unwrap();
        assert_eq!((all.len(), all[0].key.as_str(), all[0].origin.label.as_str()), (1, "k", "command line"));
        all[0].value.clone()
    }

    #[test]
    fn a_value_is_what_it_looks_like_and_else_text() {
        for (text, value) in [
            ("3", json!(3)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("~", json!(null)),
            ("[1, x]", json!([1, "x"])),
            ("{a: {b: 2}}", json!({"a": {"b": 2}})),
            ("\"3\"", json!("3")),
            ("'a''b'", json!("a'b")),
            ("", json!("")),
            ("yes", json!("yes")),
            ("a: b", json!("a: b")),
            ("- x", json!("- x")),
            ("---", json!("---")),
            ("3 # x", json!("3 # x")),
            ("*x", json!("*x")),
            ("a=b", json!("a=b")),
            ("|", json!("|")),
            ("1.2.3", json!("1.2.3")),
            ("@x", json!("@x")),
            (".nan", json!(".nan")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            (" 3", json!(" 3")),
            ("1.10", json!("1.10")),
            ("1.1", json!(1.1)),
            ("1.0", json!(1.0)),
            ("0644", json!("0644")),
            ("0o644", json!("0o644")),
            ("0x10", json!("0x10")),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+7", json!("+7")),
            ("1e3", json!("1e3")),
            ("1_000", json!("1_000")),
            ("12345678901234567890123", json!("12345678901234567890123")),
        ] {
            assert_eq!(one(&format!("k={text}")), value, "{text}");
        }
    }

    #[test]
    fn an_argument_without_a_key_is_refused() {
        for arg in ["k", "=v", ""] {
            let e = parse_extra(arg, &Guard::default()).unwrap_err();
            assert_eq!((e.kind(), e.message()), (Kind::Usage, format!("`{arg}` is not `key=value`").as_str()));
        }
    }

    #[test]
    fn a_list_that_does_not_end_is_refused() {
        let e = parse_extra("k=[1, 2", &Guard::default()).unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::Usage, "the value of `k` is not valid: `[1, 2`"));
        assert!(
            parse_extra("k={{ x }}", &Guard::default()).is_err() && parse_extra("k='a' b", &Guard::default()).is_err()
        );
    }

    #[test]
    fn a_file_gives_all_its_variables_with_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.yml");
        std::fs::write(&file, "a: 1\nb: [2]\n").unwrap();
        let all = parse_extra(&format!("@{}", file.display()), &Guard::default()).unwrap();
        assert_eq!((all[1].key.as_str(), &all[1].value), ("b", &json!([2])));
        assert_eq!(all[1].origin.place.as_ref().unwrap().to_string(), format!("{}:2:1", file.display()));

        std::fs::write(&file, "- a\n").unwrap();
        let e = parse_extra(&format!("@{}", file.display()), &Guard::default()).unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::Usage, "a file of variables must be a map, not a list"));
        let e = parse_extra("@/nowhere/x.yml", &Guard::default()).unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::Usage, "cannot read `/nowhere/x.yml`"));
    }

    proptest::proptest! {
        #[test]
        fn no_argument_panics_and_a_plain_text_stays_itself(text in "\\PC{0,40}", word in "[a-z][a-z ,#:]{0,20}x") {
            let _ = parse_extra(&text, &Guard::default());
            proptest::prop_assert_eq!(one(&format!("k={word}")), json!(word));
        }
    }
}
