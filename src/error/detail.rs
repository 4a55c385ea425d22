//! What the code itself needs to know of a fault beyond its class. Nothing decides by the text of a message.

use serde::{Deserialize, Serialize};

use super::Error;
#[cfg(feature = "control")]
use super::Kind;

/// A closed list; most faults need none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The program could not be started, so it has done nothing.
    NotStarted,
    /// A parameter that must be given is not there.
    #[cfg(feature = "control")]
    MissingField(String),
    /// A parameter that does not exist was given.
    #[cfg(feature = "control")]
    UnknownField {
        /// What was given.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A parameter is none of the words that it may be.
    #[cfg(feature = "control")]
    UnknownWord {
        /// The parameter.
        field: String,
        /// What it is.
        word: String,
        /// What it may be.
        known: Vec<String>,
    },
    /// A parameter is wrong in another way.
    #[cfg(feature = "control")]
    Field(String),
    /// A map of the script's has no such property.
    #[cfg(feature = "control")]
    NoProperty(String),
}

#[cfg(feature = "control")]
impl Detail {
    /// What serde found wrong with a structure, at a path in it; it tells only in words, and they are read here alone.
    pub fn of_serde(path: &str, said: &str) -> Option<Self> {
        let names = |begin: &str| {
            let mut names = said.strip_prefix(begin)?.split('`').step_by(2).map(str::to_owned);
            Some((names.next()?, names.filter(|name| !name.is_empty()).collect()))
        };
        let field = path.split(['.', '[']).next().unwrap_or_default().to_owned();
        if let Some((name, _)) = names("missing field `") {
            Some(Self::MissingField(name))
        } else if let Some((name, known)) = names("unknown field `") {
            Some(Self::UnknownField { name, known })
        } else if let Some((word, known)) = names("unknown variant `") {
            Some(Self::UnknownWord { field, word, known })
        } else {
            (!field.is_empty()).then_some(Self::Field(field))
        }
    }

    /// The parameter that a fault is about, if it is about one that was given.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownField { name: field, .. } | Self::UnknownWord { field, .. } | Self::Field(field) => {
                Some(field)
            }
            Self::MissingField(_) | Self::NoProperty(_) | Self::NotStarted => None,
        }
    }

    /// What was written and does not exist, and what does.
    pub fn unknown(&self) -> Option<(&str, &[String])> {
        match self {
            Self::UnknownField { name, known } | Self::UnknownWord { word: name, known, .. } => Some((name, known)),
            _ => None,
        }
    }
}

impl Error {
    /// A wrong parameter, which the message begins with: `` `mode` must be… ``.
    pub fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::playbook(format!("`{name}` {what}")).about(name)
    }

    /// Says which parameter it is about. Only this side shows its place.
    #[must_use]
    pub fn about(self, parameter: &str) -> Self {
        #[cfg(feature = "control")]
        return self.detailed(Detail::Field(parameter.to_owned()));
        #[cfg(not(feature = "control"))]
        {
            let _ = parameter;
            self
        }
    }

    /// What serde found wrong with the options that `of` was given.
    #[cfg(feature = "control")]
    pub(crate) fn options(of: &str, e: &serde_json::Error) -> Self {
        let said = e.to_string();
        let error = Self::playbook(format!("{of}: {said}"));
        Detail::of_serde("", &said).into_iter().fold(error, Self::detailed)
    }
}

#[cfg(feature = "control")]
impl Error {
    /// The fault as a host may tell it. A host knows what went wrong there, and nothing of playbooks, of other hosts or of
    /// this machine: it cannot end the run for the others, names no place in a file of this side, and of what the code
    /// decides by it says only what its own programs did. Whether an answer cannot be known yet it says only in a check,
    /// and that it was stopped only when it was.
    #[must_use]
    pub fn told_by_host(mut self, checking: bool, stopped: bool) -> Self {
        (self.0.place, self.0.host, self.0.step) = (None, None, None);
        self.0.frames.clear();
        self.0.detail = self.0.detail.filter(|detail| matches!(detail, Detail::NotStarted));
        self.0.kind = match self.0.kind {
            Kind::Unknown if checking => Kind::Unknown,
            Kind::Interrupted if stopped => Kind::Interrupted,
            Kind::Internal => Kind::Internal,
            _ => Kind::Step,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it can be read is of interest")]
    struct Wish {
        one: Word,
        two: Option<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
        No,
    }

    /// Held against what serde really says, so that another version of it is noticed.
    #[test]
    fn what_serde_says_in_words_is_read() {
        let found = |text: &str| {
            let mut reader = serde_json::Deserializer::from_str(text);
            let e = serde_path_to_error::deserialize::<_, Wish>(&mut reader).unwrap_err();
            let said = serde_json::from_str::<serde_json::Value>(text).and_then(serde_json::from_value::<Wish>);
            Detail::of_serde(&e.path().to_string(), &said.unwrap_err().to_string())
        };
        let known = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        assert_eq!(found("{}"), Some(Detail::MissingField("one".to_owned())));
        let unknown = Detail::UnknownField { name: "tow".to_owned(), known: known(["one", "two"]) };
        assert_eq!(found(r#"{ "tow": 1 }"#), Some(unknown));
        let (field, word) = ("one".to_owned(), "noo".to_owned());
        let unknown = Detail::UnknownWord { field, word, known: known(["yes", "no"]) };
        assert_eq!(found(r#"{ "one": "noo" }"#), Some(unknown));
        assert_eq!(found(r#"{ "one": "no", "two": "unknown field `x`" }"#), Some(Detail::Field("two".to_owned())));
        assert_eq!(found("[]").map(|detail| detail.field().map(str::to_owned)), None);
    }

    #[test]
    fn a_host_tells_nothing_that_this_side_decides_by_but_what_its_programs_did() {
        let told = |detail| Error::step("x").detailed(detail).told_by_host(false, false).detail().cloned();
        assert_eq!(told(Detail::NotStarted), Some(Detail::NotStarted));
        assert_eq!(told(Detail::NoProperty("x".to_owned())), None);
        assert_eq!(told(Detail::Field("x".to_owned())), None);
    }
}
