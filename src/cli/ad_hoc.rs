//! `mk do`: one operation, no playbook.

use std::process::ExitCode;

use serde_json::{Map, Value};

use super::args::Do;
use super::exit::of_run;
use super::setup;
use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::event::What;
use crate::inventory::parse_extra;
use crate::ops;
use crate::script::{self, Settings};

/// Runs one operation on the hosts of a pattern, and prints what it returned.
pub(super) fn run(args: &Do) -> Result<ExitCode> {
    let spec = ops::find(&args.op).map_err(|e| e.as_kind(crate::error::Kind::Usage))?;
    let parameters = parameters(spec, &args.args)?;
    let folder = std::env::current_dir().unwrap_or_default();
    let ready = setup::world(&folder, &args.common, &args.connecting, Settings::default(), None)?;
    let world = std::sync::Arc::clone(&ready.world);
    let mut names: Vec<String> = match args.pattern.as_str() {
        "local" if world.inventory.host("local").is_err() => vec!["local".to_owned()],
        pattern => world.inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect(),
    };
    names.dedup();
    world.events.tell(What::RunStarted {
        playbook: format!("do {}", args.op),
        inventory: world.inventory.file().display().to_string(),
        mode: world.fleet.mode(),
    });
    let next = std::sync::Mutex::new(names.into_iter());
    let faults = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..world.fleet.forks() {
            scope.spawn(|| {
                loop {
                    let host = next.lock().ok().and_then(|mut names| names.next());
                    let Some(host) = host else { return };
                    match script::ad_hoc(&world, &host, spec.name, parameters.clone(), &folder) {
                        Ok(outcome) => show(&world, &host, &outcome),
                        Err(error) => {
                            world.fail(&host, &error);
                            faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error);
                        }
                    }
                }
            });
        }
    });
    world.events.tell(What::RunDone { error: None });
    let checked = args.connecting.check && args.connecting.exit_code;
    drop(world);
    let recap = ready.end();
    let faults = faults.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for fault in faults.iter().filter(|fault| fault.step_name().is_none()) {
        eprintln!("{}", crate::report::render_fault(fault, crate::report::Look::plain()));
    }
    Ok(ExitCode::from(of_run(faults.iter(), checked && recap.total().changed > 0)))
}

/// What the operation returned is the result of `mk do`, so it is said.
fn show(world: &std::sync::Arc<script::World>, host: &str, outcome: &Outcome) {
    let text = |name: &str| outcome.values.get(name).and_then(Value::as_str).unwrap_or_default().trim_end().to_owned();
    let said = if outcome.values.contains_key("stdout") {
        [text("stdout"), text("stderr")].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n")
    } else if outcome.status == crate::change::Status::Read {
        serde_json::to_string_pretty(&outcome.values).unwrap_or_default()
    } else {
        String::new()
    };
    if !said.is_empty() {
        world.events.tell(What::Said { host: Some(host.to_owned()), warning: false, text: said });
    }
}

/// Subject first, then `KEY=VALUE`. For operations whose subject is a list of words, all words are the subject.
fn parameters(spec: &ops::Spec, words: &[String]) -> Result<Map<String, Value>> {
    let mut parameters = Map::new();
    let listed = ops::parameters(spec).iter().any(|p| p.name == spec.subject && p.kind == "array of string");
    let known: Vec<String> = ops::parameters(spec).into_iter().map(|p| p.name).collect();
    let is_parameter =
        |word: &String| word.split_once('=').is_some_and(|(key, _)| known.iter().any(|name| name == key));
    let (named, subject): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| is_parameter(word));
    match subject.as_slice() {
        [] => {}
        words if listed => {
            let words = words.iter().map(|word| Value::from(word.as_str())).collect::<Vec<_>>();
            parameters.insert(spec.subject.to_owned(), Value::from(words));
        }
        [one] => {
            parameters.insert(spec.subject.to_owned(), Value::from(one.as_str()));
        }
        [_, second, ..] => {
            return Err(Error::usage(format!(
                "`{second}` is neither KEY=VALUE nor the only subject of `{}`",
                spec.name
            ))
            .hint(format!("`mk doc {}` lists its parameters", spec.name)));
        }
    }
    for word in named {
        for variable in parse_extra(word)? {
            parameters.insert(variable.key, variable.value);
        }
    }
    Ok(parameters)
}
