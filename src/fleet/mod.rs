//! The hosts of a run: their connections, their agents, and the sending of steps.
//!
//! One connection a host, opened when the first step needs it; steps of one host queue behind each other.
//! It knows operations only by name and never looks at a script.

mod again;
mod agents;
mod bootstrap;
mod claims;
mod due;
mod host;
mod last_words;
mod ledger;
mod meanwhile;
mod pool;
mod reboot;
mod removal;
mod steps;
mod talk;
mod traffic;

pub use agents::{Agent, Agents};
pub use due::Notified;
pub use host::Call;
pub use pool::{Boxed, Connector, Fleet, Options, Pipe, Pipes, Prompts};
