//! How many files this process may have open. Every connection is one, and the usual limit is 1,024.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit as this process was given it, where it was raised.
static GIVEN: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process have as many files open as it may at most. Done once; where it is refused, all stays as it is.
pub(super) fn raise() {
    GIVEN.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        let given = limit.current.filter(|given| limit.maximum.is_none_or(|most| *given < most))?;
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok().map(|()| given)
    });
}

/// The same command for a shell, with the limit that this process was given: programs go wrong where they are allowed
/// more than they expect, and what a step sees of this machine must not depend on mk.
pub(super) fn with_limit_as_given(command: &str) -> String {
    match GIVEN.get() {
        Some(Some(given)) => format!("ulimit -S -n {given}\n{command}"),
        _ => command.to_owned(),
    }
}
