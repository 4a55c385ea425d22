//! Playbooks: Rhai, with the hosts as values and the operations as their methods.
//!
//! The only module that knows the language. It decides nothing about hosts: a call becomes a step, a step's
//! outcome becomes a value, a fault is thrown at its place.

mod admit;
mod ahead;
mod closure;
mod docs;
mod engine;
mod fault;
mod functions;
mod gate;
mod globals;
mod guarded;
mod here;
mod host;
mod keep;
mod lint;
mod made;
mod modules;
mod names;
mod notified;
mod on;
mod outcome;
mod parameters;
mod play;
mod results;
mod run;
mod secret;
mod send;
mod step;
#[cfg(test)]
mod tests;
mod text;
mod turns;
mod value;
mod waiting;
mod world;

pub use docs::{ModuleDoc, module_doc, modules};
pub use engine::engine;
pub use fault::from_rhai;
pub use functions::{FUNCTIONS, Function, function_named};
pub use lint::{Linter, Surroundings};
pub use made::{Unmade, unmake};
pub use notified::{earlier, flush_earlier};
pub use parameters::COMMON;
pub use run::run;
pub use step::{ad_hoc, checked};
pub use world::{Settings, World};
