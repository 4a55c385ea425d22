//! Where in a script's text something stands.

use rhai::{ASTNode, Engine, Expr, Position};

use super::literal;
use crate::error::Place;
use crate::script::fault::place;
use crate::script::suggestions::text_of;

/// The place of a word.
pub(in crate::script) fn word(file: &str, at: Position, text: &str) -> Place {
    place(Some(file), at).spanning(text.chars().count())
}

/// The place of a text in quotes.
pub(in crate::script) fn quoted(file: &str, at: Position, text: &str) -> Place {
    place(Some(file), at).spanning(text.chars().count() + 2)
}

/// The place of a field in the map that the call at a position takes, where the map is written out there. The language
/// keeps the place of a call, not of its keys.
pub(in crate::script) fn key_place(engine: &Engine, source: &str, call: Position, field: &str) -> Option<Place> {
    let ast = engine.compile(text_of(source)?).ok()?;
    let mut found = None;
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::MethodCall(method, at))) = path.last()
            && *at == call
        {
            let keys = method.args.iter().filter_map(literal::fields).flatten();
            found = keys.map(|(key, _)| key).find(|key| key.name == field).map(|key| word(source, key.pos, field));
        }
        found.is_none()
    });
    found
}
