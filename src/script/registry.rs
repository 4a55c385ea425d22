//! What mk adds to the language. Each function does to steps that wait what the list of functions says of it, so none can
//! forget to send them.

use rhai::{Dynamic, Engine, FuncRegistration, Module, NativeCallContext, RhaiFunc, RhaiNativeFunc, Shared};

use super::functions::{Effect, function_named};
use super::scope::flush;

/// Functions on their way into an engine.
#[derive(Default)]
pub(super) struct Registry(Module);

impl Registry {
    /// Adds a function of mk's list, or an operation: a step says itself whether it waits.
    pub(super) fn add<A, const N: usize, const X: bool, R, const F: bool, Func>(
        &mut self,
        name: &'static str,
        func: Func,
    ) where
        A: 'static,
        R: Clone + Send + Sync + 'static,
        Func: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let func = func.into_rhai_function(true, false);
        let sends = function_named(name).is_some_and(|function| function.effect != Effect::Pure);
        let func = if sends { sending_first(func) } else { func };
        FuncRegistration::new(name).in_global_namespace().set_into_module_raw(&mut self.0, Func::param_types(), func);
    }

    /// Gives an engine all of them.
    pub(super) fn into(self, engine: &mut Engine) {
        engine.register_global_module(Shared::new(self.0));
    }
}

/// The same function, which sends what waits before it begins.
fn sending_first(mut func: RhaiFunc) -> RhaiFunc {
    if let RhaiFunc::Pure { func, has_context, .. } | RhaiFunc::Method { func, has_context, .. } = &mut func {
        *has_context = true;
        let own = Shared::clone(func);
        *func = Shared::new(move |context: Option<NativeCallContext>, args: &mut [&mut Dynamic]| {
            context.as_ref().map_or(Ok(()), flush)?;
            own(context, args)
        });
    }
    func
}
