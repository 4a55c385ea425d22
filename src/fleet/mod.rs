//! The hosts of a run: their connections, their agents, and the sending of steps.
//!
//! One connection a host, opened when the first step needs it; steps of one host queue behind each other.
//! It knows operations only by name and never looks at a script.

mod agent_client;
mod agent_stderr;
mod agents;
mod bootstrap;
pub(crate) mod claims;
mod due;
mod heartbeat;
mod host;
mod ledger;
mod pool;
mod reboot;
mod reconnect;
mod removal;
mod steps;
mod traffic;

pub(crate) use agents::Agents;
pub(crate) use due::Notified;
pub(crate) use host::Call;
pub(crate) use pool::{Boxed, Connector, Fleet, Options, Pipe, Pipes, Prompts};
