//! Suggestions: where a name stands in a script's text, and which name may have been meant.

use std::collections::BTreeSet;

use rhai::{ASTNode, Engine, Position, Stmt};

use super::fault::place;
use crate::control::{Base, Found, STDLIB};
use crate::error::{Detail, Error, Kind, Place};
use crate::run::Run;

/// The text of a script that is on disk or built in.
pub(super) fn text_of(source: &str) -> Option<String> {
    match Base::of(source) {
        Base::File(path) => Found::Disk(path).text().ok(),
        Base::BuiltIn(path) => Some(STDLIB.get_file(path)?.contents_utf8()?.to_owned()),
    }
}

/// The place of a fault. The language gives the dot for a property: the name behind it is what is wrong.
pub(super) fn place_of_name(source: Option<&str>, position: Position) -> Place {
    let at = place(source, position);
    let behind = || {
        let text = text_of(source?)?;
        let line = text.lines().nth(at.line.checked_sub(1)?)?;
        let rest: Vec<char> = line.chars().skip(at.column.checked_sub(1)?).collect();
        let dots = rest.iter().take_while(|c| matches!(c, '?' | '.')).count();
        let blanks = rest[dots..].iter().take_while(|c| c.is_whitespace()).count();
        let name = rest[dots + blanks..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        (dots > 0 && name > 0).then(|| Place { column: at.column + dots + blanks, ..at.clone() }.spanning(name))
    };
    behind().unwrap_or(at)
}

/// An error about a variable that a script does not have, with the nearest that it has.
pub(super) fn near_variable(error: Error, name: &str, text: &str) -> Error {
    let mut engine = Engine::new();
    super::engine::limits(&mut engine);
    engine.set_strict_variables(false);
    let Ok(ast) = engine.compile(text) else { return error };
    let mut known: BTreeSet<String> = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => drop(known.insert(variable.0.name.to_string())),
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                known.insert(parts.0.name.to_string());
                known.extend(parts.1.as_ref().map(|counter| counter.name.to_string()));
            }
            _ => {}
        }
        true
    });
    known.extend(ast.iter_fn_def().flat_map(|function| function.params.iter().map(ToString::to_string)));
    known.remove(name);
    error.suggest(name, known.iter().map(String::as_str))
}

/// An error about a property of `host.vars`, with the nearest variable that the host has, or that any has.
pub(super) fn near_host_variable(error: Error, run: &Run, host: Option<&str>) -> Error {
    let Some(Detail::NoProperty(name)) = error.detail() else { return error };
    let Some(at) = error.place().filter(|_| error.hints().is_empty()) else { return error };
    // What a script calls the map is not known here, but `vars` is what a host calls it.
    let line = text_of(&std::path::absolute(&at.file).unwrap_or_default().display().to_string())
        .or_else(|| text_of(&at.file))
        .and_then(|text| text.lines().nth(at.line.checked_sub(1)?).map(str::to_owned));
    let before: String = line.unwrap_or_default().chars().take(at.column.saturating_sub(1)).collect();
    if before.trim_end_matches(['.', '?', ' ']).rsplit('.').next() != Some("vars") {
        return error;
    }
    let known: BTreeSet<String> = match host {
        Some(host) => run.vars(host).keys().cloned().collect(),
        None => run.inventory.hosts().iter().flat_map(|host| run.vars(&host.name)).map(|(key, _)| key).collect(),
    };
    let listed = format!("`mk vars {}` lists its variables", host.unwrap_or("HOST"));
    let name = name.to_owned();
    // The playbook is not wrong for the hosts that have it.
    error.suggest_or(&name, known.iter().map(String::as_str), listed).as_kind(Kind::Inventory)
}
