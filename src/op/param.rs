//! Types of parameters that several operations share.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Permission bits, written in octal as a string, `"0644"`, `"644"` or `"0o644"`, or as `"u=rw,go=r"`.
///
/// A number is refused, because `644` without quotes would be decimal and mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FileMode {
    /// Reads the usual spellings; `None` for anything else.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit()) {
            return u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777).map(Self);
        }
        let (mut bits, mut named) = (0, 0);
        for clause in text.split(',') {
            let (who, rights) = clause.split_once('=')?;
            let who = who.chars().try_fold(0, |all, one| {
                Some(
                    all | match one {
                        'u' => 0o700,
                        'g' => 0o070,
                        'o' => 0o007,
                        'a' => 0o777,
                        _ => return None,
                    },
                )
            })?;
            let rights = rights.chars().try_fold(0, |all, one| {
                Some(
                    all | match one {
                        'r' => 0o444,
                        'w' => 0o222,
                        'x' => 0o111,
                        _ => return None,
                    },
                )
            })?;
            bits = bits & !who | rights & who;
            named |= who;
        }
        // What somebody is not named in would be left as it is, and then the mode is not known.
        (named == 0o777).then_some(Self(bits))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = FileMode;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("permission bits as an octal string such as \"0644\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileMode, E> {
                FileMode::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:04o}", self.0))
    }
}

#[cfg(feature = "control")]
impl schemars::JsonSchema for FileMode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "mode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^((0o)?0*[0-7]{3,4}|[ugoa]+=[rwx]*(,[ugoa]+=[rwx]*)*)$"
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A length of time: a number of seconds, or text such as `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, `"90d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// A duration of whole seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Reads `"1h30m"` and its like; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            let unit = &rest[digits..];
            let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
            let seconds = match &unit[..letters] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
            total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
            rest = &unit[letters..];
        }
        Some(Self(total))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number of seconds, or a time such as \"500ms\", \"30s\" or \"5m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                HumanDuration::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<HumanDuration, E> {
                Ok(HumanDuration::secs(seconds))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<HumanDuration, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(seconds), &self);
                u64::try_from(seconds).map(HumanDuration::secs).map_err(wrong)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<HumanDuration, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Float(seconds), &self);
                Duration::try_from_secs_f64(seconds).map(HumanDuration).map_err(wrong)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

#[cfg(feature = "control")]
impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A command as a list of words: the program and its arguments.
///
/// One string is refused: nothing here cuts a line into words, or reads quotes and variables in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Argv(pub Vec<String>);

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Argv;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a list of words such as [\"ls\", \"-l\"]")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Argv, E> {
                let why =
                    "a list of words such as [\"ls\", \"-l\"] is needed, not one string; `host.shell` takes a string";
                Err(E::custom(why))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Argv, A::Error> {
                let mut argv = Vec::new();
                while let Some(word) = words.next_element()? {
                    argv.push(word);
                }
                if argv.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Argv(argv)) }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "control")]
impl schemars::JsonSchema for Argv {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "command".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A regular expression, looked for in one line at a time.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(regex_lite::Regex);

impl std::ops::Deref for Pattern {
    type Target = regex_lite::Regex;

    fn deref(&self) -> &regex_lite::Regex {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |e| de::Error::custom(format!("`{text}` is not a regular expression: {e}"));
        regex_lite::Regex::new(&text).map(Self).map_err(wrong)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "control")]
impl schemars::JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "regex".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "regex" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let parse = |text| HumanDuration::parse(text).map(|s| s.0);
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!((parse(""), parse("5"), parse("5 parsecs")), (None, None, None));
    }

    #[test]
    fn a_mode_must_be_an_octal_string() {
        let decode = |json| serde_json::from_str::<FileMode>(json).map_err(|e| e.to_string());
        assert_eq!(decode("\"0644\""), Ok(FileMode(0o644)));
        assert!(decode("644").unwrap_err().contains("octal string such as \"0644\""));
        for (text, bits) in [
            ("644", 0o644),
            ("0o644", 0o644),
            ("01777", 0o1777),
            ("u=rw,go=r", 0o644),
            ("u=rwx,g=rx,o=", 0o750),
            ("a=r,u=rw", 0o644),
        ] {
            assert_eq!(FileMode::parse(text), Some(FileMode(bits)), "{text}");
        }
        for text in ["0899", "44", "77777", "0o", "u=rw", "u+x", "go=r,u=rws", "u=rw,go=r,", "-644", "+644"] {
            assert_eq!(FileMode::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_of_spans_panic(text in ".{0,20}") {
            let _ = HumanDuration::parse(&text);
        }
    }
}
