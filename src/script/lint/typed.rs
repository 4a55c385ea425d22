//! What is asked of values whose kind is known: fields of hosts, facts and outcomes, variables of the inventory; and what
//! a closure that runs for hosts writes to.

use rhai::{ASTNode, Expr, Position, Stmt};

use super::holds::{Group, Kind, first_method, groups, root, variable, writes};
use super::{Linter, Script, Surroundings};
use crate::error::{Error, nearest};
use crate::script::closure::wrote_to;
use crate::script::fault::place;
use crate::script::syntax::{literal, quoted, word};
use crate::script::{host, outcome};

/// What is looked at when a body was walked through.
type Later<'a> = Box<dyn FnOnce(&mut Linter) + 'a>;

impl Linter {
    /// Reads a script whose calls were read.
    pub(super) fn typed(&mut self, script: &Script, around: &Surroundings) {
        for group in groups(&script.ast) {
            for (body, captured) in &group.bodies {
                let mut found: Vec<Later<'_>> = Vec::new();
                let own: Vec<String> = lets(body);
                crate::script::syntax::walk(body, &mut |path| {
                    let Some(node) = path.last() else { return };
                    let written = match node {
                        ASTNode::Stmt(Stmt::Assignment(parts)) => {
                            root(&parts.1.lhs).map(|name| (name, parts.1.lhs.start_position()))
                        }
                        ASTNode::Expr(whole @ Expr::Dot(..)) if first_method(whole).is_some_and(writes) => {
                            root(whole).map(|name| (name, whole.start_position()))
                        }
                        _ => None,
                    };
                    if let Some((name, at)) = written
                        && captured.contains(name)
                        && !own.iter().any(|one| one == name)
                    {
                        let (error, at) = (wrote_to(&format!("`{name}`")), place(Some(&script.name), at));
                        found.push(Box::new(move |linter| linter.findings.report(error, at)));
                    }
                    if let ASTNode::Expr(Expr::Dot(parts, ..)) = node
                        // A chain is read from its begin, once.
                        && !is_rest(path)
                        && let Some(of) = group.kind(&parts.lhs)
                    {
                        let rest = parts.rhs.clone();
                        found.push(Box::new(move |linter| linter.chain(script, of, &rest, around)));
                    }
                    if let Some((spec, args, at)) = held_map(&group, node) {
                        found.push(Box::new(move |linter| linter.step(script, spec, &args, at, around)));
                    }
                });
                found.into_iter().for_each(|found| found(self));
            }
        }
    }

    /// Follows what is asked of a value.
    fn chain(&mut self, script: &Script, of: Kind, rest: &Expr, around: &Surroundings) {
        let (first, then) = match rest {
            Expr::Dot(parts, ..) => (&parts.lhs, Some(&parts.rhs)),
            Expr::Index(parts, ..) => (&parts.lhs, None),
            other => (other, None),
        };
        let next = match (first, of) {
            (Expr::Property(property, at), of) => self.property(script, of, &property.2, *at, around),
            (Expr::MethodCall(call, _), Kind::Host) => match (call.name.as_str(), call.args.as_slice()) {
                ("get", [Expr::StringConstant(name, at)]) => {
                    self.host_variable(name, quoted(&script.name, *at, name), around);
                    None
                }
                ("as_user", _) => Some(Kind::Host),
                (name, _) => crate::ops::find(name).ok().map(Kind::Outcome),
            },
            _ => None,
        };
        if let (Some(next), Some(then)) = (next, then) {
            self.chain(script, next, then, around);
        }
    }

    fn property(&mut self, script: &Script, of: Kind, name: &str, at: Position, around: &Surroundings) -> Option<Kind> {
        let place = word(&script.name, at, name);
        let wrong = match of {
            Kind::Host => match name {
                "vars" => return Some(Kind::Vars),
                "facts" => return Some(Kind::Facts),
                name if host::FIELDS.contains(&name) => return None,
                _ => host::has_no(name),
            },
            Kind::Vars => {
                self.host_variable(name, place, around);
                return None;
            }
            Kind::Facts => outcome::has_no(crate::ops::find("facts").ok()?, name)?,
            Kind::Outcome(spec) => outcome::has_no(spec, name)?,
            Kind::Map(_) => return None,
        };
        self.findings.report(wrong, place);
        None
    }

    /// A variable that some host must have. One that a script learns is known when all are read.
    fn host_variable(&mut self, name: &str, at: crate::error::Place, around: &Surroundings) {
        let Some(inventory) = &around.inventory else { return };
        if inventory.vars_of_all().contains_key(name) || inventory.hosts().iter().any(|host| host.var(name).is_some()) {
            return;
        }
        let mut known = Vec::new();
        for host in inventory.hosts() {
            known.extend(host.vars().into_iter().map(|(key, _)| key));
        }
        let error = Error::playbook(format!("no host has a variable `{name}`"));
        let error = error.suggest_or(name, known.iter().map(String::as_str), "`mk vars HOST` lists its variables");
        self.unknown_variables.push((name.to_owned(), error, at));
    }

    /// The name of a variable that holds for every host.
    pub(super) fn variable_of_all(&mut self, script: &Script, name: &str, at: Position, around: &Surroundings) {
        let Some(inventory) = &around.inventory else { return };
        let known = inventory.vars_of_all();
        // One that an inventory need not have is asked for under a condition, so only what looks like a slip is told.
        if !known.contains_key(name) && nearest(name, known.keys().map(String::as_str)).is_some() {
            let error = Error::playbook(format!("there is no variable `{name}` that holds for every host"));
            let error =
                error.suggest_or(name, known.keys().map(String::as_str), "`vars(name, otherwise)` gives another value");
            self.unknown_variables.push((name.to_owned(), error, quoted(&script.name, at, name)));
        }
    }
}

/// Whether a chain is the rest of another.
fn is_rest(path: &[ASTNode<'_>]) -> bool {
    let [.., ASTNode::Expr(Expr::Dot(around, ..)), ASTNode::Expr(node)] = path else { return false };
    std::ptr::eq(*node, &raw const around.rhs)
}

/// The names that a body gives values to itself.
fn lets(body: &[Stmt]) -> Vec<String> {
    let mut names = Vec::new();
    crate::script::syntax::walk(body, &mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Var(parts, ..))) = path.last() {
            names.push(parts.0.name.to_string());
        }
    });
    names
}

/// A call of an operation with a map that a variable holds, as if it stood there.
fn held_map(group: &Group, node: &ASTNode<'_>) -> Option<(&'static crate::op::Spec, Vec<Expr>, Position)> {
    let ASTNode::Expr(Expr::MethodCall(call, at)) = node else { return None };
    let spec = crate::ops::find(&call.name).ok()?;
    let (last, before) = call.args.split_last()?;
    let Some(Kind::Map(map)) = group.variable(variable(last)?) else { return None };
    literal::fields(map)?;
    Some((spec, before.iter().cloned().chain([(**map).clone()]).collect(), *at))
}
