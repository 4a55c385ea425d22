//! Playbooks: Rhai, with the hosts as values and the operations as their methods.
//!
//! The only module that knows the language. It decides nothing about hosts: a call becomes a step of the run, a step's
//! outcome becomes a value, a fault is thrown at its place.

mod closure;
mod credentials;
mod docs;
mod engine;
mod fault;
mod functions;
mod globals;
mod guarded;
mod habits;
mod host;
mod lint;
mod lookahead;
mod mixed;
mod modules;
mod on;
mod outcome;
mod play;
mod playbook;
mod registry;
mod results;
mod scope;
mod secret;
mod shown;
mod step;
mod suggestions;
mod syntax;
mod talk;
mod tasks;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use docs::{module_doc, modules};
pub use functions::FUNCTIONS;
pub(crate) use functions::{Function, function_named};
pub use lint::{Linter, Surroundings};
pub(crate) use playbook::run;
