//! Calls: whether there is such a function, and whether it takes that many values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rhai::{Expr, FnCallExpr, Namespace, Position};

use super::{Defined, Linter, Script, Surroundings};
use crate::control::{Base, Found};
use crate::error::{Error, Place, nearest};
use crate::op::HumanDuration;
use crate::script::fault::place;
use crate::script::syntax::{is_closure, literal, quoted, word};

/// What the language handles itself, with any number of values.
const SPECIAL: [&str; 10] =
    ["Fn", "call", "curry", "type_of", "is_def_fn", "is_def_var", "is_shared", "print", "debug", "eval"];

/// What can be called without an import, and how many values each takes.
pub(super) struct Known(BTreeMap<&'static str, BTreeSet<usize>>);

impl Known {
    pub(super) fn new() -> Self {
        let mut known: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
        for (name, count) in super::super::functions::callable() {
            known.entry(name).or_default().insert(count);
        }
        Self(known)
    }
}

impl Linter {
    /// A call without an object in front.
    pub(super) fn function(&mut self, script: &Script, call: &FnCallExpr, at: Position, around: &Surroundings) {
        let (name, count) = (call.name.as_str(), call.args.len());
        if call.is_operator_call() || SPECIAL.contains(&name) || is_closure(name) {
            return;
        }
        if !call.namespace.path.is_empty() {
            self.qualified(script, &call.namespace, name, count, at);
            return;
        }
        let own: Vec<usize> = script.functions.iter().filter(|f| f.name == name).map(|f| f.parameters).collect();
        if own.contains(&count) {
            return;
        }
        let native = self.known.0.get(name);
        if native.is_some_and(|counts| counts.contains(&count)) {
            if let Ok(spec) = crate::ops::find(name) {
                // A host is never written out.
                if literal::value(&call.args[0]).is_some() || matches!(call.args[0], Expr::InterpolatedString(..)) {
                    let error = Error::playbook(format!("`{name}` is called without a host"));
                    let error = error.hint(format!("an operation is a method of a host: `host.{name}(…)`"));
                    self.findings.report(error, word(&script.name, at, name));
                } else {
                    self.step(script, spec, &call.args[1..], at, around);
                }
            } else {
                self.global(script, name, &call.args, around);
            }
            return;
        }
        let counts: BTreeSet<usize> = own.into_iter().chain(native.into_iter().flatten().copied()).collect();
        let error =
            if counts.is_empty() { unknown(name, &script.functions) } else { wrong_count(name, &counts, count) };
        self.findings.report(error, word(&script.name, at, name));
    }

    /// A call with an object in front. Which object is not known, so any function that could be meant will do.
    pub(super) fn method(&mut self, script: &Script, call: &FnCallExpr, at: Position, around: &Surroundings) {
        let (name, count) = (call.name.as_str(), call.args.len());
        if let ("learn", Some(Expr::StringConstant(learned, _))) = (name, call.args.first()) {
            self.learned.insert(learned.to_string());
        }
        if SPECIAL.contains(&name) || script.keys.contains(name) && crate::ops::find(name).is_err() {
            return;
        }
        // A script's own function has the object as `this`, beside its parameters.
        let own: Vec<usize> = script.functions.iter().filter(|f| f.name == name).map(|f| f.parameters).collect();
        if own.contains(&count) {
            return;
        }
        let native: BTreeSet<usize> =
            self.known.0.get(name).into_iter().flatten().filter_map(|counts| counts.checked_sub(1)).collect();
        if native.contains(&count) {
            if let Ok(spec) = crate::ops::find(name) {
                self.step(script, spec, &call.args, at, around);
            }
            return;
        }
        let counts: BTreeSet<usize> = own.into_iter().chain(native).collect();
        let error =
            if counts.is_empty() { unknown(name, &script.functions) } else { wrong_count(name, &counts, count) };
        self.findings.report(error, word(&script.name, at, name));
    }

    /// A call of a module's function.
    fn qualified(&mut self, script: &Script, path: &Namespace, name: &str, count: usize, at: Position) {
        let alias = path.path.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("::");
        let place = word(&script.name, at, name);
        let Some(module) = module(script, path) else { return };
        let same: Vec<&Defined> = module.functions.iter().filter(|f| f.name == name).collect();
        let public: BTreeSet<usize> = same.iter().filter(|f| !f.private).map(|f| f.parameters).collect();
        let full = format!("{alias}::{name}");
        let error = if public.contains(&count) {
            return;
        } else if !public.is_empty() {
            wrong_count(&full, &public, count)
        } else if same.is_empty() {
            let known = module.functions.iter().filter(|f| !f.private).map(|f| f.name.as_str());
            let error = Error::playbook(format!("there is no function `{full}`"));
            match nearest(name, known) {
                Some(near) => error.hint(format!("did you mean `{alias}::{near}`?")),
                None => error.hint(format!("`mk doc std/{}` lists what the module has", stem(&module.name))),
            }
        } else {
            Error::playbook(format!("`{full}` is private to its module"))
        };
        self.findings.report(error, place);
    }

    /// A variable of a module.
    pub(super) fn variable(&mut self, script: &Script, path: &Namespace, name: &str, at: Position) {
        if path.path.is_empty() {
            return;
        }
        let alias = path.path.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("::");
        let Some(module) = module(script, path).filter(|module| !module.exports.contains(name)) else { return };
        let error = Error::playbook(format!("there is no variable `{alias}::{name}`"));
        let error = match nearest(name, module.exports.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{alias}::{near}`?")),
            None => error.hint(format!("a module gives what it exports: `export const {name} = …;`")),
        };
        self.findings.report(error, word(&script.name, at, name));
    }

    /// What can be told of the values that mk's own functions are given.
    fn global(&mut self, script: &Script, name: &str, args: &[Expr], around: &Surroundings) {
        match (name, args) {
            ("on" | "hosts" | "run_once", [hosts, rest @ ..]) => {
                self.pattern(script, hosts, around);
                if let ("on", [options, _]) = (name, rest) {
                    self.options(script, options, "on", super::super::on::option);
                }
            }
            ("ca", [_, wish]) => self.options(script, wish, "ca", super::super::credentials::wish),
            ("host", [Expr::StringConstant(host, at)]) => {
                let found = around.inventory.as_ref().map(|inventory| inventory.host(host).map(drop));
                if let Some(Err(error)) = found {
                    self.findings.absent(error, quoted(&script.name, *at, host));
                }
            }
            ("later", [Expr::StringConstant(op, at), rest @ ..]) => match crate::ops::find(op) {
                Ok(spec) => self.step(script, spec, rest, *at, around),
                Err(error) => self.findings.report(error, quoted(&script.name, *at, op)),
            },
            ("file_text", [Expr::StringConstant(src, at)]) => {
                self.source(script, src, *at, around);
            }
            ("vars", [Expr::StringConstant(name, at)]) => self.variable_of_all(script, name, *at, around),
            ("secret", [Expr::StringConstant(from, at)]) => {
                if let Some(file) = crate::control::secret_file(from) {
                    let found = around.sources.find(&Base::of(&script.name), Path::new(file));
                    drop(found.map_err(|error| self.findings.absent(error, quoted(&script.name, *at, from))));
                }
            }
            ("sleep", [length]) => {
                let wrong =
                    literal::value(length).and_then(|value| serde_json::from_value::<HumanDuration>(value).err());
                if let Some(wrong) = wrong {
                    let at = place(Some(&script.name), length.start_position());
                    self.findings.report(Error::playbook(format!("sleep: {wrong}")), at);
                }
            }
            ("play", [Expr::StringConstant(path, at)]) => {
                if let Some(found) = self.source(script, path, *at, around) {
                    self.load(&found, around);
                }
            }
            _ => {}
        }
    }

    /// A file that a script names.
    pub(super) fn source(&mut self, script: &Script, src: &str, at: Position, around: &Surroundings) -> Option<Found> {
        let found = around.sources.find(&Base::of(&script.name), Path::new(src));
        found.map_err(|error| self.findings.absent(error, quoted(&script.name, at, src))).ok()
    }

    /// Hosts, where they are written out.
    fn pattern(&mut self, script: &Script, hosts: &Expr, around: &Surroundings) {
        let Some(inventory) = &around.inventory else { return };
        match hosts {
            Expr::StringConstant(pattern, at) => {
                if let Err(error) = inventory.select(pattern) {
                    self.findings.absent(error, quoted(&script.name, *at, pattern));
                }
            }
            Expr::Array(items, _) => items.iter().for_each(|item| self.pattern(script, item, around)),
            _ => {}
        }
    }

    /// A map of options, field by field: `check` says what is wrong with one.
    fn options(&mut self, script: &Script, map: &Expr, of: &str, check: fn(&str, serde_json::Value) -> Option<Error>) {
        for (key, value) in literal::fields(map).into_iter().flatten() {
            // What is computed is only known by its name.
            let given = literal::value(value).unwrap_or_default();
            if let Some(error) = check(&key.name, given) {
                let place: Place = word(&script.name, key.pos, &key.name);
                self.findings.report(crate::run::explained(error, of), place);
            }
        }
    }
}

/// The module that a path leads to; `None` for the script itself, and for what cannot be read.
pub(super) fn module<'a>(script: &'a Script, path: &Namespace) -> Option<&'a Script> {
    path.path.iter().try_fold(script, |script, part| script.imports.get(part.name.as_str())?.as_deref())
}

fn stem(file: &str) -> String {
    let file = file.strip_prefix("stdlib:").unwrap_or(file);
    Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn unknown(name: &str, own: &[Defined]) -> Error {
    let error = Error::playbook(format!("there is no function `{name}`"));
    let own = own.iter().map(|f| f.name.as_str()).filter(|name| !is_closure(name));
    let known: Vec<&str> = super::super::functions::names().collect();
    error.suggest(name, known.into_iter().chain(own))
}

fn wrong_count(name: &str, takes: &BTreeSet<usize>, count: usize) -> Error {
    let shown = takes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let s = if shown == "1" { "" } else { "s" };
    let error = Error::playbook(format!("`{name}` takes {shown} value{s}, not {count}"));
    let operation = crate::ops::find(name).is_ok();
    let error = if operation { crate::script::habits::call(error, name, &["Host"]) } else { error };
    let documented = super::super::functions::function_named(name).is_some() || operation;
    if documented { error.hint(format!("`mk doc {name}` tells what it takes")) } else { error }
}
