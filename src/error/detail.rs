//! What the code itself needs to know of a fault beyond its class. Nothing decides by the text of a message.

use serde::{Deserialize, Serialize};

#[cfg(feature = "control")]
use super::{Error, Kind};

/// A closed list; most faults need none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// A parameter that must be given is not there.
    MissingField(String),
    /// A parameter that does not exist was given.
    UnknownField(String),
    /// The program could not be started, so it has done nothing.
    NotStarted,
}

impl Detail {
    /// What serde found wrong with a structure; it tells only in words.
    #[cfg(feature = "control")]
    pub fn of_serde(message: &str) -> Option<Self> {
        let named = |begin: &str| Some(message.split_once(begin)?.1.split('`').next()?.to_owned());
        let missing = named("missing field `").map(Self::MissingField);
        missing.or_else(|| named("unknown field `").map(Self::UnknownField))
    }
}

#[cfg(feature = "control")]
impl Error {
    /// The fault as a host may tell it. A host knows what went wrong there, and nothing of playbooks, of other hosts or of
    /// this machine: it cannot end the run for the others, and names no place in a file of this side. Whether an answer
    /// cannot be known yet it says only in a check, and that it was stopped only when it was.
    #[must_use]
    pub fn told_by_host(mut self, checking: bool, stopped: bool) -> Self {
        (self.0.place, self.0.host, self.0.step) = (None, None, None);
        self.0.frames.clear();
        self.0.kind = match self.0.kind {
            Kind::Unknown if checking => Kind::Unknown,
            Kind::Interrupted if stopped => Kind::Interrupted,
            Kind::Internal => Kind::Internal,
            _ => Kind::Step,
        };
        self
    }
}
