//! What is said about the parameters of a call that are wrong.

use super::admit::SECRET_ARGV;
use crate::error::{Detail, Error, nearest};
use crate::op::Spec;

pub(crate) const RETRY: &str = "retry";
pub(crate) const NOTIFY: &str = "notify";
pub(crate) const CHANGED: &str = "changed";
pub(crate) const FAILED: &str = "failed";
pub(crate) const ASSUME: &str = "assume";

/// Parameters that every operation takes, and that the host never sees: each with what it is for.
pub(crate) const COMMON: [(&str, &str); 6] = [
    (
        RETRY,
        "Tries again when the step fails: `#{ attempts: 5, delay: \"2s\" }`, three times a second apart by default.",
    ),
    (NOTIFY, "A step made by `later`, which runs at the end of the `on` when this one changed something."),
    (CHANGED, "A closure that is given the outcome and says whether it counts as a change."),
    (FAILED, "A closure that is given the outcome and says whether it counts as a failure."),
    (
        ASSUME,
        "What a check takes to have come of the step where it cannot know: `#{ stdout: \"v1.2\", code: 0 }`. The script goes \
         on with that, and what is foretold after it was read is marked as resting on it. `changed: true` among it says that \
         the step would change something; with an empty map, a look or a wait is taken to go well.",
    ),
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
    let error = error.hint(format!("`mk doc {}` lists its parameters", spec.name));
    error.detailed(Detail::UnknownField { name: unknown.to_owned(), known })
}

/// Adds to an error about a wrong name the nearest right one, and where the names are listed.
pub(crate) fn explained(error: Error, of: &str) -> Error {
    let Some((wrong, known)) = error.detail().and_then(Detail::unknown) else { return error };
    let near = nearest(wrong, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    near.into_iter().fold(error, Error::hint).hint(format!("`mk doc {of}` lists its parameters"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn a_wrong_name_inside_of_a_parameter_is_told_by_those_around_it() {
        let error = |args: Value| crate::run::checked("etc_hosts", args.as_object().unwrap()).unwrap_err();
        let inside = error(json!({ "name": "x", "entries": [{ "ipp": "10.0.0.1", "names": ["a"] }] }));
        assert_eq!(inside.message(), "etc_hosts: unknown field `ipp`, expected `ip` or `names`");
        assert_eq!(inside.hints()[0], "did you mean `ip`?");
        let own = error(json!({ "name": "x", "entrys": [] }));
        assert_eq!(own.hints()[0], "did you mean `entries`?");
        // What every operation takes is among the names, too, though serde does not know of it.
        assert_eq!(error(json!({ "name": "x", "notfy": [] })).hints()[0], "did you mean `notify`?");
    }
}
