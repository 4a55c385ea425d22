//! What the author of an operation writes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::declared::{Removal, Shows};
use super::spec::Danger;
use crate::change::{Change, Outcome, Thing};
use crate::error::{Error, Kind, Result};
use crate::sys::{Effect, Hands, Probe};
use crate::wire::Attachment;

/// A call as a user would write it; each one is run by a test.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it shows, as a sentence.
    pub title: &'static str,
    /// The call in Rhai, on a host named `host`.
    pub code: &'static str,
}

/// What every operation has: a name, parameters and documentation.
///
/// The parameters' documentation is the doc comments of the type's fields.
pub trait Operation: Documented + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the method in scripts.
    const NAME: &'static str;
    /// The parameter that may be given first, without its name.
    const SUBJECT: &'static str;

    /// The values that its outcome may have for a script.
    const VALUES: &'static [&'static str] = &[];
    /// Reads, writes or destroys.
    const DANGER: Danger;
    /// How it is used.
    const EXAMPLES: &'static [Example];
    /// What of its parameters other users of the host can see.
    const SHOWS: Shows = Shows::Nothing;
    /// How the things that it makes are taken away, see [`Resource::things`].
    const REMOVAL: Removal = Removal::None;
    /// Where it writes without a parameter that says so.
    const PLACES: &'static [&'static str] = &[];
    /// Its programs are never stopped in the middle, so a step may go on for long after its connection was lost.
    const UNCUT: bool = false;

    /// Refuses parameters that are wrong whatever the host is like.
    ///
    /// # Errors
    /// Names the parameter and what it may be.
    fn validate(&self) -> Result {
        Ok(())
    }

    /// Takes what the control side made ready for the step. An operation that has no half there gets nothing.
    ///
    /// # Errors
    /// When something else came along than the operation needs: the other end broke the protocol.
    fn attach(&mut self, attachment: Attachment) -> Result {
        match attachment {
            Attachment::None => Ok(()),
            _ => Err(Error::new(Kind::Protocol, format!("`{}` was sent something it has no use for", Self::NAME))),
        }
    }
}

/// On the control side, an operation's parameters describe themselves.
#[cfg(feature = "control")]
pub trait Documented: schemars::JsonSchema {}
#[cfg(feature = "control")]
impl<T: schemars::JsonSchema> Documented for T {}

/// On a host nobody asks.
#[cfg(not(feature = "control"))]
pub trait Documented {}
#[cfg(not(feature = "control"))]
impl<T> Documented for T {}

/// What a change means to steps of other operations; see [`Resource::effects`].
pub(crate) type Effects = Vec<Effect>;

/// Something on a host that has a state: a file, a user, a unit.
pub(crate) trait Resource: Operation {
    /// What is compared. A field that is `None` is not managed.
    type State: Serialize + DeserializeOwned + Clone;

    /// Whether a planned state is found again at the paths that its effects are of. Not where the control side has to
    /// say what is there.
    const IS_AT_ITS_PATHS: bool = true;

    /// What is there now; `None` when the subject is absent.
    ///
    /// # Errors
    /// When it cannot be read, or, in check mode, cannot be known yet.
    fn actual(&self, probe: &Probe) -> Result<Option<Self::State>>;

    /// What should be there; `None` when the subject must be absent.
    ///
    /// It sees what is there, because an edit of a file depends on the rest of the file.
    ///
    /// # Errors
    /// When the wish cannot be met from what is there.
    fn desired(&self, actual: Option<&Self::State>) -> Result<Option<Self::State>>;

    /// Tries in a check what would make the fix fail, as far as that can be tried without changing the host.
    ///
    /// # Errors
    /// When the fix would fail.
    fn rehearse(&self, probe: &Probe, change: &Change<Self::State>) -> Result {
        let _ = (probe, change);
        Ok(())
    }

    /// Mends the difference.
    ///
    /// # Errors
    /// When the host refuses. What it claims is not believed: the state is read again.
    fn fix(&self, hands: &Hands, change: &Change<Self::State>) -> Result;

    /// Keeps mk's own books about something that is as it should be. It runs only when applying, when there
    /// is no difference, and must leave the host itself as it is: nobody counts or shows it.
    ///
    /// # Errors
    /// When the books cannot be written.
    fn adopt(&self, hands: &Hands, actual: Option<&Self::State>) -> Result {
        let _ = (hands, actual);
        Ok(())
    }

    /// The things that are there in a state, each with the call that takes it away: an account, a block of a file.
    /// Those that are there only after a change were made by it, and the ledger keeps them. Nothing is said of files,
    /// directories and links: hands see those being made.
    fn things(&self, state: Option<&Self::State>) -> Vec<Thing> {
        let _ = state;
        Vec::new()
    }

    /// What the change means to later steps of a check that look at other things than this operation's
    /// own subject. The planned state is remembered for the operation itself unless all effects are of
    /// paths, which is where it will be found again, see [`Resource::IS_AT_ITS_PATHS`].
    fn effects(&self, desired: Option<&Self::State>) -> Effects {
        let _ = desired;
        Effects::new()
    }

    /// Whether a later step of a check for the same subject takes the planned state for the one that is there. Not where
    /// all that is planned shows in what the probe sees.
    fn is_recalled(&self) -> bool {
        true
    }

    /// What stands for the state in `restart_on`, when the desired state does not.
    fn digest(&self, actual: Option<&Self::State>) -> Option<String> {
        let _ = actual;
        None
    }

    /// Values that a script can read from the outcome.
    fn values(&self, actual: Option<&Self::State>) -> Map<String, Value> {
        let _ = actual;
        Map::new()
    }
}

/// Something that is done, not a state that is reached: a command, a reboot.
pub(crate) trait Action: Operation {
    /// Why there is nothing to do; `None` when it is to be done.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn guard(&self, probe: &Probe) -> Result<Option<String>> {
        let _ = probe;
        Ok(None)
    }

    /// Does it without being able to change anything. `None` for an action that changes its host.
    fn look(&self, probe: &Probe) -> Option<Result<Outcome>> {
        let _ = probe;
        None
    }

    /// Does it.
    ///
    /// # Errors
    /// When it did not work.
    fn act(&self, hands: &Hands) -> Result<Outcome>;

    /// What a script sees in check mode of a step that would have run.
    fn effects(&self) -> Effects {
        Effects::new()
    }
}

/// Something that is read.
pub(crate) trait Fact: Operation {
    /// Reads it.
    ///
    /// # Errors
    /// When the host does not tell.
    fn read(&self, probe: &Probe) -> Result<Map<String, Value>>;
}
