//! The operations, one a file, and the one list of them.
//!
//! Adding one is a file here and a line in [`OPS`]. From the list come the method in scripts, the checking of
//! arguments, check mode, the diff, the documentation and the contract test. Operations do not know each other.

mod block;
mod copy;
mod dir;
mod facts;
mod file;
mod group;
mod hostname;
mod line;
mod pkg;
mod run;
mod shell;
mod sysctl;
mod systemd;
mod template;
#[cfg(test)]
mod tests;
mod user;
mod wait;

use crate::error::{Error, Result, nearest};
use crate::op::{self, Spec};

/// Every operation, by name.
pub static OPS: &[Spec] = &[
    op::resource::<block::Block>(),
    op::resource::<copy::Copy>(),
    op::resource::<dir::Dir>(),
    op::fact::<facts::Facts>(),
    op::resource::<file::File>(),
    op::resource::<group::Group>(),
    op::resource::<hostname::Hostname>(),
    op::resource::<line::Line>(),
    op::resource::<pkg::Pkg>(),
    op::action::<run::Run>(),
    op::action::<shell::Shell>(),
    op::resource::<sysctl::Sysctl>(),
    op::resource::<systemd::Systemd>(),
    op::resource::<template::Template>(),
    op::resource::<user::User>(),
    op::action::<wait::Wait>(),
];

/// The operation of that name.
///
/// # Errors
/// When there is none; offers the nearest.
pub fn find(name: &str) -> Result<&'static Spec> {
    OPS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let error = Error::playbook(format!("there is no operation `{name}`"));
        match nearest(name, OPS.iter().map(|spec| spec.name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`mk doc` lists the operations"),
        }
    })
}
