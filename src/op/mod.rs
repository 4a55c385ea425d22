//! The three kinds of operation, and the one loop that runs them.
//!
//! An operation says what it wants, what it finds and how to mend the difference. Everything else (diff,
//! check mode, verification, counting, recording) happens here, once. This module knows no operation by name.

#[cfg(test)]
pub mod alone;
#[cfg(test)]
pub mod contract;
mod declared;
mod kind;
mod param;
mod run;
mod session;
mod spec;

pub(crate) use declared::{Removal, Shows};
pub(crate) use kind::{Action, Effects, Example, Fact, Operation, Resource};
pub(crate) use param::{Argv, FileMode, HumanDuration, Pattern};
pub(crate) use session::Session;
pub use spec::Class;
#[cfg(feature = "control")]
pub(crate) use spec::Parameters;
pub(crate) use spec::{Danger, Spec, action, fact, resource};
