//! Playbooks: Rhai, with the hosts as values and the operations as their methods.
//!
//! The only module that knows the language. It decides nothing about hosts: a call becomes a step, a step's
//! outcome becomes a value, a fault is thrown at its place.

mod admit;
mod closure;
mod credentials;
mod dispatch;
mod docs;
mod engine;
mod fault;
mod functions;
mod globals;
mod guarded;
mod host;
mod lint;
mod modules;
mod notified;
mod on;
mod outcome;
mod parameters;
mod pipelining;
mod play;
mod results;
mod run;
mod running;
mod scope;
mod secret;
mod step;
mod suggestions;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod throttle;
mod unmake;
mod value;

pub use docs::{module_doc, modules};
pub use functions::FUNCTIONS;
pub(crate) use functions::{Function, function_named};
pub use lint::{Linter, Surroundings};
pub(crate) use notified::{earlier, flush_earlier};
pub(crate) use parameters::COMMON;
pub(crate) use run::run;
pub(crate) use running::{Run, Settings};
pub(crate) use step::{ad_hoc, checked};
pub(crate) use unmake::unmake;
