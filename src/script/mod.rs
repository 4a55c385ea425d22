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
#[cfg(test)]
mod tests;
mod text;
mod throttle;
mod unmake;
mod value;

pub use docs::{ModuleDoc, module_doc, modules};
pub use engine::engine;
pub use fault::from_rhai;
pub use functions::{FUNCTIONS, Function, function_named};
pub use lint::{Linter, Surroundings};
pub use notified::{earlier, flush_earlier};
pub use parameters::COMMON;
pub use run::run;
pub use running::{Run, Settings};
pub use step::{ad_hoc, checked};
pub use unmake::{Unmade, unmake};
