//! Closures that run in another module than they were written in, where their names mean something else.
//!
//! Rhai looks for what a closure calls first in the module whose function runs it, even among that module's private
//! functions, and only then where the closure was written.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::calls::module;
use super::findings::Findings;
use super::{Defined, Script};
use crate::error::Error;
use crate::script::syntax::{bodies, closure, walk, word};

/// A call of a module's function, with closures among its arguments.
pub(super) fn handed_over(found: &mut Findings, script: &Script, call: &FnCallExpr) {
    if call.namespace.path.is_empty() {
        return;
    }
    let Some(runs) = module(script, &call.namespace) else { return };
    for closure in call.args.iter().filter_map(closure) {
        for (name, count, at) in own_calls(script, &closure) {
            if !runs.functions.iter().any(|other| other.name == name && other.parameters == count) {
                continue;
            }
            let alias = call.namespace.path.last().map_or("", |part| part.name.as_str());
            let error =
                Error::playbook(format!("`{name}` would be that of the module `{alias}`, which runs this closure"))
                    .because("what a closure calls is looked for first in the module that runs it, be it private there")
                    .hint("give one of the two another name");
            found.report(error, word(&script.name, at, &name));
        }
    }
}

/// What a closure, with those inside of it, calls of the functions of its own script: each with its number of values,
/// and where.
fn own_calls(script: &Script, outer: &str) -> BTreeSet<(String, usize, Position)> {
    let bodies = bodies(&script.ast);
    let mut calls: BTreeMap<&str, BTreeSet<(String, usize, Position)>> = BTreeMap::new();
    let mut inside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (owner, body) in &bodies {
        walk(body, &mut |path| match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                let same = |own: &&Defined| own.name == call.name.as_str() && own.parameters == call.args.len();
                if call.namespace.path.is_empty() && script.functions.iter().any(|own| same(&own)) {
                    calls.entry(*owner).or_default().insert((call.name.to_string(), call.args.len(), *at));
                }
            }
            Some(ASTNode::Expr(expression)) => inside.entry(*owner).or_default().extend(closure(expression)),
            _ => {}
        });
    }
    let (mut found, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![outer]);
    while let Some(name) = left.pop() {
        if seen.insert(name) {
            found.extend(calls.remove(name).unwrap_or_default());
            left.extend(inside.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    found
}
