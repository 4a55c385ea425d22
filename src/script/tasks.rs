//! The tasks that stand in scripts, and which functions and closures lead to them: a task that `--tags` does not name is
//! gone through only where one may be inside that it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use rhai::{AST, ASTNode, Expr, FnCallExpr};

use super::syntax::{bodies, call_of, closure, walk};
use crate::run::Selection;

type Names = BTreeSet<String>;

/// What is known of all scripts that a run has read.
#[derive(Default)]
pub(super) struct Tasks(RwLock<BTreeMap<String, Body>>);

/// What stands in the functions of one name.
#[derive(Default)]
struct Body {
    /// The tasks whose names are written out.
    tasks: Names,
    /// Whether there are others.
    computed: bool,
    /// The functions and closures that it leads to.
    leads: Names,
}

impl Tasks {
    /// Reads a script before it runs.
    pub(super) fn read(&self, ast: &AST, selection: &Selection) {
        let mut all = Body::default();
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            path.last().and_then(call_of).into_iter().for_each(|call| all.add(call));
            true
        });
        selection.know(all.tasks);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (name, statements) in bodies(ast) {
            let body = known.entry(name.to_owned()).or_default();
            walk(&statements, &mut |path| {
                path.last().and_then(call_of).into_iter().for_each(|call| body.add(call));
                if let Some(ASTNode::Expr(expression)) = path.last() {
                    body.leads.extend(closure(expression));
                }
            });
        }
    }

    /// Whether a function or closure may lead to a task that is wanted.
    pub(super) fn may_hold(&self, function: &str, selection: &Selection) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut seen, mut left) = (BTreeSet::new(), vec![function]);
        while let Some(name) = left.pop() {
            let Some(body) = known.get(name).filter(|_| seen.insert(name)) else { continue };
            if body.tasks.iter().any(|task| selection.may_want(task)) || body.computed && selection.has_unknown() {
                return true;
            }
            left.extend(body.leads.iter().map(String::as_str));
        }
        false
    }
}

impl Body {
    fn add(&mut self, call: &FnCallExpr) {
        self.leads.insert(call.name.to_string());
        match (call.name.as_str(), call.args.first()) {
            ("task", Some(Expr::StringConstant(name, _))) => drop(self.tasks.insert(name.to_string())),
            ("task", _) => self.computed = true,
            ("Fn", Some(Expr::StringConstant(name, _))) => drop(self.leads.insert(name.to_string())),
            _ => {}
        }
    }
}
