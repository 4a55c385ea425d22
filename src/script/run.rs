//! Running a playbook from its file to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rhai::{Dynamic, Engine, Scope};

use super::engine::{STACK, engine, syntax};
use super::fault::from_rhai;
use super::host::Host;
use super::pipelining;
use super::running::Run;
use super::secret::hide_variables;
use crate::control::Found;
use crate::error::{Context, Error, Kind, Result};

/// Runs the playbook at `path`. Blocks until it has ended, on a thread with a stack that is large enough.
///
/// # Errors
/// What ended the script. Hosts that failed while others went on are in [`Run::failures`].
pub(crate) fn run(run: &Arc<Run>, path: &Path) -> Result {
    let found =
        Found::Disk(std::path::absolute(path).or_kind(Kind::Usage, || format!("`{}` is no path", path.display()))?);
    let run = Arc::clone(run);
    let work = move || {
        let engine = engine(&run);
        let result = catch_unwind(AssertUnwindSafe(|| script(&engine, &run, &found)));
        let result = result.unwrap_or_else(|_| Err(Error::internal("the script engine panicked"))).map(drop);
        let result = result.map_err(|e| super::suggestions::near_host_variable(e, &run, None));
        // Steps outside of any `on` notify too.
        let flushed = run.hosts_notified().iter().try_for_each(|name| super::notified::flush(&Host::new(&run, name)));
        // What a stopped run was in the middle of is not the time for more.
        let stopped = matches!(&result, Err(e) if e.kind() == Kind::Interrupted);
        let earlier = if stopped { Ok(()) } else { super::notified::flush_earlier(&run) };
        result.and(flushed).and(earlier)?;
        super::play::settle(&run)
    };
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(STACK).spawn(work);
    let thread = thread.or_kind(Kind::Internal, || "cannot start the script's thread".to_owned())?;
    thread.join().unwrap_or_else(|_| Err(Error::internal("the script's thread panicked")))
}

/// Compiles and runs one script.
pub(super) fn script(engine: &Engine, run: &Run, found: &Found) -> Result<Dynamic> {
    let name = found.name();
    let text = run.control.sources.code(found)?;
    let mut ast = engine.compile(&text).map_err(|e| syntax(&e, &name, &text))?;
    ast.set_source(name.as_str());
    run.lookahead.read(&ast, true);
    hide_variables(&ast);
    let result = engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &ast).map_err(|e| from_rhai(&e, &name));
    // What waited was written before whatever ended the script.
    pipelining::flush().and(result)
}
