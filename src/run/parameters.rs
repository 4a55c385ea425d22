//! What is said about the parameters of a call that are wrong.

use super::admit::SECRET_ARGV;
use crate::error::{Error, nearest};
use crate::op::Spec;

pub(crate) const RETRY: &str = "retry";
pub(crate) const NOTIFY: &str = "notify";
pub(crate) const CHANGED: &str = "changed";
pub(crate) const FAILED: &str = "failed";

/// Parameters that every operation takes, and that the host never sees: each with what it is for.
pub(crate) const COMMON: [(&str, &str); 5] = [
    (
        RETRY,
        "Tries again when the step fails: `#{ attempts: 5, delay: \"2s\" }`, three times a second apart by default.",
    ),
    (NOTIFY, "A step made by `later`, which runs at the end of the `on` when this one changed something."),
    (CHANGED, "A closure that is given the outcome and says whether it counts as a change."),
    (FAILED, "A closure that is given the outcome and says whether it counts as a failure."),
    (
        SECRET_ARGV,
        "Lets a secret into the arguments or the environment of a program, where every user of the host can read it.",
    ),
];

/// The fields of `retry`.
pub(crate) const RETRY_FIELDS: [&str; 2] = ["attempts", "delay"];

/// Whether every operation takes a parameter of that name.
pub(crate) fn is_common(name: &str) -> bool {
    COMMON.iter().any(|(common, _)| *common == name)
}

/// The error for a field that an operation does not have.
pub(crate) fn unknown_field(spec: &Spec, unknown: &str) -> Error {
    let known: Vec<String> = crate::ops::parameters(spec).into_iter().map(|p| p.name).collect();
    let shown = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let error = Error::playbook(format!("{}: unknown field `{unknown}`, expected one of {shown}", spec.name));
    let error = error.suggest(unknown, known.iter().map(String::as_str).chain(COMMON.map(|(name, _)| name)));
    error.hint(format!("`mk doc {}` lists its parameters", spec.name))
}

/// Adds to an error about a wrong name the nearest right one, and where the names are listed.
pub(crate) fn explained(error: Error, of: &str) -> Error {
    let message = error.message().to_owned();
    let unknown = ["unknown field `", "unknown variant `"].iter().find_map(|begin| message.split_once(begin));
    let Some((_, rest)) = unknown else { return error };
    let mut names = rest.split('`').step_by(2);
    let wrong = names.next().unwrap_or_default();
    let error = match nearest(wrong, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    error.hint(format!("`mk doc {of}` lists its parameters"))
}

/// The field that an error about a call's parameters is about.
pub(crate) fn field(error: &Error) -> Option<&str> {
    let message = error.message();
    let begin = message.split_once("unknown field `").or_else(|| message.split_once(": `"));
    let name = begin?.1.split(['`', '.', '[']).next()?;
    Some(name)
}
