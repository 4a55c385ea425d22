//! YAML as a tree whose every node knows its place. Knows nothing of hosts or groups.
//!
//! The tree is decoded by hand above this file, not by derived code: that is what makes every complaint
//! name the exact place, and offer the nearest name.

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use crate::error::{Error, Place, Result};

/// The largest file read, in bytes.
pub(super) const LARGEST_FILE: usize = 32 * 1024 * 1024;

/// How deep a document may nest; deep enough for any data, shallow enough for any stack.
const DEEPEST: usize = 64;

/// Where a node stands, compactly: a large inventory has very many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    file: Arc<str>,
    line: u32,
    column: u32,
    length: u32,
}

impl At {
    /// The place as errors carry it.
    pub(super) fn place(&self) -> Place {
        Place::new(&*self.file, self.line as usize, self.column as usize).spanning(self.length as usize)
    }

    /// A fault of the inventory at this place.
    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        Error::inventory(message).at(self.place())
    }
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Yaml,
    pub(super) at: At,
}

/// A text together with its place: a key, or a scalar known to be text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) at: At,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

impl Yaml {
    /// What it is called in an error.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// The node as data, without its places.
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Yaml::Null => Value::Null,
            Yaml::Bool(flag) => Value::Bool(*flag),
            Yaml::Number(number) => Value::Number(number.clone()),
            Yaml::Text(text) => Value::String(text.clone()),
            Yaml::List(items) => items.iter().map(Self::to_value).collect(),
            Yaml::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.text.clone(), value.to_value())).collect())
            }
        }
    }

    /// Whether a text below it, keys aside, has braces that could be filled in.
    pub(super) fn has_braces(&self) -> bool {
        match &self.kind {
            Yaml::Text(text) => text.contains('{'),
            Yaml::List(items) => items.iter().any(Self::has_braces),
            Yaml::Map(entries) => entries.iter().any(|(_, value)| value.has_braces()),
            _ => false,
        }
    }

    /// The node with every text below it, keys aside, passed through `f`.
    pub(super) fn map_text(&self, f: &impl Fn(&str) -> String) -> Self {
        let kind = match &self.kind {
            Yaml::Text(text) => Yaml::Text(f(text)),
            Yaml::List(items) => Yaml::List(items.iter().map(|item| item.map_text(f)).collect()),
            Yaml::Map(entries) => {
                Yaml::Map(entries.iter().map(|(key, value)| (key.clone(), value.map_text(f))).collect())
            }
            other => other.clone(),
        };
        Self { kind, at: self.at.clone() }
    }
}

/// Parses the bytes of a file that the user calls `file`.
pub(super) fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Node> {
    if bytes.len() > LARGEST_FILE {
        return Err(
            Error::inventory(format!("the file is larger than {} MiB", LARGEST_FILE >> 20)).at(Place::new(file, 0, 0))
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(e) => {
            let before = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
            Err(Error::inventory("the file is not UTF-8").at(Place::after(file, &before)))
        }
    }
}

/// Parses one document. An empty one is nothing.
pub(super) fn parse(file: &str, text: &str) -> Result<Node> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_events: 5_000_000,
            max_nodes: 2_000_000,
        },
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source { file: file.into(), text };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(source.node(raw)),
        Err(e) => Err(source.fault(&e)),
    }
}

/// The text being parsed, for what the parser does not say itself.
struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn at(&self, location: Location, scalar: bool) -> At {
        let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
        // The span of a collection may cover many lines; there the renderer picks the word.
        let one_line = scalar && self.raw(location).is_some_and(|raw| !raw.contains('\n'));
        At {
            file: self.file.clone(),
            line: narrow(location.line()),
            column: narrow(location.column()),
            length: if one_line { narrow(location.span().len()) } else { 0 },
        }
    }

    /// The characters that stand at `location`.
    fn raw(&self, location: Location) -> Option<&str> {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let length = usize::try_from(location.span().byte_len()?).ok()?;
        self.text.get(start..start.checked_add(length)?)
    }

    fn node(&self, raw: Spanned<Raw>) -> Node {
        // For an alias the definition is where the value stands, and where it must be corrected.
        let location = raw.defined;
        let scalar = !matches!(raw.value, Raw::List(_) | Raw::Map(_));
        let kind = match raw.value {
            Raw::Null => Yaml::Null,
            Raw::Bool(flag) => Yaml::Bool(flag),
            Raw::Text(text) => Yaml::Text(text),
            Raw::Int(_) | Raw::Float(_) if self.raw(location).is_some_and(is_octal) => {
                Yaml::Text(self.raw(location).unwrap_or_default().to_owned())
            }
            Raw::Int(number) => Yaml::Number(number),
            Raw::Float(number) => Number::from_f64(number).map_or(Yaml::Null, Yaml::Number),
            Raw::List(items) => Yaml::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Yaml::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Text { at: self.at(key.defined, true), text: key.value }, self.node(value)))
                    .collect(),
            ),
        };
        Node { kind, at: self.at(location, scalar) }
    }

    fn fault(&self, error: &serde_saphyr::Error) -> Error {
        use serde_saphyr::Error as E;
        let error = error.without_snippet();
        let fault = match error {
            E::DuplicateMappingKey { key: Some(key), .. } => Error::inventory(format!("`{key}` is given twice")),
            E::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
                Error::inventory(format!("the YAML nests more than {DEEPEST} levels deep"))
            }
            E::Budget { .. } => Error::inventory("the YAML is larger than mk reads"),
            E::NonFiniteFloat { value, .. } => Error::inventory(format!("`{value}` is not a number JSON can hold")),
            E::MultipleDocuments { .. } => Error::inventory("there is more than one YAML document"),
            E::UnknownAnchor { .. } => {
                Error::inventory("this alias names nothing").hint("text that begins with `*` must be quoted")
            }
            // Only keys are asked to be of one kind.
            E::Unexpected { .. } => {
                Error::inventory("a key must be text").hint("text that begins with `{` or `[` must be quoted")
            }
            other => {
                let cause = UserMessageFormatter.format_message(other).replace(char::is_control, " ");
                Error::inventory("the YAML cannot be read").because(cause)
            }
        };
        match error.location().filter(|location| *location != Location::UNKNOWN) {
            Some(location) => fault.at(self.at(location, matches!(error, E::DuplicateMappingKey { .. })).place()),
            None => fault.at(Place::new(&*self.file, 0, 0)),
        }
    }
}

/// Whether digits are written as those of a mode. Readers of YAML disagree on `0644`, which is 420 or 644 to them, and
/// the parser makes 8.0 of `08`; to people it is neither.
fn is_octal(raw: &str) -> bool {
    let digits = raw.strip_prefix("0o").or_else(|| raw.strip_prefix('0')).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What the parser yields, before places are made of its spans.
enum Raw {
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        parse("t.yml", text).unwrap().to_value()
    }

    fn complaint(text: &str) -> String {
        let e = parse("t.yml", text).unwrap_err();
        format!("{e} @ {}", e.place().unwrap())
    }

    #[test]
    fn scalars_are_what_they_look_like() {
        assert_eq!(
            value(
                "{a: 1, b: -2, c: 1.5, d: yes, e: true, f: ~, g: '1', h: 0644, i: 08, l: 0o755, m: 0, n: 0.5, j: 12:30, k: 1.2.3, 7: seven}"
            ),
            json!({"a": 1, "b": -2, "c": 1.5, "d": "yes", "e": true, "f": null, "g": "1", "h": "0644", "i": "08", "l": "0o755", "m": 0, "n": 0.5,
                   "j": "12:30", "k": "1.2.3", "7": "seven"})
        );
    }

    #[test]
    fn every_node_knows_its_place_in_characters() {
        let node = parse("t.yml", "# ä\nhosts:\n  \"ä-1\": { über: 'x y' }\n").unwrap();
        let Yaml::Map(top) = node.kind else { panic!() };
        let Yaml::Map(hosts) = &top[0].1.kind else { panic!() };
        let (key, host) = &hosts[0];
        assert_eq!(key.at.place(), Place::new("t.yml", 3, 3).spanning(5));
        let Yaml::Map(fields) = &host.kind else { panic!() };
        assert_eq!(fields[0].0.at.place(), Place::new("t.yml", 3, 12).spanning(4));
        assert_eq!(fields[0].1.at.place(), Place::new("t.yml", 3, 18).spanning(5));
    }

    #[test]
    fn an_alias_stands_where_it_is_defined_and_merge_keys_merge() {
        let text = "a: &x { p: 1 }\nb: *x\nc: { <<: *x, q: 2 }\n";
        assert_eq!(value(text), json!({"a": {"p": 1}, "b": {"p": 1}, "c": {"q": 2, "p": 1}}));
        let Yaml::Map(top) = parse("t.yml", text).unwrap().kind else { panic!() };
        assert_eq!(top[1].1.at.place(), Place::new("t.yml", 1, 7));
    }

    #[test]
    fn an_empty_document_is_nothing() {
        assert_eq!((value(""), value("# x\n"), value("\u{feff}a: 1")), (json!(null), json!(null), json!({"a": 1})));
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_place() {
        assert_eq!(complaint("a: 1\nb: 2\na: 3\n"), "`a` is given twice @ t.yml:3:1");
        assert_eq!(complaint("a: 1\n---\nb: 1\n"), "there is more than one YAML document @ t.yml:3:1");
        assert_eq!(complaint("a: .nan\n"), "`.nan` is not a number JSON can hold @ t.yml:1:4");
        assert_eq!(complaint("a: 'x"), "the YAML cannot be read: unclosed quote @ t.yml:1:4");
        assert_eq!(
            complaint("a: [1, 2\nb: 3\n"),
            "the YAML cannot be read: illegal placement of ':' indicator @ t.yml:2:2"
        );
        assert_eq!(complaint("a: *x\n"), "this alias names nothing @ t.yml:1:4");
        assert_eq!(complaint("a: {{ b }}\n"), "a key must be text @ t.yml:1:5");
        assert_eq!(complaint("[a]: 1\n"), "a key must be text @ t.yml:1:1");
        assert!(complaint("a: &x [*x]").ends_with(" @ t.yml:1:8"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_place() {
        let e = parse_bytes("t.yml", b"a: 1\nb: \xc3\xa4\xff\n").unwrap_err();
        assert_eq!((e.message(), e.place().unwrap().to_string()), ("the file is not UTF-8", "t.yml:2:5".to_owned()));
    }

    #[test]
    fn deep_and_huge_documents_are_refused() {
        for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            assert!(parse("t.yml", &deep).is_err());
        }
        let blocks: Vec<String> = (0..80).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert_eq!(complaint(&blocks.concat()), "the YAML nests more than 64 levels deep @ t.yml:65:65");
        let e = parse_bytes("t.yml", &vec![b'a'; LARGEST_FILE + 1]).unwrap_err();
        assert_eq!(e.to_string(), "the file is larger than 32 MiB");
        let bomb = format!("a: &a [x, x, x]\n{}", (0..20).map(bomb_line).collect::<String>());
        assert!(parse("t.yml", &bomb).is_err());
    }

    fn bomb_line(n: u8) -> String {
        let (this, that) = (char::from(b'b' + n), char::from(b'a' + n));
        format!("{this}: &{this} [{}]\n", vec![format!("*{that}"); 9].join(","))
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}|[-:\\[\\]{}&*!|>'\"%#\n a1]{0,60}") {
            let _ = parse("t.yml", &text);
        }
    }
}
