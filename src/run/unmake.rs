//! `unmake` (rollback): what was made on a host, taken away again.

use serde_json::Value;

use super::dispatch::Ready;
use super::host::Host;
use super::resolved::Wanted;
use super::scope::Scope;
use crate::error::{Place, Result};
use crate::ops::{self, Spec};
use crate::state::Entry;
use crate::wire::Mode;

/// What came of taking things away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unmade {
    /// What was taken away, or was gone already; in a check, what would be.
    pub removed: Vec<String>,
    /// What was left, because something that mk did not make is in it.
    pub kept: Vec<String>,
}

/// Takes things away. The last that was made goes first, so that nothing is taken away under what still needs it.
///
/// # Errors
/// The fault of the first step that fails; what it was to take away stays in the ledger, and all that is older.
pub(crate) fn unmake(scope: &Scope, host: &Host, things: &[Entry], at: &Place) -> Result<Unmade> {
    let run = &scope.run;
    let mut unmade = Unmade::default();
    for (spec, together) in calls(things)? {
        let Some(first) = together.first() else { continue };
        let acting = host.acting_as(first.user.clone());
        let args = merged(spec, &together);
        (spec.check)(Value::Object(args.clone()))?;
        let wanted = Wanted { args, responder: None };
        let ready = Ready::new(scope, &acting, spec, wanted, at.clone());
        let sent = scope.send(&ready)?;
        ready.done(&sent, &sent.outcome)?;
        let subjects = together.iter().map(|entry| format!("{} {}", entry.op, entry.subject));
        if sent.outcome.of.values.get("kept") == Some(&Value::Bool(true)) {
            unmade.kept.extend(subjects);
            continue;
        }
        unmade.removed.extend(subjects);
        if run.fleet.mode() == Mode::Apply {
            run.fleet.struck(&host.name, &together)?;
        }
    }
    Ok(unmade)
}

/// The calls to be made, and what each takes away: neighbours go together where the operation takes several subjects.
fn calls(things: &[Entry]) -> Result<Vec<(&'static Spec, Vec<&Entry>)>> {
    let mut calls: Vec<(&'static Spec, Vec<&Entry>)> = Vec::new();
    for entry in things.iter().rev() {
        let spec = ops::find(&entry.op)?;
        match calls.last_mut() {
            Some((last, together)) if takes_several(spec) && last.name == spec.name && fit(spec, together, entry) => {
                together.push(entry);
            }
            _ => calls.push((spec, vec![entry])),
        }
    }
    Ok(calls)
}

fn takes_several(spec: &Spec) -> bool {
    ops::parameters(spec).iter().any(|p| p.name == spec.subject && p.kind == "string or array of string")
}

/// Whether nothing but the subject differs.
fn fit(spec: &Spec, together: &[&Entry], entry: &Entry) -> bool {
    let rest = |entry: &Entry| {
        let mut args = entry.args.clone();
        args.remove(spec.subject);
        (args, entry.user.clone())
    };
    together.first().is_some_and(|first| rest(first) == rest(entry))
}

fn merged(spec: &Spec, together: &[&Entry]) -> serde_json::Map<String, Value> {
    let mut args = together.first().map(|first| first.args.clone()).unwrap_or_default();
    if together.len() > 1 {
        let subjects = together.iter().filter_map(|entry| entry.args.get(spec.subject));
        args.insert(spec.subject.to_owned(), subjects.cloned().collect());
    }
    args
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(op: &str, args: Value) -> Entry {
        let subject = args.to_string();
        let args = args.as_object().cloned().unwrap_or_default();
        Entry { op: op.to_owned(), subject, args, user: None, by: None, at: 0 }
    }

    #[test]
    fn the_last_made_goes_first_and_packages_go_together() {
        let package = |name: &str| entry("pkg", json!({ "names": name, "state": "absent" }));
        let file = |path: &str| entry("file", json!({ "path": path, "state": "absent" }));
        let things = [package("a"), file("/a"), package("b"), package("c"), file("/b"), file("/c")];
        let made: Vec<Value> =
            calls(&things).unwrap().iter().map(|(spec, together)| Value::Object(merged(spec, together))).collect();
        let subjects: Vec<&Value> = made.iter().map(|args| args.get("path").unwrap_or(&args["names"])).collect();
        assert_eq!(subjects, [&json!("/c"), &json!("/b"), &json!(["c", "b"]), &json!("/a"), &json!("a")]);
    }
}
