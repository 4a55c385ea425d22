//! `mk lint`: everything that can be known to be wrong with scripts and templates before anything runs.
//!
//! A script is read as the run would read it, and so is what it imports and plays. What cannot be told for
//! certain (a value that is computed, a method of a value whose type nobody knows) is left to the run.

mod calls;
mod elsewhere;
mod findings;
mod holds;
mod steps;
mod templates;
mod traps;
mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use rhai::{AST, ASTFlags, ASTNode, Engine, Expr, FnAccess, ParseErrorType, Position, Stmt};

use self::findings::Findings;
use super::syntax::{call_of, quoted};
use crate::control::{Base, Found, Sources};
use crate::error::{Context, Error, Kind, Place, Result};
use crate::inventory::Inventory;

/// What belongs to the playbooks of one project.
#[derive(Clone)]
pub struct Surroundings {
    /// Where sources are looked for.
    pub sources: Sources,
    /// Hosts and groups, where an inventory is named: then patterns are checked too.
    pub inventory: Option<Rc<Inventory>>,
}

/// A script that could be parsed.
struct Script {
    name: String,
    ast: AST,
    /// The modules it imports, by the name it gives them. `None` for one that cannot be read.
    imports: BTreeMap<String, Option<Rc<Script>>>,
    functions: Vec<Defined>,
    exports: BTreeSet<String>,
    /// Every key of its maps and property it names: a closure may be kept there, and called like a method.
    keys: BTreeSet<String>,
}

/// A function that a script defines.
struct Defined {
    name: String,
    parameters: usize,
    private: bool,
}

/// Reads scripts and collects what is wrong with them.
pub struct Linter {
    strict: Engine,
    lax: Engine,
    templates: templates::Read,
    known: calls::Known,
    parameters: steps::Parameters,
    scripts: BTreeMap<String, Option<Rc<Script>>>,
    findings: Findings,
    /// Variables that no host has in the inventory, unless a script learns them.
    unknown_variables: Vec<(String, Error, Place)>,
    learned: BTreeSet<String>,
    /// Names that a script asks whether they are there.
    optional: BTreeSet<String>,
}

impl Default for Linter {
    fn default() -> Self {
        Self::new()
    }
}

impl Linter {
    /// One that has read nothing.
    pub fn new() -> Self {
        let mut strict = Engine::new();
        super::engine::limits(&mut strict);
        let mut lax = Engine::new();
        super::engine::limits(&mut lax);
        lax.set_strict_variables(false);
        Self {
            strict,
            lax,
            templates: templates::Read::new(),
            known: calls::Known::new(),
            parameters: steps::Parameters::default(),
            scripts: BTreeMap::new(),
            findings: Findings::default(),
            unknown_variables: Vec::new(),
            learned: BTreeSet::new(),
            optional: BTreeSet::new(),
        }
    }

    /// Reads a script and all it leads to. Each file is read once, however many lead to it.
    ///
    /// # Errors
    /// When the path cannot be told.
    pub fn read(&mut self, path: &Path, around: &Surroundings) -> Result {
        let path = std::path::absolute(path).or_kind(Kind::Usage, || format!("`{}` is no path", path.display()))?;
        self.load(&Found::Disk(path), around);
        Ok(())
    }

    /// How many scripts and templates were read.
    pub fn files(&self) -> usize {
        self.scripts.len() + self.templates.count()
    }

    /// What is wrong, and then what may not be meant, each by file and place.
    pub fn findings(mut self) -> (Vec<Error>, Vec<Error>) {
        self.look_at_variables();
        self.findings.sorted()
    }

    /// What is wrong with them whatever a run brings about before it comes there.
    pub(crate) fn certain(mut self) -> Vec<Error> {
        self.look_at_variables();
        self.findings.certain()
    }

    fn look_at_variables(&mut self) {
        for (name, error, at) in std::mem::take(&mut self.unknown_variables) {
            // What a script asks for first, or has something in the place of, need not be there.
            if !self.learned.contains(&name) && !self.optional.contains(&name) {
                self.findings.absent(error, at);
            }
        }
    }

    fn load(&mut self, found: &Found, around: &Surroundings) -> Option<Rc<Script>> {
        let name = found.name();
        if let Some(known) = self.scripts.get(&name) {
            return known.clone();
        }
        // Scripts that lead to each other in a circle end here.
        self.scripts.insert(name.clone(), None);
        let text = self
            .findings
            .kept(around.sources.code(found).map_err(|e| e.at(Place::new(super::fault::shown(&name), 0, 0))))?;
        traps::backticks(&mut self.findings, &name, &text);
        let mut ast = self.parse(&name, &text)?;
        ast.set_source(name.as_str());
        let mut script = Script {
            name: name.clone(),
            functions: defined(&ast),
            exports: BTreeSet::new(),
            keys: BTreeSet::new(),
            imports: BTreeMap::new(),
            ast,
        };
        self.survey(&mut script, around);
        let script = Rc::new(script);
        self.scripts.insert(name, Some(Rc::clone(&script)));
        script.ast.walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Expr(Expr::MethodCall(call, at))) => {
                    self.method(&script, call, *at, around);
                    traps::in_place(&mut self.findings, &script, (call, *at), path);
                }
                Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                    self.function(&script, call, *at, around);
                    elsewhere::handed_over(&mut self.findings, &script, call);
                }
                Some(ASTNode::Expr(Expr::Variable(variable, _, at))) => {
                    self.variable(&script, &variable.2, &variable.1, *at);
                }
                _ => {}
            }
            true
        });
        traps::in_closures(&mut self.findings, &script);
        self.typed(&script, around);
        Some(script)
    }

    /// The script's tree. After an unknown variable the rest can still be read, with variables unchecked.
    fn parse(&mut self, name: &str, text: &str) -> Option<AST> {
        match self.strict.compile(text) {
            Ok(ast) => Some(ast),
            Err(error) => {
                self.findings.add(super::engine::syntax(&error, name, text));
                match *error.0 {
                    ParseErrorType::VariableUndefined(_) => self.lax.compile(text).ok(),
                    _ => None,
                }
            }
        }
    }

    /// Notes what a script imports, exports and calls its fields.
    fn survey(&mut self, script: &mut Script, around: &Surroundings) {
        let mut imports: Vec<(String, String, Position)> = Vec::new();
        let (exports, keys) = (&mut script.exports, &mut script.keys);
        script.ast.walk(&mut |path: &[ASTNode<'_>]| {
            // `"x" in map` is `contains` to the language.
            if let Some(call) =
                path.last().and_then(call_of).filter(|call| matches!(call.name.as_str(), "contains" | "get" | "vars"))
                && (call.name == "contains" || call.args.len() == 2)
            {
                let name =
                    |arg: &Expr| if let Expr::StringConstant(name, _) = arg { Some(name.to_string()) } else { None };
                self.optional.extend(call.args.iter().filter_map(name));
            }
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Import(import, _))) => {
                    if let Expr::StringConstant(module, at) = &import.0 {
                        let alias = if import.1.name.is_empty() { module.clone() } else { import.1.name.clone() };
                        imports.push((alias.to_string(), module.to_string(), *at));
                    }
                }
                Some(ASTNode::Stmt(Stmt::Export(names, _))) => {
                    let shown = if names.1.name.is_empty() { &names.0 } else { &names.1 };
                    exports.insert(shown.name.to_string());
                }
                Some(ASTNode::Stmt(Stmt::Var(variable, flags, _))) if flags.intersects(ASTFlags::EXPORTED) => {
                    exports.insert(variable.0.name.to_string());
                }
                Some(ASTNode::Expr(Expr::Map(fields, _))) => {
                    keys.extend(fields.0.iter().map(|(key, _)| key.name.to_string()));
                }
                Some(ASTNode::Expr(Expr::Property(property, _))) => {
                    keys.insert(property.2.to_string());
                }
                _ => {}
            }
            true
        });
        for (alias, module, at) in imports {
            let found = around.sources.module(&Base::of(&script.name), &module);
            let found = found.map_err(|e| e.at(quoted(&script.name, at, &module)));
            let loaded = self.findings.kept(found).and_then(|found| self.load(&found, around));
            script.imports.insert(alias, loaded);
        }
    }
}

fn defined(ast: &AST) -> Vec<Defined> {
    ast.iter_fn_def()
        .map(|function| Defined {
            name: function.name.to_string(),
            parameters: function.params.len(),
            private: function.access == FnAccess::Private,
        })
        .collect()
}
