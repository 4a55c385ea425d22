//! `import`: modules of the project and of the standard library, compiled once a run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rhai::{Engine, EvalAltResult, GlobalRuntimeState, Module, ModuleResolver, Position, Scope, Shared};

use super::fault::raise;
use super::scope::Tag;
use super::secret::hide_variables;
use crate::control::{Base, Found, InputDigests, Sources};

/// Finds modules where [`Sources`] looks.
pub(super) struct Modules {
    sources: Sources,
    known: Mutex<HashMap<String, Known>>,
}

/// A module, and what was read to make it.
#[derive(Clone)]
struct Known {
    module: Shared<Module>,
    read: InputDigests,
}

impl Modules {
    pub(super) fn new(sources: Sources) -> Self {
        Self { sources, known: Mutex::default() }
    }
}

impl ModuleResolver for Modules {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let mut global = engine.new_global_runtime_state();
        global.source = source.map(Into::into);
        self.resolve_raw(engine, &mut global, &mut Scope::new(), path, position)
    }

    fn resolve_raw(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        _scope: &mut Scope,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let source = global.source();
        let base = Base::of(source.unwrap_or_default());
        let found = self
            .sources
            .module(&base, path)
            .map_err(|e| raise(e.at(super::fault::place(source, position)), position))?;
        let name = match &found {
            Found::Disk(path) => path.display().to_string(),
            Found::BuiltIn(name, _) => name.clone(),
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            self.sources.inputs.note_all(&known.read);
            return Ok(known.module);
        }
        let text =
            self.sources.code(&found).map_err(|e| raise(e.at(super::fault::place(source, position)), position))?;
        let compiled = engine.compile(&text).map_err(|e| {
            let error = super::engine::syntax(&e, &name, &text);
            raise(error, position)
        });
        let mut ast = compiled?;
        // Errors name the file by this, and files beside the module are found from it.
        ast.set_source(name.as_str());
        // What its own statements do, they do where it is imported first.
        let mut inner = engine.new_global_runtime_state();
        inner.tag = global.tag.clone();
        if let Some(tag) = global.tag.read_lock::<Tag>() {
            tag.read(&ast, false);
        }
        hide_variables(&ast);
        // What goes wrong while it begins is in its own file.
        let tracking = self.sources.inputs.begin();
        let begun = Module::eval_ast_as_new_raw(engine, &mut Scope::new(), &mut inner, &ast);
        let read = self.sources.inputs.end(tracking);
        let module: Shared<Module> = begun.map_err(|e| EvalAltResult::ErrorInModule(name.clone(), e, position))?.into();
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Known { module: Shared::clone(&module), read });
        Ok(module)
    }
}
