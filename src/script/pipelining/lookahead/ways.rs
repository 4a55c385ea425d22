//! The ways from one step to the next in a script's text.

use std::collections::{BTreeMap, HashMap};

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::{Names, Step, Values, add};
use crate::script::functions::{Effect, function_named};
use crate::script::syntax::{bodies, call_of, closure, is_closure, walk};

/// What is found in one script.
#[derive(Default)]
pub(super) struct Script {
    pub(super) steps: HashMap<Position, Step>,
    pub(super) calls: BTreeMap<String, Names>,
    pub(super) tried: Names,
    pub(super) values: Values,
    pub(super) functions: Names,
    /// The names of its maps' fields: what is kept there may be called like a method.
    pub(super) fields: Names,
}

impl Script {
    pub(super) fn read(ast: &AST, main: bool) -> Self {
        let mut script = Self::default();
        let mut closed = Names::new();
        script.functions.extend(ast.iter_fn_def().map(|function| function.name.to_string()));
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            let call = match path.last() {
                Some(ASTNode::Expr(Expr::Map(fields, _))) => {
                    script.fields.extend(fields.0.iter().map(|(key, _)| key.name.to_string()));
                    return true;
                }
                Some(node) => call_of(node),
                None => None,
            };
            let Some(call) = call else { return true };
            if effect(&call.name) == Some(Effect::Closes) && call.namespace.is_empty() {
                closed.extend(call.args.iter().filter_map(closure));
            }
            if call.name == "Fn" {
                script.tried.extend(call.args.iter().filter_map(text));
            }
            if path.iter().any(|around| matches!(around, ASTNode::Stmt(Stmt::TryCatch(..)))) {
                script.tried.insert(call.name.to_string());
            }
            true
        });
        for (name, body) in bodies(ast) {
            let name = name.to_owned();
            script.calls.entry(name.clone()).or_default().extend(called(&body));
            let closes = closed.contains(&name);
            let named = !is_closure(&name);
            if !named && !closes {
                // Whoever is given this closure may call it inside of a `try`.
                script.tried.extend(called(&body));
            }
            if named {
                let mut needs = Names::new();
                let only = script.only_values(&body, true, &mut needs).then_some(needs);
                add(&mut script.values, name.clone(), only);
            }
            if closes || named {
                script.block(&body, (!closes).then_some(&name), true, Some(&Names::new()).filter(|_| closes));
            }
        }
        if main {
            script.block(ast.statements(), None, true, Some(&Names::new()));
        }
        script
    }

    /// Finds the steps of a block that may wait. `sent` are the functions that are called from its end until what
    /// waits is sent for certain, `None` where it is not; `gives` says whether the block's last value is used.
    fn block(&mut self, statements: &[Stmt], function: Option<&String>, gives: bool, sent: Option<&Names>) {
        for (index, statement) in statements.iter().enumerate() {
            let rest = &statements[index + 1..];
            let gives = gives && rest.iter().all(|statement| matches!(statement, Stmt::Noop(_)));
            let sent = self.leads_to_step(rest, sent);
            match statement {
                Stmt::Expr(value) if !gives => self.may_wait(value, function, sent),
                Stmt::Var(parts, ..) => self.may_wait(&parts.1, function, sent),
                Stmt::If(flow, _) => {
                    self.block(flow.body.statements(), function, gives, sent.as_ref());
                    self.block(flow.branch.statements(), function, gives, sent.as_ref());
                }
                Stmt::For(parts, _) => {
                    let body = parts.2.body.statements();
                    let again = self.leads_to_step(body, sent.as_ref()).zip(sent).map(|(a, b)| &a | &b);
                    self.block(body, function, false, again.as_ref());
                }
                Stmt::Block(block) => self.block(block.statements(), function, gives, sent.as_ref()),
                _ => {}
            }
        }
    }

    fn may_wait(&mut self, value: &Expr, function: Option<&String>, sent: Option<Names>) {
        // Its own parameters are worked out before it waits, so whatever these call is no matter.
        if let Some(needs) = sent
            && let Some((_, at)) = self.step(value)
        {
            self.steps.insert(at, Step { function: function.cloned(), needs });
        }
    }

    /// The functions that are called until what waits is sent, when the script goes on here; `None` where anything
    /// else may happen before.
    fn leads_to_step(&self, statements: &[Stmt], sent: Option<&Names>) -> Option<Names> {
        let Some((first, rest)) = statements.split_first() else { return sent.cloned() };
        let mut needs = Names::new();
        let after = |mut needs: Names| {
            needs.extend(self.leads_to_step(rest, sent)?);
            Some(needs)
        };
        match first {
            Stmt::Noop(_) | Stmt::Share(_) => after(needs),
            Stmt::Expr(value) => match self.sends(value, &mut needs) {
                true => Some(needs),
                false => self.is_value(value, &mut needs).then_some(needs).and_then(after),
            },
            Stmt::FnCall(call, _) => match self.sends_call(call, &mut needs) {
                true => Some(needs),
                false => self.is_call(call, &mut needs).then_some(needs).and_then(after),
            },
            Stmt::Var(parts, ..) => match self.sends(&parts.1, &mut needs) {
                true => Some(needs),
                false => self.is_value(&parts.1, &mut needs).then_some(needs).and_then(after),
            },
            Stmt::If(flow, _) => {
                let after = self.is_value(&flow.expr, &mut needs).then_some(needs).and_then(after);
                let (body, branch) = (flow.body.statements(), flow.branch.statements());
                let (body, branch) =
                    (self.leads_to_step(body, after.as_ref())?, self.leads_to_step(branch, after.as_ref())?);
                Some(&body | &branch)
            }
            Stmt::For(parts, _) => {
                let after = self.is_value(&parts.2.expr, &mut needs).then_some(needs).and_then(after)?;
                let body = self.leads_to_step(parts.2.body.statements(), Some(&after))?;
                Some(&body | &after)
            }
            Stmt::Block(block) => self.leads_to_step(block.statements(), after(needs).as_ref()),
            _ => None,
        }
    }

    /// Whether working out an expression sends what waits, before it does anything else.
    fn sends(&self, value: &Expr, needs: &mut Names) -> bool {
        match value {
            Expr::FnCall(call, _) => self.sends_call(call, needs),
            other => self.step(other).is_some_and(|(call, _)| self.are_values(&call.args, needs)),
        }
    }

    fn sends_call(&self, call: &FnCallExpr, needs: &mut Names) -> bool {
        let name = call.name.as_str();
        effect(name).is_some_and(Effect::sends)
            && call.namespace.is_empty()
            && !self.is_own(name)
            && call.args.iter().all(|value| closure(value).is_some() || self.is_value(value, needs))
    }

    /// The call of an operation, and its place.
    fn step<'a>(&self, value: &'a Expr) -> Option<(&'a FnCallExpr, Position)> {
        let Expr::Dot(parts, ..) = value else { return None };
        if !matches!(&parts.lhs, Expr::Variable(..)) {
            return None;
        }
        let mut method = &parts.rhs;
        if let Expr::Dot(parts, ..) = method {
            // `host.as_user("name").run(…)`
            let plain = |arg: &Expr| matches!(arg, Expr::StringConstant(..) | Expr::Variable(..));
            if !matches!(&parts.lhs, Expr::MethodCall(call, _) if call.name == "as_user" && call.args.iter().all(plain))
            {
                return None;
            }
            method = &parts.rhs;
        }
        let Expr::MethodCall(call, at) = method else { return None };
        let name = call.name.as_str();
        (crate::ops::find(name).is_ok() && !self.is_own(name)).then_some((call, *at))
    }
}

/// What mk's function of that name does.
fn effect(name: &str) -> Option<Effect> {
    function_named(name).map(|function| function.effect)
}

/// The names of all that statements call.
fn called(statements: &[Stmt]) -> Names {
    let mut names = Names::new();
    walk(statements, &mut |path| {
        if let Some(call) = path.last().and_then(call_of) {
            names.insert(call.name.to_string());
            names.extend(call.args.iter().filter_map(closure));
        }
    });
    names
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::StringConstant(text, _) => Some(text.to_string()),
        _ => None,
    }
}
