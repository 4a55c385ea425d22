//! `mk doc`: operations, from their own types; functions of scripts; modules of the standard library.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use crate::error::{Error, Result, nearest};
use crate::op::{Class, Spec};
use crate::ops;
use crate::run;
use crate::script::{self, Function};

/// Show what scripts can call, or one operation, function or module (NAME or std/NAME).
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The operation, function or module.
    name: Option<String>,
}

/// Prints the list, or one page.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let text = match args.name.as_deref() {
        Some(name) => match name.strip_prefix("std/") {
            Some(module) => script::module_doc(module)?.page(module),
            None => named(name)?,
        },
        None => list()?,
    };
    super::out::page(&text);
    Ok(ExitCode::SUCCESS)
}

/// The page of what is called so: an operation, a function, or both.
fn named(name: &str) -> Result<String> {
    let modules = script::modules();
    let module = modules.iter().any(|module| module == name).then(|| script::module_doc(name)).transpose()?;
    let operation = ops::OPS.iter().find(|spec| spec.name == name).map(page);
    let function = script::function_named(name).map(function_page);
    let module = module.map(|module| module.page(name));
    let pages: Vec<String> = operation.into_iter().chain(function).chain(module).collect();
    if !pages.is_empty() {
        return Ok(pages.join("\n"));
    }
    let known = ops::OPS.iter().map(|spec| spec.name).chain(script::FUNCTIONS.iter().map(|function| function.name));
    let known = known.chain(modules.iter().map(String::as_str));
    let error = Error::usage(format!("there is no operation, function or module `{name}`"));
    Err(match nearest(name, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`mk doc` lists all"),
    })
}

/// Everything that has a page, one line each.
fn list() -> Result<String> {
    let mut out = "Operations, as methods of a host:\n".to_owned();
    for spec in ops::OPS {
        let _ = writeln!(out, "  {:<16} {}", spec.name, summary(spec));
    }
    out += "\nFunctions:\n";
    for function in script::FUNCTIONS {
        let _ = writeln!(out, "  {:<16} {}", function.name, paragraph(function.doc));
    }
    out += "\nModules:\n";
    for module in script::modules() {
        let about = script::module_doc(&module)?.about;
        let _ = writeln!(out, "  {:<16} {}", format!("std/{module}"), paragraph(&about));
    }
    Ok(out)
}

/// A function's page, in Markdown.
fn function_page(function: &Function) -> String {
    let calls = function.calls.join("\n    ");
    format!("# {}\n\n    {calls}\n\n{}\n", function.name, function.doc)
}

/// The first paragraph of a text, in one line.
fn paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

/// The first paragraph of an operation's documentation.
fn summary(spec: &Spec) -> String {
    paragraph(&description(spec))
}

fn description(spec: &Spec) -> String {
    (spec.schema)().to_value()["description"].as_str().unwrap_or_default().to_owned()
}

/// An operation's page, in Markdown.
fn page(spec: &Spec) -> String {
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
    out += "\nEvery operation also takes:\n\n";
    for (name, doc) in run::COMMON {
        let _ = writeln!(out, "- `{name}`: {doc}");
    }
    out += "\n## Examples\n";
    for example in spec.examples {
        let _ = write!(out, "\n{}\n\n```rhai\n{}\n```\n", example.title, example.code);
    }
    out
}
