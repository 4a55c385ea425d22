//! What is said about the parameters of a call that are wrong.

use std::num::NonZeroU32;

use serde_json::Value;

use super::admit::SECRET_ARGV;
use crate::error::{Detail, Error, nearest};
use crate::op::{HumanDuration, Spec};

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
         the step would change something; with an empty map, a look or a wait is taken to go well. Where \
         the check has foretold no change before, nothing is assumed: what is missing then is missing.",
    ),
    (
        SECRET_ARGV,
        "Lets a secret into the arguments or the environment of a program, where every user of the host can read it.",
    ),
];

/// How a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    /// How often it is tried altogether.
    pub(crate) attempts: NonZeroU32,
    /// How long it is waited between two tries.
    pub(crate) delay: HumanDuration,
}

impl Retry {
    /// What `retry` says, field by field: the name, and its value where that is known.
    ///
    /// # Errors
    /// Says what is wrong with it, and which field that is.
    pub(crate) fn read<'a>(fields: impl Iterator<Item = (&'a str, Option<Value>)>) -> Result<Self, (&'a str, Error)> {
        let mut retry = Self { attempts: NonZeroU32::MIN.saturating_add(2), delay: HumanDuration::secs(1) };
        for (name, value) in fields {
            let known = value.filter(|value| !value.is_null());
            let fault = |what: &str| Error::playbook(format!("`{RETRY}.{name}` {what}")).about(RETRY);
            match (name, known) {
                ("attempts" | "delay", None) => {}
                ("attempts", Some(value)) => {
                    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new);
                    let wrong = || fault(&format!("is a count of 1 or more, and here it is `{value}`"));
                    retry.attempts = count.ok_or_else(|| (name, wrong()))?;
                }
                ("delay", Some(value)) => {
                    let wrong = |e| fault(&format!("is a time such as \"2s\": {e}"));
                    retry.delay = serde_json::from_value(value).map_err(|e| (name, wrong(e)))?;
                }
                (other, _) => {
                    let message = format!("unknown field `{other}` of `{RETRY}`, expected `attempts` or `delay`");
                    return Err((name, Error::playbook(message).about(RETRY).suggest(other, ["attempts", "delay"])));
                }
            }
        }
        Ok(retry)
    }

    /// The same for the whole value.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn of(value: &Value) -> Result<Self, Error> {
        let Value::Object(fields) = value else {
            let message = format!("is a map such as `#{{ attempts: 5, delay: \"2s\" }}`, and here it is `{value}`");
            return Err(Error::parameter(RETRY, message));
        };
        Self::read(fields.iter().map(|(name, value)| (name.as_str(), Some(value.clone())))).map_err(|(_, error)| error)
    }
}

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

    #[test]
    fn what_is_no_retry_is_refused_with_the_nearest_name() {
        let error = |value: Value| super::Retry::of(&value).unwrap_err();
        for (value, wanted) in [
            (json!(10), "`retry` is a map such as `#{ attempts: 5, delay: \"2s\" }`, and here it is `10`"),
            (json!({ "attempts": "5" }), "`retry.attempts` is a count of 1 or more, and here it is `\"5\"`"),
            (json!({ "attempts": -1 }), "`retry.attempts` is a count of 1 or more, and here it is `-1`"),
            (json!({ "attempts": 0 }), "`retry.attempts` is a count of 1 or more, and here it is `0`"),
            (json!({ "bakcoff": 2 }), "unknown field `bakcoff` of `retry`, expected `attempts` or `delay`"),
        ] {
            assert_eq!(error(value).message(), wanted);
        }
        assert!(error(json!({ "delay": "soon" })).message().starts_with("`retry.delay` is a time such as \"2s\": "));
        assert_eq!(error(json!({ "attemps": 2 })).hints(), ["did you mean `attempts`?"]);
        let retry = super::Retry::of(&json!({ "attempts": 5, "delay": null })).unwrap();
        assert_eq!((retry.attempts.get(), retry.delay), (5, crate::op::HumanDuration::secs(1)));
        assert_eq!(super::Retry::of(&json!({})).unwrap().attempts.get(), 3);
    }
}
