//! What a host claims to have made, held against the step that ran there.
//!
//! The ledger's entries are calls that `mk prune` makes later. So a host may add only the call that takes away what its
//! step can have made: a file or directory at the step's own paths, or the step's own subject by the step's own
//! operation. None of them has a half on the control side.

use std::path::Path;

use serde_json::{Map, Value};

use crate::change::{Thing, Trace};
use crate::op::Removal;
use crate::ops::{self, Spec};

/// What is known of the step that is said to have made something.
pub(crate) struct Step<'a> {
    pub(crate) op: &'a str,
    pub(crate) args: &'a Value,
}

/// Whether a host may say this of a step; without a step, of any: what an earlier run could not tell.
pub(crate) fn holds(trace: &Trace, step: Option<&Step>) -> bool {
    let Trace::Made(thing) = trace else { return true };
    let Some(spec) = ops::OPS.iter().find(|spec| spec.name == thing.op) else { return false };
    if (spec.check)(Value::Object(thing.args.clone())).is_err() {
        return false;
    }
    match thing.op.as_str() {
        "file" | "dir" => removes_path(&thing.args) && step.is_none_or(|step| step.may_make_path(thing)),
        _ => removes_own(&thing.args, spec.removal) && step.is_none_or(|step| step.may_make_own(spec, thing)),
    }
}

/// The call that takes away what is at a path, and nothing more.
fn removes_path(args: &Map<String, Value>) -> bool {
    let known = args.keys().all(|name| ["path", "state", "if_empty"].contains(&name.as_str()));
    known && args.get("state").and_then(Value::as_str) == Some("absent")
}

fn removes_own(args: &Map<String, Value>, removal: Removal) -> bool {
    match removal {
        Removal::None => false,
        Removal::Absent => args.get("state").and_then(Value::as_str) == Some("absent"),
        Removal::Empty(field) => args.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty),
        Removal::UnitSetting => {
            let off = [("enabled", Value::from(false)), ("state", "stopped".into()), ("masked", false.into())];
            args.len() == 2
                && args.contains_key("unit")
                && off.iter().any(|(name, value)| args.get(*name) == Some(value))
        }
    }
}

impl Step<'_> {
    fn may_make_path(&self, thing: &Thing) -> bool {
        let Some(path) = thing.args.get("path").and_then(Value::as_str) else { return false };
        if Path::new(path).components().any(|part| part == std::path::Component::ParentDir) {
            return false;
        }
        let own = ops::find(self.op).map_or(&[][..], |spec| spec.places);
        // A home or the folder of keys: where those are, the host's accounts say.
        let of_account = match self.op {
            "user" => true,
            "authorized_key" => path.ends_with("/.ssh") || path.ends_with("/authorized_keys"),
            _ => false,
        };
        let at = |named: &str| is_at(named, path) || thing.args.contains_key("if_empty") && is_below(named, path);
        of_account || own.iter().any(|place| at(place)) || names(self.args, &at)
    }

    fn may_make_own(&self, spec: &Spec, thing: &Thing) -> bool {
        if self.op != thing.op {
            return false;
        }
        // With a package come others, whose names nobody here can know.
        if self.op == "pkg" {
            return true;
        }
        let subject = |args: &Value| args.get(spec.subject).cloned().unwrap_or_default();
        let (made, asked) = (subject(&Value::Object(thing.args.clone())), subject(self.args));
        match (made.as_str(), asked.as_str()) {
            // `nginx` is `nginx.service` there.
            (Some(made), Some(asked)) => {
                made == asked || made.strip_prefix(asked).is_some_and(|end| end.starts_with('.'))
            }
            _ => made == asked,
        }
    }
}

/// Whether one of a step's parameters names a path for which this holds.
fn names(args: &Value, at: &dyn Fn(&str) -> bool) -> bool {
    match args {
        Value::String(text) => text.starts_with('/') && at(text),
        Value::Array(items) => items.iter().any(|item| names(item, at)),
        Value::Object(fields) => fields.values().any(|field| names(field, at)),
        _ => false,
    }
}

/// Whether a path is the one named, below it, or beside it with an ending of its own.
fn is_at(named: &str, path: &str) -> bool {
    let (named_path, other) = (Path::new(named), Path::new(path));
    other.starts_with(named_path) || named_path.parent() == other.parent() && path.starts_with(named)
}

/// Whether the path named lies below another: that one was made on the way to it.
fn is_below(named: &str, path: &str) -> bool {
    Path::new(named).starts_with(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(op: &str, args: Value) -> Trace {
        Trace::Made(Thing::new(op, "x", args))
    }

    #[test]
    fn a_host_adds_to_the_ledger_what_its_step_can_have_made_and_nothing_else() {
        let absent = |path: &str| json!({ "path": path, "state": "absent" });
        let said = |trace: Trace, op: &str, args: Value| holds(&trace, Some(&Step { op, args: &args }));
        let copy = json!({ "dest": "/srv/a/f", "content": "x" });
        assert!(said(made("file", absent("/srv/a/f")), "copy", copy.clone()));
        assert!(!said(made("dir", absent("/srv/a")), "copy", copy.clone()));
        let empty = json!({ "path": "/srv/a", "state": "absent", "if_empty": true });
        assert!(said(made("dir", empty), "copy", copy.clone()));
        assert!(said(made("file", absent("/srv/a/f.2026-01-01")), "copy", copy.clone()));
        for path in ["/etc/passwd", "/srv/a/../../etc/passwd", "/srv/b"] {
            assert!(!said(made("file", absent(path)), "copy", copy.clone()), "{path}");
        }
        assert!(!said(
            made("file", json!({ "path": "/srv/a/f", "state": "link", "target": "/x" })),
            "copy",
            copy.clone()
        ));
        assert!(!said(made("fetch", json!({ "src": "/etc/hostname" })), "copy", copy.clone()));
        assert!(!said(made("shell", json!({ "script": "id" })), "copy", copy.clone()));
        assert!(!said(made("user", json!({ "name": "x", "state": "absent" })), "copy", copy));
        let user = json!({ "name": "etcd" });
        assert!(said(made("user", json!({ "name": "etcd", "state": "absent" })), "user", user.clone()));
        assert!(!said(made("user", json!({ "name": "root", "state": "absent" })), "user", user.clone()));
        assert!(!said(made("user", json!({ "name": "etcd", "groups": ["sudo"] })), "user", user));
        let unit = json!({ "unit": "etcd", "enabled": true });
        assert!(said(made("systemd", json!({ "unit": "etcd.service", "enabled": false })), "systemd", unit.clone()));
        assert!(!said(made("systemd", json!({ "unit": "sshd.service", "enabled": false })), "systemd", unit.clone()));
        assert!(!said(made("systemd", json!({ "unit": "etcd.service", "enabled": true })), "systemd", unit));
    }

    #[test]
    fn of_an_earlier_run_only_calls_that_take_away_are_taken() {
        assert!(holds(&made("dir", json!({ "path": "/srv", "state": "absent", "if_empty": true })), None));
        assert!(!holds(&made("dir", json!({ "path": "/srv" })), None));
        assert!(!holds(&made("run", json!({ "argv": ["id"] })), None));
    }
}
