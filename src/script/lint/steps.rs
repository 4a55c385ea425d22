//! Calls of operations: their fields, and the values that are written out.

use std::collections::BTreeMap;
use std::rc::Rc;

use rhai::{Expr, Position};
use serde_json::{Map, Value};

use super::{Linter, Script, Surroundings};
use crate::control::source_of;
use crate::error::{Detail, Error, Place};
use crate::op::Spec;
use crate::ops::Parameter;
use crate::run::{CHANGED, FAILED, NOTIFY, RETRY, Retry, SECRET_ARGV, explained, is_common, unknown_field};
use crate::script::fault::place;
use crate::script::step::{CLOSURE_WANTED, NOTIFY_WANTS, as_here};
use crate::script::syntax::literal::{self, Fields};
use crate::script::syntax::word;

/// Each operation's parameters, asked for once.
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<&'static str, Rc<[Parameter]>>);

impl Parameters {
    fn of(&mut self, spec: &'static Spec) -> Rc<[Parameter]> {
        Rc::clone(self.0.entry(spec.name).or_insert_with(|| crate::ops::parameters(spec).into()))
    }
}

impl Linter {
    /// A call of an operation, or of `later` without the operation's name.
    pub(super) fn step(
        &mut self,
        script: &Script,
        spec: &'static Spec,
        args: &[Expr],
        at: Position,
        around: &Surroundings,
    ) {
        let before = self.findings.faults();
        let (subject, fields): (Option<&Expr>, Fields<'_>) = match args {
            [] => (None, &[]),
            [only] => match literal::fields(only) {
                Some(fields) => (None, fields),
                // What is computed may be the subject or the whole map.
                None if literal::value(only).is_none()
                    && !matches!(only, Expr::InterpolatedString(..) | Expr::Array(..)) =>
                {
                    return;
                }
                None => (Some(only), &[]),
            },
            [subject, rest, ..] => match literal::fields(rest) {
                Some(fields) => (Some(subject), fields),
                None => {
                    if literal::value(rest).is_some() {
                        let error =
                            Error::playbook(format!("{}: parameters after the subject stand in a map", spec.name))
                                .hint(format!(
                                    "`host.{}(SUBJECT, #{{ … }})`; `mk doc {}` lists them",
                                    spec.name, spec.name
                                ));
                        self.findings.report(error, place(Some(&script.name), rest.position()));
                    }
                    return;
                }
            },
        };
        let parameters = self.parameters.of(spec);
        let mut given = Map::new();
        let mut certain = true;
        let mut one = |linter: &mut Self, name: &str, value: &Expr, at: Place| match literal::value(value) {
            None => certain = false,
            Some(Value::Null) => {}
            Some(value) => {
                if let Err(error) = (spec.shape)(Value::Object(Map::from_iter([(name.to_owned(), value.clone())]))) {
                    linter.findings.report(explained(error, spec.name), at);
                }
                given.insert(name.to_owned(), value);
            }
        };
        for (key, value) in fields {
            let name = key.name.as_str();
            let at = word(&script.name, key.pos, name);
            if parameters.iter().any(|p| p.name == name) {
                one(self, name, value, at);
            } else if is_common(name) {
                self.common(script, spec, name, value);
            } else {
                self.findings.report(as_here(unknown_field(spec, name)), at);
            }
        }
        if let Some(subject) = subject {
            let at = place(Some(&script.name), subject.start_position());
            one(self, spec.subject, subject, at);
        }
        let is_given =
            |name: &str| subject.is_some() && name == spec.subject || fields.iter().any(|(key, _)| key.name == name);
        for parameter in parameters.iter().filter(|p| p.required && !is_given(&p.name)) {
            let error = Error::playbook(format!("{}: missing field `{}`", spec.name, parameter.name))
                .hint(format!("`mk doc {}` lists its parameters", spec.name));
            self.findings.report(error, place(Some(&script.name), at));
        }
        if !certain && self.findings.faults() == before {
            self.relative(script, spec, &given, subject, at);
        }
        // Whether the values go together can only be told when all of them are known.
        if certain
            && self.findings.faults() == before
            && let Err(error) = (spec.check)(Value::Object(given))
        {
            self.findings.report(explained(error, spec.name), place(Some(&script.name), at));
        }
        if let Some(source) = source_of(spec.name)
            && let Some(Expr::StringConstant(src, at)) = literal::field(fields, source)
        {
            let found = self.source(script, src, *at, around);
            if let (Some(found), "template") = (found, spec.name) {
                self.templates.look(&mut self.findings, &found, literal::field(fields, "vars"), around);
            }
        }
    }

    /// A parameter that every operation takes.
    fn common(&mut self, script: &Script, spec: &Spec, name: &str, value: &Expr) {
        if name == SECRET_ARGV && literal::value(value) == Some(Value::Bool(true)) {
            let at = word(&script.name, value.start_position(), "true");
            let error = Error::playbook(format!("{}: every user of the host can read the secret in its arguments", spec.name))
                .hint("`stdin`, or a file that `copy` writes with `mode: \"0600\"`, keeps it; this is for programs that can do no other");
            self.findings.warn(error, at);
        }
        // What is written out is neither a step nor a closure; a list may hold steps.
        if [NOTIFY, CHANGED, FAILED].contains(&name)
            && let Some(given) = literal::value(value).filter(|given| !given.is_null() && !given.is_array())
        {
            let what = if name == NOTIFY { NOTIFY_WANTS } else { CLOSURE_WANTED };
            let error = Error::parameter(name, format!("{what}, and here it is `{given}`")).named(spec.name);
            let error = match name == NOTIFY {
                true => error.hint("`later(\"service\", \"NAME\", #{ action: \"restart\" })` makes one"),
                false => error,
            };
            self.findings.report(error, place(Some(&script.name), value.start_position()));
        }
        if name == RETRY {
            self.retry(script, spec, value);
        }
    }

    /// Field by field where the map is written out: what is computed is only known by its name.
    fn retry(&mut self, script: &Script, spec: &Spec, value: &Expr) {
        let Some(fields) = literal::fields(value) else {
            if let Some(Err(error)) =
                literal::value(value).filter(|value| !value.is_null()).map(|value| Retry::of(&value))
            {
                self.findings.report(error.named(spec.name), place(Some(&script.name), value.start_position()));
            }
            return;
        };
        for (key, value) in fields {
            if let Err((_, error)) = Retry::read([(key.name.as_str(), literal::value(value))].into_iter()) {
                self.findings.report(error.named(spec.name), word(&script.name, key.pos, &key.name));
            }
        }
    }

    /// A subject that would be right if it were an absolute path, where not all of its values are known.
    fn relative(
        &mut self,
        script: &Script,
        spec: &Spec,
        given: &Map<String, Value>,
        subject: Option<&Expr>,
        at: Position,
    ) {
        let Some(Value::String(path)) = given.get(spec.subject).filter(|_| subject.is_some()) else { return };
        let error = |path: &str| {
            let error = (spec.check)(Value::Object(Map::from_iter([(spec.subject.to_owned(), path.into())]))).err()?;
            (error.detail().and_then(Detail::field) == Some(spec.subject)).then_some(error)
        };
        if let Some(wrong) = error(path).filter(|_| error(&format!("/{path}")).is_none()) {
            let at = subject.map_or(at, Expr::start_position);
            self.findings.report(wrong, place(Some(&script.name), at));
        }
    }
}
