//! What the JSON messages say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attachment, Frame};
use crate::change::{Left, Outcome, Trace};
use crate::error::{Error, Kind, Place, Result};

/// The version of the protocol. An agent of another version is replaced, never talked to.
pub const PROTOCOL: u32 = 6;

/// The version of mk, and a digest of the sources that both sides share: with another one, an agent may lack
/// operations or parameters.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), " ", env!("MK_AGENT_BUILD"));

/// Whether a step may change its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Predict and change nothing.
    Check,
    /// Bring about the desired state.
    Apply,
}

/// One step for a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Unique in the run.
    pub id: u64,
    /// The operation's name.
    pub op: String,
    /// Its parameters, as the script wrote them.
    pub args: Value,
    /// What the control side made ready for it.
    #[serde(default, skip_serializing_if = "Attachment::is_none")]
    pub attachment: Attachment,
    /// Whether it may change anything.
    pub mode: Mode,
    /// The user to act as, when not the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The place of the call in the playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The parameters hold a secret: nothing of them may come back in a diff.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Stream what commands print as it comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Say with the end how long the step worked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// Steps that are due once this one has changed something; noted on the host first. What they are, only the
    /// control side knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Due>,
    /// The caller has the last word on whether this one changed something: they are due until it has spoken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judged: bool,
    /// The id of the notified step that this one is: struck off the host's notes when it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<String>,
}

/// A step that is due on a host, as the host knows it: enough to tell whether, and never what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// By which the control side finds it again.
    pub id: String,
    /// What it is, for people: the operation and its subject.
    pub name: String,
    /// Which control side keeps it, for people.
    #[serde(default)]
    pub by: String,
    /// The boot in which its host noted it. Empty in what the control side sends, and in notes of older agents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
}

impl Due {
    /// The id as the name of a file; `None` for what no control side gives.
    pub fn file(&self) -> Option<String> {
        let plain = (1..=64).contains(&self.id.len()) && self.id.bytes().all(|b| b.is_ascii_alphanumeric());
        plain.then(|| format!("{}.json", self.id))
    }

    /// What a host's note of that id says, whatever is in it. Those of older agents held the step itself, of which only
    /// the name is told.
    pub fn noted(id: String, note: &[u8]) -> Self {
        let note: Value = serde_json::from_slice(note).unwrap_or_default();
        let text = |field: &str| note.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = match text("name") {
            name if name.is_empty() => format!("{} {}", text("op"), text("subject")).trim().to_owned(),
            name => name,
        };
        Self { id, name, by: text("by"), boot: text("boot") }
    }
}

/// What an agent says of itself when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its protocol version.
    pub protocol: u32,
    /// Its process id.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// The machine's architecture, as `uname -m` says.
    pub arch: String,
    /// Which start of the machine it runs in; every boot has its own. Empty where the kernel does not tell.
    #[serde(default)]
    pub boot: String,
    /// The machine's own id, made when its system was installed. Empty where it has none.
    #[serde(default)]
    pub machine: String,
    /// Its version and the digest of the sources it was built from, as [`BUILD`] is this side's. Empty in agents
    /// that do not tell.
    #[serde(default)]
    pub build: String,
}

/// Which stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Its number in an output frame.
    pub fn number(self) -> u8 {
        match self {
            Self::Out => 1,
            Self::Err => 2,
        }
    }
}

/// A step that may change something, as the agent of a run wrote it down: the next agent of the same run can tell
/// what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run, by the holder of its lock.
    pub run: String,
    /// Which of the run's lists of steps on this host it belongs to.
    pub list: u64,
    /// The step; 0 before the first.
    pub id: u64,
    /// How it ended; `None` when it was begun and nobody saw its end.
    pub result: Option<std::result::Result<Outcome, Error>>,
}

/// How long an agent worked on a step. What it waited for the control side is in neither part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// Microseconds of the agent itself.
    pub own: u64,
    /// Microseconds in which it waited for programs that it had started.
    pub child: u64,
}

/// What an agent may need from the control side in the middle of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    /// The bytes whose digest the request named. Answered by blob frames.
    Blob {
        /// Hex SHA-256.
        sha256: String,
    },
    /// The bytes of several digests that the request named, one after another. Answered as one blob.
    Blobs {
        /// Hex SHA-256 of each.
        sha256: Vec<String>,
    },
    /// The operation's other half, for two-sided operations.
    Other {
        /// What the operation on the host says to its other half.
        question: Value,
    },
    /// The steps that the request notifies are due from now on, or, when nothing came of the change, not because of it.
    /// Answered by the agent of the machine, which keeps the notes; the control side never sees it.
    Due {
        /// Whether they are.
        stands: bool,
    },
    /// Bytes for the control side follow as blob frames: how `fetch` brings a file back.
    Take {
        /// Hex SHA-256 of what follows.
        sha256: String,
        /// Its length in bytes.
        size: u64,
    },
}

/// The reply to [`Ask::Other`].
pub(crate) type Answer = std::result::Result<Value, Error>;

/// What the control side sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to")]
pub enum ToAgent {
    /// What a check has planned so far, for the agent of another user on the same host.
    Plan {
        /// In JSON.
        plan: String,
    },
    /// Run these in order; stop at the first that fails.
    Do {
        /// The steps.
        steps: Vec<Request>,
    },
    /// The reply to an [`Ask`].
    Answer {
        /// The request that asked.
        id: u64,
        /// The reply.
        answer: Answer,
    },
    /// Take the host's lock for this run.
    Lock {
        /// Who takes it, shown to whoever meets it. No two runs have the same.
        holder: String,
        /// The process id of an earlier agent of this run, whose connection was lost: it is to stop and to go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<u32>,
        /// The ledger that learns what this run makes, by a name that no other has.
        ledger: String,
    },
    /// These notified steps are not due any more; answered by `Forgotten`.
    Forget {
        /// Their ids.
        due: Vec<String>,
    },
    /// Stop the running step and refuse those that wait.
    Cancel,
    /// I am still here.
    Ping,
    /// The run is over.
    Bye,
}

/// What an agent sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum FromAgent {
    /// First of all.
    Hello(Hello),
    /// A step ended.
    Done {
        /// The request.
        id: u64,
        /// How.
        result: std::result::Result<Outcome, Error>,
        /// How long that took, where the request asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worked: Option<Worked>,
        /// What it made and took away, also when it failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        made: Vec<Trace>,
        /// The ids of the steps that are due because of it, also when it failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        due: Vec<String>,
    },
    /// What a check has planned so far, from the agent of another user to the one that it works for.
    Plan {
        /// In JSON.
        plan: String,
    },
    /// A step was not run because one before it in the same list failed.
    Dropped {
        /// The request.
        id: u64,
    },
    /// A step needs something.
    Ask {
        /// The request.
        id: u64,
        /// What.
        ask: Ask,
    },
    /// The answer to `Lock`.
    Locked {
        /// `None` when taken; the holder when another run has it.
        holder: Option<String>,
        /// Steps that were notified and never ran. Read under the lock, so that they are nobody's else.
        #[serde(default)]
        pending: Vec<Due>,
        /// What an earlier agent of this run did last: the steps of one list, in their order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<Record>,
        /// What an earlier run made for the same ledger and could not tell.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<Left>,
    },
    /// The answer to `Forget`: what could not be struck off is a fault.
    Forgotten {
        /// How it went.
        result: std::result::Result<(), Error>,
    },
    /// The answer to `Ping`.
    Pong,
}

/// A message as a frame.
pub fn to_frame<M: Serialize>(message: &M) -> Frame {
    // Our own messages are maps with string keys, so serialising them cannot fail.
    Frame::Message(serde_json::to_vec(message).unwrap_or_default())
}

/// The most values that one message may hold: each takes far more room than the few bytes it is written with. What a
/// step made that fills a frame has fewer.
const MOST_VALUES: usize = 1_500_000;

/// At most how many values a text in JSON has: one more than there are signs that stand before another.
fn values(body: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b',' | b':' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

/// A message out of a frame's body.
///
/// # Errors
/// When the other end speaks something else.
pub fn from_body<M: serde::de::DeserializeOwned>(body: &[u8]) -> Result<M> {
    let values = values(body);
    if values > MOST_VALUES {
        return Err(Error::new(
            Kind::Protocol,
            format!("a message of {values} values, over the limit of {MOST_VALUES}"),
        ));
    }
    serde_json::from_slice(body).map_err(|e| Error::new(Kind::Protocol, "a message that cannot be read").because(e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::Status;

    proptest! {
        #[test]
        fn the_end_of_a_step_says_how_long_it_worked_only_where_it_was_asked(id: u64, asked: bool, own: u64, child: u64) {
            let worked = asked.then_some(Worked { own, child });
            let done = FromAgent::Done { id, result: Ok(Outcome::new(Status::Ok)), worked, made: Vec::new(), due: Vec::new() };
            let Frame::Message(body) = to_frame(&done) else { panic!("a message is a message") };
            prop_assert_eq!(String::from_utf8_lossy(&body).contains("worked"), asked);
            let FromAgent::Done { id: back, worked: told, .. } = from_body(&body).unwrap() else { panic!("another message") };
            prop_assert_eq!((back, told), (id, worked));
        }
    }
}
