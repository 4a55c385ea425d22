//! What a module of the standard library gives, from its own comments.

use std::fmt::Write as _;

use rhai::{Engine, FnAccess};

use crate::control::STDLIB;
use crate::error::{Error, Result, nearest};

/// A module, from its own text.
pub struct ModuleDoc {
    /// What it is for.
    pub about: String,
    /// Its functions in the order of the text: how each is called, and what it does.
    pub functions: Vec<(String, String)>,
}

impl ModuleDoc {
    /// The module as a page in Markdown.
    pub fn page(&self, name: &str) -> String {
        let mut out = format!("# {name}\n\n{}\n\n    import \"{name}\" as {name};\n", self.about);
        for (call, doc) in &self.functions {
            let _ = write!(out, "\n## {name}::{call}\n\n{doc}\n");
        }
        out
    }
}

/// The modules that are built in, by name.
pub fn modules() -> Vec<String> {
    let files = STDLIB.files().filter(|file| file.path().extension().is_some_and(|x| x == "rhai"));
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// What a built-in module gives.
///
/// # Errors
/// When there is none of that name.
pub fn module_doc(name: &str) -> Result<ModuleDoc> {
    let file = STDLIB.get_file(format!("{name}.rhai")).and_then(|file| file.contents_utf8());
    let Some(text) = file else {
        let error = Error::usage(format!("there is no module `{name}`"));
        let known = modules();
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `std/{near}`?")),
            None => error.hint("`mk doc` lists the modules"),
        });
    };
    let source = format!("stdlib:{name}.rhai");
    let mut engine = Engine::new();
    super::engine::limits(&mut engine);
    let ast = engine.compile(text).map_err(|e| super::engine::syntax(&e, &source, text))?;
    let mut functions: Vec<_> = ast
        .iter_fn_def()
        .filter(|function| function.access == FnAccess::Public && !super::syntax::is_closure(&function.name))
        .map(|function| {
            let call = format!("{}({})", function.name, function.params.join(", "));
            let comments: Vec<String> = function.comments.iter().map(ToString::to_string).collect();
            (function.body.start_position().line(), call, plain(&comments.join("\n"), "///"))
        })
        .collect();
    functions.sort();
    let functions = functions.into_iter().map(|(_, call, doc)| (call, doc)).collect();
    Ok(ModuleDoc { about: plain(ast.doc(), "//!"), functions })
}

/// A comment without the signs that begin its lines.
fn plain(comment: &str, sign: &str) -> String {
    let bare = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix(sign).unwrap_or(line);
        line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()
    };
    comment.lines().map(bare).collect::<Vec<_>>().join("\n").trim().to_owned()
}
