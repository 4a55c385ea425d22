//! `mk do`: one operation, no playbook.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::{Map, Value};

use super::args::{Common, Connecting};
use super::hosts;
use super::out;
use super::setup::{self, Telling};
use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::inventory::parse_extra;
use crate::ops;
use crate::run::{self, Settings};
use crate::trust::Guard;

/// Run one operation on hosts, without a playbook.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The hosts, as a pattern.
    pattern: String,
    /// The operation.
    op: String,
    /// Its subject, and parameters as KEY=VALUE with VALUE in YAML.
    args: Vec<String>,
    /// After `--`: words that are the subject as they stand, such as those of a command.
    #[arg(last = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connecting: Connecting,
}

/// Runs one operation on the hosts of a pattern, and prints what it returned.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let spec = ops::find(&args.op).map_err(|e| e.as_kind(crate::error::Kind::Usage))?;
    let parameters = parameters(spec, &args.args, &args.words)?;
    let folder = std::env::current_dir().unwrap_or_default();
    let telling = Telling { aside: true, ..Telling::default() };
    let ready = setup::ready(&folder, &args.common, &args.connecting, Settings::default(), None, telling)?;
    let run = Arc::clone(&ready.run);
    let names = hosts::named(&run, &args.pattern)?;
    let several = names.len() > 1;
    let work = |host: &str| {
        let outcome = run::ad_hoc(&run, host, spec.name, parameters.clone(), &folder)?;
        if !args.connecting.json {
            let (result, talk) = said(&outcome);
            let shown = |text: &str| of_host(&run.control.secrets.mask(text), host, several);
            out::data(&shown(&result), &shown(&talk));
        }
        Ok(())
    };
    let faults = run::on_each(&run, &format!("do {}", args.op), names, work, run::flush_earlier);
    drop(run);
    let checked = args.connecting.check && args.connecting.exit_code;
    Ok(hosts::finished(ready, &faults, |recap| checked && recap.total().changed > 0))
}

/// A text as it is; where several hosts speak, each line with its host.
fn of_host(text: &str, host: &str, several: bool) -> String {
    let line = |mut out: String, line: &str| {
        out.push_str(&format!("{host:<14} {line}\n"));
        out
    };
    if several { text.lines().fold(String::new(), line) } else { text.to_owned() }
}

/// What the operation returned, and what its command complained.
fn said(outcome: &Outcome) -> (String, String) {
    let text = |name: &str| {
        let text = outcome.values.get(name).and_then(Value::as_str).unwrap_or_default();
        if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
    };
    if outcome.values.contains_key("stdout") {
        return (text("stdout"), text("stderr"));
    }
    if outcome.status == crate::change::Status::Read {
        let values = Value::Object(outcome.values.clone());
        return (format!("{values:#}\n"), String::new());
    }
    (String::new(), String::new())
}

/// Subject first, then `KEY=VALUE`. For operations whose subject is a list of words, all words are the subject.
///
/// Words after `--` are the subject whatever they look like; for an operation whose subject is one text, such as
/// a line for the shell, they are joined.
fn parameters(spec: &ops::Spec, words: &[String], rest: &[String]) -> Result<Map<String, Value>> {
    let mut parameters = Map::new();
    let listed = ops::parameters(spec).iter().any(|p| p.name == spec.subject && p.kind == "array of string");
    let known: Vec<String> = ops::parameters(spec).into_iter().map(|p| p.name).collect();
    let is_parameter =
        |word: &String| word.split_once('=').is_some_and(|(key, _)| known.iter().any(|name| name == key));
    let (named, mut subject): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| is_parameter(word));
    let joined = rest.join(" ");
    match listed {
        true => subject.extend(rest),
        false if rest.is_empty() => {}
        false => subject.push(&joined),
    }
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
        for variable in parse_extra(word, &Guard::default())? {
            parameters.insert(variable.key, variable.value);
        }
    }
    Ok(parameters)
}
