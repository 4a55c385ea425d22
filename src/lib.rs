//! mk: an automation engine whose playbooks are Rhai scripts.
//!
//! The code map, and the one list of the layers, bottom to top. A module imports only from those above it in this list;
//! `tests/suite/architecture.rs` reads it and holds that. The agent is made of the modules that are not of the control
//! side; `.cargo/build.rs` reads that here.
//!
//! - [`error`]: what can go wrong, as data. Knows nothing of terminals or remedies.
//! - [`change`]: states, their differences and the outcome of a step. Does no I/O.
//! - [`secret`]: the values that must never be shown, and the masking of every text that leaves.
//! - [`wire`]: frames between the control side and an agent. Knows nothing of what they mean.
//! - [`sys`]: what an operation may see of a host (`Probe`) and do to it (`Hands`).
//! - [`op`]: the three kinds of operation and the one loop that runs them. Knows no operation by name.
//! - [`ops`]: the operations, one a file, and their registry. They do not know each other.
//! - [`agent`]: the loop that runs on a host. Knows no SSH, no script, no network.
//! - [`event`]: what happened during a run. Knows nothing of how it is shown.
//! - [`trust`]: who may have written what this side obeys. Knows no project and no inventory.
//! - [`inventory`]: hosts, groups, variables and where each value came from. Never connects.
//! - [`transport`]: one connection a host, over SSH or to this machine. Carries bytes, knows no operation.
//! - [`state`]: what mk keeps on this machine between runs. Never touches a host.
//! - [`control`]: what is resolved on this side: sources, templates, archives, certificates.
//! - [`fleet`]: the hosts of a run, their agents, and the sending of requests. Knows no script.
//! - [`run`]: the run itself: the steps that are sent, what becomes of them, who takes part. Knows no script.
//! - [`report`]: events as text, JSON, JUnit, a page and a log. Changes nothing.
//! - [`script`]: Rhai. The only module that knows the language.
//! - [`cli`]: arguments, exit codes, and the remedy added to a fault.

// What both sides share has more in it than a host needs.
#![cfg_attr(not(feature = "control"), allow(dead_code, unreachable_pub, unused_imports))]

pub mod agent;
pub mod change;
#[cfg(feature = "control")]
pub mod cli;
#[cfg(feature = "control")]
pub mod control;
pub mod error;
#[cfg(feature = "control")]
mod event;
#[cfg(feature = "control")]
mod fleet;
#[cfg(feature = "control")]
pub mod inventory;
pub mod op;
pub mod ops;
#[cfg(feature = "control")]
mod report;
#[cfg(feature = "control")]
mod run;
#[cfg(feature = "control")]
pub mod script;
#[cfg(feature = "control")]
pub mod secret;
#[cfg(feature = "control")]
mod state;
mod sys;
#[cfg(feature = "control")]
mod transport;
#[cfg(feature = "control")]
pub mod trust;
pub mod wire;
