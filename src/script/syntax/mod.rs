//! The syntax tree of a script: what lint and the run both read in it. Knows nothing of hosts and of what is wrong.

pub(super) mod literal;
mod places;

use rhai::{AST, ASTNode, Expr, FnCallExpr, FnPtr, Position, Stmt};

pub(super) use places::{key_place, quoted, word};

/// The call that a node is.
pub(super) fn call_of<'a>(node: &ASTNode<'a>) -> Option<&'a FnCallExpr> {
    match node {
        ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
            Some(call)
        }
        _ => None,
    }
}

/// Whether the language gave a function its name: a closure.
pub(super) fn is_closure(function: &str) -> bool {
    function.starts_with("anon$")
}

/// The name of the function that an argument is, where it is a closure written out there.
pub(super) fn closure(argument: &Expr) -> Option<String> {
    match argument {
        Expr::DynamicConstant(value, _) => Some(value.read_lock::<FnPtr>()?.fn_name().to_owned()),
        // A closure that captures is the constant with its captures put in by `curry`.
        Expr::FnCall(call, _) => call.args.iter().find_map(closure),
        Expr::Stmt(block) => block.statements().iter().find_map(|statement| match statement {
            Stmt::Expr(value) => closure(value),
            Stmt::FnCall(call, _) => call.args.iter().find_map(closure),
            _ => None,
        }),
        _ => None,
    }
}

/// Every function and closure of a script, with its statements. The language shows these to those who walk the tree
/// only, without saying whose they are.
pub(super) fn bodies(ast: &AST) -> Vec<(&str, Vec<Stmt>)> {
    let ends: Vec<_> = ast.iter_fn_def().map(|f| (f.body.start_position(), f.body.end_position())).collect();
    let mut bodies: Vec<_> = ast.iter_fn_def().map(|function| (function.name.as_str(), Vec::new())).collect();
    let mut outside = ast.statements().len();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let [node @ ASTNode::Stmt(statement)] = path {
            if outside > 0 {
                outside -= 1;
            } else if let Some(index) = innermost(&ends, start(node)) {
                bodies[index].1.push((*statement).clone());
            }
        }
        true
    });
    bodies
}

/// Shows every node of statements, with the way to it.
pub(super) fn walk(statements: &[Stmt], see: &mut impl FnMut(&[ASTNode<'_>])) {
    for statement in statements {
        statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
            see(path);
            true
        });
    }
}

/// Where a statement begins.
fn start(statement: &ASTNode<'_>) -> Position {
    match statement {
        ASTNode::Stmt(Stmt::Expr(value)) => value.start_position(),
        other => other.position(),
    }
}

/// The innermost of bodies around a place. The end of one without braces is its begin.
fn innermost(bodies: &[(Position, Position)], at: Position) -> Option<usize> {
    let around = |(_, (begin, end)): &(usize, &(Position, Position))| *begin == at || *begin <= at && at <= *end;
    let inner = bodies.iter().enumerate().filter(around).max_by_key(|(_, (begin, _))| *begin);
    inner.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_belongs_to_the_innermost_function_around_it() {
        let text = "let a = 1;\nfn f(x) { one(); g(|y| { two(y); three() }); four() }\nfn g(c) { 5 }\nf(a);";
        let ast = rhai::Engine::new().compile(text).unwrap();
        let called = |body: &[Stmt]| {
            let mut names = Vec::new();
            walk(body, &mut |path| names.extend(path.last().and_then(call_of).map(|call| call.name.to_string())));
            names.join(" ")
        };
        let mut found: Vec<(bool, String)> =
            bodies(&ast).iter().map(|(name, body)| (is_closure(name), called(body))).collect();
        found.sort();
        let wanted = [(false, ""), (false, "one g four"), (true, "two three")];
        assert_eq!(found, wanted.map(|(closure, calls)| (closure, calls.to_owned())));
    }
}
