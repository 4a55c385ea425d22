//! The scope of a call. The language passes it along as the tag of its own state, through every function and closure.

use std::sync::Arc;

use rhai::{AST, Dynamic, EvalAltResult, FnPtr, FuncArgs, NativeCallContext};

use super::fault::throw;
use super::lookahead::Lookahead;
use super::tasks::Tasks;
use crate::error::Error;
use crate::run::{Run, Scope};

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What the language passes along.
#[derive(Clone)]
pub(super) struct Tag {
    /// Where in the run the script is.
    pub(super) scope: Scope,
    /// What is known of the texts of all scripts that the run has read.
    pub(super) lookahead: Arc<Lookahead>,
    /// The tasks in them.
    pub(super) tasks: Arc<Tasks>,
}

impl Tag {
    /// The outermost of a run.
    pub(super) fn outermost(run: &Arc<Run>) -> Self {
        Self { scope: Scope::new(run), lookahead: Arc::default(), tasks: Arc::default() }
    }

    /// Reads a script before it runs; `main` says that it is no module.
    pub(super) fn read(&self, ast: &AST, main: bool) {
        self.lookahead.read(ast, main);
        if !self.scope.run.selection.is_all() {
            self.tasks.read(ast, &self.scope.run.selection);
        }
    }
}

/// The tag of a call.
///
/// # Errors
/// None in an engine of mk's.
pub(super) fn tag(context: &NativeCallContext) -> Raised<Tag> {
    let tag = context.tag().and_then(|tag| tag.read_lock::<Tag>().map(|tag| tag.clone()));
    tag.ok_or_else(|| throw(context, Error::internal("a script without a scope")))
}

/// The scope of a call.
///
/// # Errors
/// None in an engine of mk's.
pub(super) fn scope(context: &NativeCallContext) -> Raised<Scope> {
    tag(context).map(|tag| tag.scope)
}

/// Whether the text of the script shows that a step called here may wait for the next one.
pub(super) fn may_wait(context: &NativeCallContext) -> bool {
    let (source, at) = (context.call_source(), context.call_position());
    tag(context).is_ok_and(|tag| tag.lookahead.may_wait(source, at))
}

/// Sends the steps that wait in the scope of a call.
///
/// # Errors
/// The fault of the first that fails.
pub(super) fn flush(context: &NativeCallContext) -> Raised<()> {
    scope(context)?.flush().map_err(|e| throw(context, e))
}

/// Calls a closure of a script in a scope, and sends what it leaves waiting: a step that fails was written before
/// whatever ended the closure.
///
/// # Errors
/// What the closure raises, or such a step.
pub(super) fn call(
    context: &NativeCallContext,
    scope: &Scope,
    closure: &FnPtr,
    args: impl FuncArgs,
) -> Raised<Dynamic> {
    let mut global = context.global_runtime_state().clone();
    global.tag = Dynamic::from(Tag { scope: scope.clone(), ..tag(context)? });
    let (engine, name, source) = (context.engine(), context.fn_name(), context.fn_source());
    let inner = NativeCallContext::new_with_all_fields(engine, name, source, &global, context.call_position());
    scope.ended(closure.call_within_context(&inner, args), |e| throw(context, e))
}
