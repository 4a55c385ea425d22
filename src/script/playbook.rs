//! Running a playbook from its file to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rhai::{Caches, Dynamic, Engine, Scope as Variables};

use super::engine::{STACK, engine, syntax};
use super::fault::from_rhai;
use super::scope::Tag;
use super::secret::hide_variables;
use crate::control::Found;
use crate::error::{Context, Error, Kind, Result};
use crate::run::{self, Run};

/// Runs the playbook at `path`. Blocks until it has ended, on a thread with a stack that is large enough.
///
/// # Errors
/// What ended the script. Hosts that failed while others went on are in [`Run::failures`].
pub(crate) fn run(run: &Arc<Run>, path: &Path) -> Result {
    let found =
        Found::Disk(std::path::absolute(path).or_kind(Kind::Usage, || format!("`{}` is no path", path.display()))?);
    let run = Arc::clone(run);
    let work = move || {
        let tag = Tag::outermost(&run);
        let engine = engine(&tag);
        let result = catch_unwind(AssertUnwindSafe(|| evaluate(&engine, &tag, &found)));
        let panicked = |_| tag.scope.ended(Err(Error::internal("the script engine panicked")), |e| e);
        let result = result.unwrap_or_else(panicked).map(drop);
        let result = result.map_err(|e| super::suggestions::near_host_variable(e, &run, None));
        // Steps outside of any `on` notify too.
        let flushed = run::flush_outside(&tag.scope);
        // What a stopped run was in the middle of is not the time for more.
        let stopped = matches!(&result, Err(e) if e.kind() == Kind::Interrupted);
        let earlier = if stopped { Ok(()) } else { run::flush_earlier(&run) };
        result.and(flushed).and(earlier)?;
        run.selection.ended(&run.events)?;
        run::settle(&run)
    };
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(STACK).spawn(work);
    let thread = thread.or_kind(Kind::Internal, || "cannot start the script's thread".to_owned())?;
    thread.join().unwrap_or_else(|_| Err(Error::internal("the script's thread panicked")))
}

/// Compiles and runs one script, in the scope of the tag.
///
/// # Errors
/// What ended it.
pub(super) fn evaluate(engine: &Engine, tag: &Tag, found: &Found) -> Result<Dynamic> {
    let name = found.name();
    let text = tag.scope.run.control.sources.code(found)?;
    let mut ast = engine.compile(&text).map_err(|e| syntax(&e, &name, &text))?;
    ast.set_source(name.as_str());
    tag.read(&ast, true);
    hide_variables(&ast);
    let mut global = engine.new_global_runtime_state();
    (global.tag, global.source) = (Dynamic::from(tag.clone()), Some(name.as_str().into()));
    global.lib.push(ast.shared_lib().clone());
    // The way that passes a tag on. It is called deprecated because it may change, as all of the language's inside.
    #[expect(deprecated)]
    let result = engine.eval_statements_raw(&mut global, &mut Caches::new(), &mut Variables::new(), ast.statements());
    let result = result.map_err(|e| from_rhai(&e, &name));
    tag.scope.ended(result, |e| e)
}
