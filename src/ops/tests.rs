//! What the registry must hold for every operation.

mod foretold;

use serde_json::{Value, json};

use super::OPS;
use crate::op::Removal;
use crate::op::contract::Host;
use crate::wire::Member;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn schema(spec: &crate::op::Spec) -> Value {
    serde_json::to_value((spec.schema)()).unwrap()
}

#[test]
fn every_operation_and_every_parameter_is_documented() {
    for spec in OPS {
        let schema = schema(spec);
        assert!(text(&schema, "description").len() > 20, "{}: its type needs a doc comment", spec.name);
        let parameters = schema["properties"].as_object().unwrap();
        assert!(parameters.contains_key(spec.subject), "{}: no parameter `{}`", spec.name, spec.subject);
        for (name, parameter) in parameters {
            let doc = text(parameter, "description");
            assert!(doc.ends_with('.') && doc.len() > 8, "{}: `{name}` needs a sentence, has `{doc}`", spec.name);
            assert!(!name.starts_with('@'), "{}: `{name}` is not for users", spec.name);
        }
    }
}

#[test]
fn every_operation_has_examples_that_call_it() {
    for spec in OPS {
        assert!(!spec.examples.is_empty(), "{}: needs an example", spec.name);
        for example in spec.examples {
            assert!(example.code.contains(&format!("host.{}(", spec.name)), "{}: `{}`", spec.name, example.code);
            assert!(example.title.ends_with('.') && example.code.ends_with(';'), "{}: `{}`", spec.name, example.title);
        }
    }
}

#[test]
fn names_are_sorted_and_unique() {
    let names: Vec<&str> = OPS.iter().map(|spec| spec.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
}

#[test]
fn what_makes_things_declares_how_they_are_taken_away() {
    let makes = |entry: walkdir::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let name = text.split_once("const NAME: &'static str = \"")?.1.split('"').next()?.to_owned();
        text.contains("fn things(&self").then_some(name)
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let files =
        walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut made: Vec<String> = files.filter_map(makes).collect();
    made.sort();
    let declared: Vec<&str> = OPS.iter().filter(|spec| spec.removal != Removal::None).map(|spec| spec.name).collect();
    assert_eq!(made, declared);
}

#[test]
fn what_is_made_is_taken_away_again() {
    let mut host = Host::new();
    let text = host.put("text", "first\nlast\n");
    let sha256 = host.side.offer(b"content");
    let members = [Member::dir("d", Some(0o755)), Member::file("d/f", &sha256, 7, 0o644), Member::link("l", "d/f")];
    for (op, wish) in [
        ("dir", json!({ "path": host.path("a/b/c") })),
        ("file", json!({ "path": host.path("f") })),
        ("file", json!({ "path": host.path("l"), "state": "link", "target": "nowhere" })),
        ("copy", json!({ "dest": host.path("f"), "content": "x" })),
        ("line", json!({ "path": text, "line": "second", "before": "^last" })),
        ("line", json!({ "path": host.path("f"), "line": "only", "create": true })),
        ("block", json!({ "path": text, "name": "b", "content": "x\ny" })),
        ("block", json!({ "path": host.path("f"), "name": "b", "content": "x", "create": true })),
        ("etc_hosts", json!({ "name": "k", "entries": [{ "ip": "192.0.2.1", "names": ["a"] }], "path": text })),
        ("unpack", json!({ "dest": host.path("u/v"), "src": "a.tgz", "attached": { "members": members } })),
        ("mount", json!({ "path": "/mnt/none", "src": "x", "fstype": "ext4", "state": "present", "fstab": text })),
        ("run", json!({ "argv": ["mkdir", "-p", host.path("r/s")], "creates": host.path("r") })),
    ] {
        host.unmakes(op, &wish);
    }
    assert_eq!(host.get("text"), "first\nlast\n");
}

#[test]
fn what_was_there_before_is_only_changed() {
    let host = Host::new();
    let text = host.put("text", "old=1\n");
    for (op, wish) in [
        ("copy", json!({ "dest": text, "content": "old=2\n" })),
        ("line", json!({ "path": text, "line": "old=3", "matching": "^old=" })),
        ("dir", json!({ "path": host.path(""), "mode": "0700" })),
        ("file", json!({ "path": text, "state": "link", "target": "x", "force": true })),
    ] {
        assert_eq!(host.made(op, wish.clone()), [], "{op} {wish}");
    }
}
