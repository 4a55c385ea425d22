//! What variables are known to hold, told from the text: hosts, outcomes, maps that are written out. A variable is known
//! where all that a function and the closures in it give to its name is of one kind, and nothing writes to it later.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};

use crate::op::Spec;
use crate::script::functions::{gives_nothing, is_callable};
use crate::script::syntax::{bodies, call_of, closure, is_closure, walk};

/// What a value is.
#[derive(Clone)]
pub(super) enum Kind {
    /// A host.
    Host,
    /// The variables of a host.
    Vars,
    /// What a host is.
    Facts,
    /// What came of a step.
    Outcome(&'static Spec),
    /// A map that is written out.
    Map(Box<Expr>),
}

/// A function, or what stands outside of all, with the closures in it.
pub(super) struct Group {
    /// The statements of each of its bodies; with those of a closure that runs for hosts, what that captures.
    pub(super) bodies: Vec<(Vec<Stmt>, BTreeSet<String>)>,
    known: BTreeMap<String, Kind>,
}

impl Group {
    /// What a variable holds.
    pub(super) fn variable(&self, name: &str) -> Option<&Kind> {
        self.known.get(name)
    }

    /// What an expression gives.
    pub(super) fn kind(&self, value: &Expr) -> Option<Kind> {
        let known = |name: &str| self.known.get(name).cloned();
        kind(value, &known)
    }
}

/// A closure as it stands in the text.
#[derive(Default)]
struct Closure {
    /// The function or closure around it; none for one that stands outside of all.
    inside: String,
    captures: BTreeSet<String>,
    /// It is called with a host.
    of_hosts: bool,
}

/// The groups of a script.
pub(super) fn groups(ast: &AST) -> Vec<Group> {
    let mut all: Vec<(String, Vec<Stmt>)> = vec![(String::new(), ast.statements().to_vec())];
    all.extend(bodies(ast).into_iter().map(|(name, body)| (name.to_owned(), body)));
    let mut closures: BTreeMap<String, Closure> = BTreeMap::new();
    for (owner, body) in &all {
        walk(body, &mut |path| see(path, owner, &mut closures));
    }
    let root = |name: &str| {
        let mut name = name.to_owned();
        while let Some(closure) = closures.get(&name).filter(|closure| closure.inside != name) {
            name.clone_from(&closure.inside);
        }
        name
    };
    let parameters: BTreeMap<&str, Vec<String>> = ast
        .iter_fn_def()
        .map(|function| (function.name.as_str(), function.params.iter().map(ToString::to_string).collect()))
        .collect();
    let mut groups: BTreeMap<String, (Group, Given)> = BTreeMap::new();
    for (name, body) in all {
        let (group, given) = groups
            .entry(root(&name))
            .or_insert_with(|| (Group { bodies: Vec::new(), known: BTreeMap::new() }, Given::default()));
        let known = closures.get(&name);
        let mut captured = BTreeSet::new();
        for parameter in parameters.get(name.as_str()).into_iter().flatten() {
            let capture = known.is_some_and(|closure| closure.captures.contains(parameter));
            if capture {
                captured.insert(parameter.clone());
            } else {
                given.add(parameter, known.filter(|closure| closure.of_hosts).map(|_| Source::Host));
            }
        }
        given.read(&body);
        let captured = if known.is_some_and(|closure| closure.of_hosts) { captured } else { BTreeSet::new() };
        group.bodies.push((body, captured));
    }
    let settled = |(mut group, given): (Group, Given)| {
        group.known = given.known();
        group
    };
    groups.into_values().map(settled).collect()
}

/// Notes the closures that a node holds.
fn see(path: &[ASTNode<'_>], owner: &str, closures: &mut BTreeMap<String, Closure>) {
    if let Some(ASTNode::Expr(expression)) = path.last()
        && let Some(name) = closure(expression).filter(|name| is_closure(name))
    {
        owner.clone_into(&mut closures.entry(name).or_default().inside);
    }
    let Some(call) = path.last().and_then(call_of) else { return };
    if call.name == "curry"
        && let Some(name) = call.args.first().and_then(closure)
    {
        let captures = call.args.iter().skip(1).filter_map(variable).map(str::to_owned);
        closures.entry(name).or_default().captures.extend(captures);
    }
    if matches!(call.name.as_str(), "on" | "run_once")
        && call.namespace.path.is_empty()
        && let Some(name) = call.args.last().and_then(closure)
    {
        closures.entry(name).or_default().of_hosts = true;
    }
}

/// The name that an expression is, where it is a variable of the script itself.
pub(super) fn variable(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(variable, ..) if variable.2.path.is_empty() => Some(variable.1.as_str()),
        _ => None,
    }
}

/// The variable that an expression begins with: `a` of `a.b[c]`.
pub(super) fn root(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => root(&parts.lhs),
        other => variable(other),
    }
}

/// The method that is called on an expression first: `b` of `a.b().c`.
pub(super) fn first_method(expression: &Expr) -> Option<&FnCallExpr> {
    let Expr::Dot(parts, ..) = expression else { return None };
    let next = match &parts.rhs {
        Expr::Dot(inner, ..) | Expr::Index(inner, ..) => &inner.lhs,
        other => other,
    };
    match next {
        Expr::MethodCall(call, _) => Some(call),
        _ => None,
    }
}

/// Whether a method changes what it is called on.
pub(super) fn writes(call: &FnCallExpr) -> bool {
    let name = call.name.as_str();
    gives_nothing(name, call.args.len() + 1) && crate::ops::find(name).is_err()
        || matches!(name, "pop" | "shift" | "remove" | "drain" | "splice" | "retain" | "mixin")
}

/// Where a name has its value from.
enum Source {
    Host,
    Value(Box<Expr>),
}

/// What is given to the names of a group. `None` is something that is not known.
#[derive(Default)]
struct Given(BTreeMap<String, Vec<Option<Source>>>);

impl Given {
    fn add(&mut self, name: &str, source: Option<Source>) {
        self.0.entry(name.to_owned()).or_default().push(source);
    }

    fn read(&mut self, body: &[Stmt]) {
        walk(body, &mut |path| match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(parts, ..))) => {
                self.add(&parts.0.name, Some(Source::Value(Box::new(parts.1.clone()))));
            }
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                self.add(&parts.0.name, None);
                parts.1.iter().for_each(|counter| self.add(&counter.name, None));
            }
            Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) => {
                variable(&parts.expr).into_iter().for_each(|name| self.add(name, None));
            }
            Some(ASTNode::Stmt(Stmt::Assignment(parts))) => {
                root(&parts.1.lhs).into_iter().for_each(|name| self.add(name, None));
            }
            Some(ASTNode::Expr(whole @ Expr::Dot(..))) => {
                // A function of the script's own may write to `this`.
                if let (Some(name), Some(call)) = (root(whole), first_method(whole))
                    && (writes(call) || !is_callable(&call.name))
                {
                    self.add(name, None);
                }
            }
            _ => {}
        });
    }

    fn known(self) -> BTreeMap<String, Kind> {
        let mut known: BTreeMap<String, Kind> = BTreeMap::new();
        // One may have its value from another: as often as that can be.
        for _ in 0..4 {
            let mut next = BTreeMap::new();
            for (name, sources) in &self.0 {
                let of = |source: &Option<Source>| match source.as_ref()? {
                    Source::Host => Some(Kind::Host),
                    Source::Value(value) => kind(value, &|name| known.get(name).cloned()),
                };
                let kinds: Vec<Option<Kind>> = sources.iter().map(of).collect();
                let [first, rest @ ..] = kinds.as_slice() else { continue };
                if let Some(first) = first.clone()
                    && rest.iter().all(|kind| kind.as_ref().is_some_and(|kind| same(kind, &first)))
                {
                    next.insert(name.clone(), first);
                }
            }
            known = next;
        }
        known
    }
}

fn same(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Host, Kind::Host) | (Kind::Vars, Kind::Vars) | (Kind::Facts, Kind::Facts) => true,
        (Kind::Outcome(one), Kind::Outcome(other)) => one.name == other.name,
        _ => false,
    }
}

/// What an expression gives, with what is known of variables.
fn kind(value: &Expr, known: &dyn Fn(&str) -> Option<Kind>) -> Option<Kind> {
    match value {
        Expr::Map(..) => Some(Kind::Map(Box::new(value.clone()))),
        Expr::FnCall(call, _) if call.namespace.path.is_empty() && matches!(call.name.as_str(), "local" | "host") => {
            Some(Kind::Host)
        }
        Expr::Dot(parts, ..) => along(&parts.rhs, kind(&parts.lhs, known)?),
        other => known(variable(other)?),
    }
}

/// What comes of a value that is followed along a chain.
fn along(rest: &Expr, of: Kind) -> Option<Kind> {
    match rest {
        Expr::Dot(parts, ..) => along(&parts.rhs, along(&parts.lhs, of)?),
        Expr::Property(property, _) => match (of, property.2.as_str()) {
            (Kind::Host, "vars") => Some(Kind::Vars),
            (Kind::Host, "facts") => Some(Kind::Facts),
            _ => None,
        },
        Expr::MethodCall(call, _) => match (of, call.name.as_str()) {
            (Kind::Host, "as_user") => Some(Kind::Host),
            (Kind::Host, name) => crate::ops::find(name).ok().map(Kind::Outcome),
            _ => None,
        },
        _ => None,
    }
}
