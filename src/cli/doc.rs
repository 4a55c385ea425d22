//! `mk doc`: the operations, from their own types.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::error::Result;
use crate::op::{Class, Spec};
use crate::ops;

/// Prints the list of operations, or one operation's page.
pub(super) fn run(op: Option<&str>) -> Result<ExitCode> {
    let text = match op {
        Some(name) => page(ops::find(name).map_err(|e| e.as_kind(crate::error::Kind::Usage))?),
        None => list(),
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// One line an operation.
pub fn list() -> String {
    ops::OPS.iter().fold(String::new(), |mut out, spec| {
        let _ = writeln!(out, "{:<16} {}", spec.name, summary(spec));
        out
    })
}

/// The first sentence of an operation's documentation.
fn summary(spec: &Spec) -> String {
    let text = description(spec);
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

fn description(spec: &Spec) -> String {
    (spec.schema)().to_value()["description"].as_str().unwrap_or_default().to_owned()
}

/// An operation's page, in Markdown.
pub fn page(spec: &Spec) -> String {
    let class = match spec.class {
        Class::Resource => "a resource: has a state that is compared",
        Class::Action => "an action: is done, and in check mode said to be done",
        Class::Fact => "a fact: is read",
    };
    let mut out = format!("# {}\n\n{}\n\nIt is {class}.\n\n## Parameters\n\n", spec.name, description(spec));
    for parameter in ops::parameters(spec) {
        let first = if parameter.name == spec.subject { ", may be given first without its name" } else { "" };
        let need = if parameter.required { ", required" } else { "" };
        let doc = parameter.doc.replace('\n', " ");
        let _ = writeln!(out, "- `{}` ({}{need}{first}): {doc}", parameter.name, parameter.kind);
    }
    out += "\n## Examples\n";
    for example in spec.examples {
        let _ = write!(out, "\n{}\n\n```rhai\n{}\n```\n", example.title, example.code);
    }
    out
}
