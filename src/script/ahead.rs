//! Which steps may wait for the next one, told from a script's text before it runs.
//!
//! A step may wait when nobody looks at what comes of it, and when from there every way leads to another step, or
//! to the end of a closure that mk itself runs, past nothing but values being worked out: nothing that could be seen,
//! and nothing that could catch its fault in its place. What cannot be told for certain does not wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::functions::{callable, function_named};
use super::lint::{closure, innermost, start};

/// Functions of mk that neither change anything nor see what a step could have changed.
const PURE: [&str; 15] = [
    "as_user",
    "checking",
    "env",
    "file_text",
    "get",
    "host",
    "hosts",
    "in_group",
    "joined",
    "later",
    "lines",
    "local",
    "vars",
    "within_limit",
    "len",
];

/// What the language does itself and what can call anything.
const OPAQUE: [&str; 8] = ["call", "curry", "eval", "Fn", "print", "debug", "timestamp", "sleep"];

/// Functions of mk that send what waits before they do anything.
const SENDING: [&str; 8] = ["on", "run_once", "task", "always", "play", "log", "warn", "assert"];

/// Of these, the ones that also send what their closures left waiting, whatever came of them.
const CLOSING: [&str; 4] = ["on", "run_once", "task", "always"];

/// What is known of all scripts that a run has read.
#[derive(Default)]
pub(super) struct Ahead(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// By script, and the place of the call: the function that the step stands in.
    steps: HashMap<String, Arc<Steps>>,
    /// What every function of any script calls, by name.
    calls: BTreeMap<String, BTreeSet<String>>,
    /// The functions that may be run inside of a `try`.
    tried: BTreeSet<String>,
}

type Steps = HashMap<Position, Option<String>>;

impl Ahead {
    /// Reads a script before it runs.
    /// A module's own statements run where it is imported, and nothing is sent at their end.
    pub(super) fn read(&self, ast: &AST, main: bool) {
        let read = Script::read(ast, main);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.steps.insert(ast.source().unwrap_or_default().to_owned(), Arc::new(read.steps));
        for (name, calls) in read.calls {
            known.calls.entry(name).or_default().extend(calls);
        }
        known.tried.extend(read.tried);
        let mut new: Vec<String> = known.tried.iter().cloned().collect();
        while let Some(name) = new.pop() {
            for called in known.calls.get(&name).cloned().unwrap_or_default() {
                if known.tried.insert(called.clone()) {
                    new.push(called);
                }
            }
        }
    }

    /// Whether the step that is called there may wait for the next one.
    pub(super) fn may_wait(&self, source: Option<&str>, at: Position) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let step = known.steps.get(source.unwrap_or_default()).and_then(|steps| steps.get(&at));
        step.is_some_and(|function| function.as_ref().is_none_or(|name| !known.tried.contains(name)))
    }
}

/// What is found in one script.
#[derive(Default)]
struct Script {
    steps: Steps,
    calls: BTreeMap<String, BTreeSet<String>>,
    tried: BTreeSet<String>,
    /// The names of its own functions and fields, which may stand for anything.
    own: BTreeSet<String>,
    known: BTreeSet<&'static str>,
}

impl Script {
    fn read(ast: &AST, main: bool) -> Self {
        let mut script = Self { known: callable().map(|(name, _)| name).collect(), ..Self::default() };
        let mut closed = BTreeSet::new();
        script.own.extend(ast.iter_fn_def().map(|function| function.name.to_string()));
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            let node = path.last();
            let name = match node {
                Some(ASTNode::Expr(Expr::Map(fields, _))) => {
                    script.own.extend(fields.0.iter().map(|(key, _)| key.name.to_string()));
                    return true;
                }
                Some(
                    ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
                    | ASTNode::Stmt(Stmt::FnCall(call, _)),
                ) => {
                    if CLOSING.contains(&call.name.as_str()) && call.namespace.is_empty() {
                        closed.extend(call.args.iter().filter_map(closure));
                    }
                    if call.name == "Fn" {
                        script.tried.extend(call.args.iter().filter_map(text));
                    }
                    call.name.to_string()
                }
                _ => return true,
            };
            if path.iter().any(|around| matches!(around, ASTNode::Stmt(Stmt::TryCatch(..)))) {
                script.tried.insert(name);
            }
            true
        });
        for (function, body) in ast.iter_fn_def().zip(bodies(ast)) {
            let name = function.name.to_string();
            script.calls.entry(name.clone()).or_default().extend(called(&body));
            let closes = closed.contains(&name);
            if closes || !name.starts_with("anon$") {
                script.block(&body, (!closes).then_some(&name), true, closes);
            }
        }
        if main {
            script.block(ast.statements(), None, true, true);
        }
        script
    }

    /// Finds the steps of a block that may wait. `sent` says whether what still waits at its end is sent for certain;
    /// `gives` whether the block's last value is used.
    fn block(&mut self, statements: &[Stmt], function: Option<&String>, gives: bool, sent: bool) {
        for (index, statement) in statements.iter().enumerate() {
            let rest = &statements[index + 1..];
            let gives = gives && rest.iter().all(|statement| matches!(statement, Stmt::Noop(_)));
            let sent = self.leads_to_step(rest, sent);
            match statement {
                Stmt::Expr(value) if !gives && sent => {
                    if let Some((_, at)) = self.step(value) {
                        self.steps.insert(at, function.cloned());
                    }
                }
                Stmt::If(flow, _) => {
                    self.block(flow.body.statements(), function, gives, sent);
                    self.block(flow.branch.statements(), function, gives, sent);
                }
                Stmt::For(parts, _) => {
                    let body = parts.2.body.statements();
                    let again = sent && self.leads_to_step(body, sent);
                    self.block(body, function, false, again);
                }
                Stmt::Block(block) => self.block(block.statements(), function, gives, sent),
                _ => {}
            }
        }
    }

    /// Whether what waits is sent when the script goes on here, before anything else can happen.
    fn leads_to_step(&self, statements: &[Stmt], sent: bool) -> bool {
        let Some((first, rest)) = statements.split_first() else { return sent };
        match first {
            Stmt::Noop(_) | Stmt::Share(_) => self.leads_to_step(rest, sent),
            Stmt::Expr(value) => self.sends(value) || self.is_value(value) && self.leads_to_step(rest, sent),
            Stmt::FnCall(call, _) => self.sends_call(call) || self.is_call(call) && self.leads_to_step(rest, sent),
            Stmt::Var(parts, ..) => self.sends(&parts.1) || self.is_value(&parts.1) && self.leads_to_step(rest, sent),
            Stmt::If(flow, _) => {
                let after = self.leads_to_step(rest, sent);
                self.is_value(&flow.expr)
                    && self.leads_to_step(flow.body.statements(), after)
                    && self.leads_to_step(flow.branch.statements(), after)
            }
            Stmt::For(parts, _) => {
                let after = self.leads_to_step(rest, sent);
                after && self.is_value(&parts.2.expr) && self.leads_to_step(parts.2.body.statements(), after)
            }
            Stmt::Block(block) => {
                let after = self.leads_to_step(rest, sent);
                self.leads_to_step(block.statements(), after)
            }
            _ => false,
        }
    }

    /// Whether working out an expression sends what waits, before it does anything else.
    fn sends(&self, value: &Expr) -> bool {
        match value {
            Expr::FnCall(call, _) => self.sends_call(call),
            other => self.step(other).is_some(),
        }
    }

    fn sends_call(&self, call: &FnCallExpr) -> bool {
        let name = call.name.as_str();
        SENDING.contains(&name)
            && call.namespace.is_empty()
            && !self.own.contains(name)
            && call.args.iter().all(|value| self.is_value(value) || closure(value).is_some())
    }

    /// The call of an operation, and its place, where its host and parameters are values.
    fn step<'a>(&self, value: &'a Expr) -> Option<(&'a FnCallExpr, Position)> {
        let Expr::Dot(parts, ..) = value else { return None };
        if !matches!(&parts.lhs, Expr::Variable(..)) {
            return None;
        }
        let mut method = &parts.rhs;
        if let Expr::Dot(parts, ..) = method {
            // `host.as_user(…).run(…)`
            if !matches!(&parts.lhs, Expr::MethodCall(call, _) if call.name == "as_user" && self.is_call(call)) {
                return None;
            }
            method = &parts.rhs;
        }
        let Expr::MethodCall(call, at) = method else { return None };
        let name = call.name.as_str();
        let is_step = crate::ops::find(name).is_ok() && !self.own.contains(name);
        (is_step && call.args.iter().all(|value| self.is_value(value))).then_some((call, *at))
    }

    /// Whether an expression only works out a value.
    fn is_value(&self, value: &Expr) -> bool {
        let all = |values: &[Expr]| values.iter().all(|value| self.is_value(value));
        match value {
            Expr::DynamicConstant(value, _) => !value.is_fnptr(),
            Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..)
            | Expr::Unit(_)
            | Expr::Variable(..)
            | Expr::ThisPtr(_)
            | Expr::Property(..) => true,
            Expr::InterpolatedString(values, _) | Expr::Array(values, _) => all(values),
            Expr::And(values, _) | Expr::Or(values, _) | Expr::Coalesce(values, _) => all(values),
            Expr::Map(fields, _) => fields.0.iter().all(|(_, value)| self.is_value(value)),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => self.is_value(&parts.lhs) && self.is_value(&parts.rhs),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => self.is_call(call),
            // What is put into a text, and the branches of an `if` that gives a value.
            Expr::Stmt(block) => block.statements().iter().all(|statement| match statement {
                Stmt::Noop(_) => true,
                Stmt::Expr(value) => self.is_value(value),
                Stmt::FnCall(call, _) => self.is_call(call),
                Stmt::If(flow, _) => {
                    let values = |statements: &[Stmt]| {
                        statements.iter().all(|statement| match statement {
                            Stmt::Expr(value) => self.is_value(value),
                            Stmt::FnCall(call, _) => self.is_call(call),
                            _ => false,
                        })
                    };
                    self.is_value(&flow.expr) && values(flow.body.statements()) && values(flow.branch.statements())
                }
                _ => false,
            }),
            _ => false,
        }
    }

    /// Whether a call only works out a value.
    fn is_call(&self, call: &FnCallExpr) -> bool {
        let name = call.name.as_str();
        let pure = call.is_operator_call()
            || self.known.contains(name)
                && !OPAQUE.contains(&name)
                && (PURE.contains(&name) || function_named(name).is_none() && crate::ops::find(name).is_err());
        pure && call.namespace.is_empty() && !self.own.contains(name) && call.args.iter().all(|arg| self.is_value(arg))
    }
}

/// The statements of every function, in the order of the functions. The language shows them to those who walk the tree
/// only, without saying whose they are.
fn bodies(ast: &AST) -> Vec<Vec<Stmt>> {
    let ends: Vec<_> = ast
        .iter_fn_def()
        .enumerate()
        .map(|(index, f)| (f.body.start_position(), f.body.end_position(), index))
        .collect();
    let mut bodies = vec![Vec::new(); ends.len()];
    let mut outside = ast.statements().len();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let [node @ ASTNode::Stmt(statement)] = path {
            if outside > 0 {
                outside -= 1;
            } else if let Some((_, _, index)) = innermost(&ends, start(node)) {
                bodies[*index].push((*statement).clone());
            }
        }
        true
    });
    bodies
}

/// The names of all that statements call.
fn called(statements: &[Stmt]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for statement in statements {
        statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
            if let Some(
                ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
            ) = path.last()
            {
                names.insert(call.name.to_string());
                names.extend(call.args.iter().filter_map(closure));
            }
            true
        });
    }
    names
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::StringConstant(text, _) => Some(text.to_string()),
        _ => None,
    }
}
