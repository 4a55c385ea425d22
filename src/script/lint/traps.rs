//! Traps of the language: what parses, runs, and does something else than it looks like.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::Script;
use super::findings::Findings;
use crate::error::{Error, Place};
use crate::script::fault::shown;
use crate::script::functions::{function_named, gives_nothing};
use crate::script::syntax::{bodies, closure, word};

/// Methods of arrays that use what their closure gives.
const USING: [&str; 12] = [
    "map",
    "filter",
    "reduce",
    "reduce_rev",
    "some",
    "all",
    "find",
    "find_map",
    "index_of",
    "order_by",
    "drain",
    "retain",
];

/// A method that works in place and gives nothing, where something is expected of it. `path` leads to it.
pub(super) fn in_place(
    found: &mut Findings,
    script: &Script,
    (call, at): (&FnCallExpr, Position),
    path: &[ASTNode<'_>],
) {
    if nothing(script, call) && is_used(path) {
        tell_in_place(found, script, &call.name, at);
    }
}

/// The same as all that a closure is, where its value is used: `lines.map(|line| line.trim())`.
pub(super) fn in_closures(found: &mut Findings, script: &Script) {
    let mut used = BTreeSet::new();
    script.ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::MethodCall(call, _))) = path.last()
            && USING.contains(&call.name.as_str())
        {
            used.extend(call.args.iter().filter_map(closure));
        }
        true
    });
    for (function, body) in bodies(&script.ast) {
        let last = body.last().filter(|_| used.contains(function));
        if let Some((call, at)) = last.and_then(ended_by).filter(|(call, _)| nothing(script, call)) {
            tell_in_place(found, script, &call.name, at);
        }
    }
}

/// Whether a method can only be one that gives nothing.
fn nothing(script: &Script, call: &FnCallExpr) -> bool {
    let name = call.name.as_str();
    let other = script.functions.iter().any(|f| f.name == name)
        || script.keys.contains(name)
        || crate::ops::find(name).is_ok()
        || function_named(name).is_some();
    !other && gives_nothing(name, call.args.len() + 1)
}

fn tell_in_place(found: &mut Findings, script: &Script, name: &str, at: Position) {
    let error = Error::playbook(format!("`{name}` gives nothing: it changes the value that it is called on"))
        .hint(format!("call it in a line of its own, `value.{name}(…);`, and use `value` after it"));
    found.report(error, word(&script.name, at, name));
}

/// Backslashes in texts in backticks, which know no escapes.
pub(super) fn backticks(found: &mut Findings, name: &str, text: &str) {
    for (line, column, letter) in escapes(text) {
        let error = Error::playbook(format!("`\\{letter}` in a text in backticks stays as it is written"))
            .hint("break the line where the text does, or add the piece in double quotes: `…` + \"\\n\"");
        found.warn(error, Place::new(shown(name), line, column).spanning(2));
    }
}

/// The method whose value is that of a statement.
fn ended_by(statement: &Stmt) -> Option<(&FnCallExpr, Position)> {
    let Stmt::Expr(value) = statement else { return None };
    let mut value: &Expr = value;
    while let Expr::Dot(parts, ..) = value {
        value = &parts.rhs;
    }
    match value {
        Expr::MethodCall(call, at) => Some((call, *at)),
        _ => None,
    }
}

/// Whether the value of the last node of a path is used by what is around it.
fn is_used(path: &[ASTNode<'_>]) -> bool {
    let mut inner = path.last();
    for (depth, around) in path.iter().enumerate().rev().skip(1) {
        let (Some(ASTNode::Expr(node)), ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..))) = (inner, around)
        else {
            // What is put into a text is a block of its own there.
            let into_text = depth >= 2 && matches!(path[depth - 2], ASTNode::Expr(Expr::InterpolatedString(..)));
            // A statement of its own is the only place where nothing is expected; a block's last value is left open.
            return into_text || !matches!(around, ASTNode::Stmt(Stmt::Expr(_)) | ASTNode::Expr(Expr::Stmt(_)));
        };
        if std::ptr::eq(*node, &raw const parts.lhs) {
            return true;
        }
        inner = Some(around);
    }
    false
}

/// Every backslash that looks like an escape inside of a text in backticks: its line, column and letter.
fn escapes(text: &str) -> Vec<(usize, usize, char)> {
    let mut reading = Reading { rest: text.chars().peekable(), line: 1, column: 0, found: Vec::new() };
    reading.code(false);
    reading.found
}

/// A script's text, read letter by letter.
struct Reading<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    found: Vec<(usize, usize, char)>,
}

impl Reading<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        (self.line, self.column) = if letter == '\n' { (self.line + 1, 0) } else { (self.line, self.column + 1) };
        Some(letter)
    }

    /// Code up to the end of the text, or of the `${…}` that it stands in.
    fn code(&mut self, inside: bool) {
        let mut depth = 0;
        while let Some(letter) = self.next() {
            match letter {
                '{' => depth += 1,
                '}' if inside && depth == 0 => return,
                '}' => depth -= 1,
                '"' | '\'' => self.quoted(letter),
                '`' => self.backticked(),
                '/' if self.rest.peek() == Some(&'/') => while self.next().is_some_and(|letter| letter != '\n') {},
                '/' if self.rest.peek() == Some(&'*') => self.comment(),
                _ => {}
            }
        }
    }

    fn quoted(&mut self, quote: char) {
        while let Some(letter) = self.next() {
            match letter {
                '\\' => drop(self.next()),
                letter if letter == quote => return,
                _ => {}
            }
        }
    }

    fn comment(&mut self) {
        let mut depth = 0;
        let mut before = '/';
        while let Some(letter) = self.next() {
            match (before, letter) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    before = letter;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
            before = ' ';
        }
    }

    fn backticked(&mut self) {
        while let Some(letter) = self.next() {
            match letter {
                '`' if self.rest.peek() == Some(&'`') => drop(self.next()),
                '`' => return,
                '$' if self.rest.peek() == Some(&'{') => {
                    self.next();
                    self.code(true);
                }
                '\\' => {
                    if let Some(letter) = self.rest.peek().copied().filter(|letter| "ntrxuU\\\"'".contains(*letter)) {
                        self.found.push((self.line, self.column, letter));
                        // A second backslash belongs to the first.
                        if letter == '\\' {
                            self.next();
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escapes;

    #[test]
    fn only_texts_in_backticks_are_searched() {
        assert_eq!(escapes("let a = \"x\\n\"; // `\\n`\nlet b = `x\\ny`;"), [(2, 11, 'n')]);
        assert_eq!(
            escapes("/* `\\n` /* */ */ let c = '`'; `a``b\\t${ f(\"\\n`\") + `\\r` }\\\\n`"),
            [(1, 36, 't'), (1, 53, 'r'), (1, 58, '\\')]
        );
        assert_eq!(escapes("`a \\d ${x}`"), []);
    }
}
