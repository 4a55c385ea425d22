//! What mk adds to the language. Each function does to steps that wait what the list of functions says of it, so none can
//! forget to send them.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use rhai::{Dynamic, Engine, FuncRegistration, Module, NativeCallContext, RhaiFunc, RhaiNativeFunc, Shared};
use rhai::{EvalAltResult, ImmutableString};

use super::engine::PLAIN;
use super::fault::throw;
use super::functions::{Effect, function_named};
use super::guarded::is_tainted;
use super::scope::flush;
use super::secret::refusal;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

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
        let mut func = func.into_rhai_function(true, false);
        let types = Func::param_types();
        if let Some(function) = function_named(name) {
            if !function.takes_secrets && types.iter().any(is_text) {
                func = first(func, move |context, args| refuse_secrets(context, name, &types, args));
            }
            if function.effect != Effect::Pure {
                func = first(func, |context, _| flush(context));
            }
        }
        // The language prefers its own to what takes any value: `log(2.5)` would be a logarithm.
        for own in hidden(name, &types) {
            FuncRegistration::new(name).in_global_namespace().set_into_module_raw(&mut self.0, own, func.clone());
        }
        FuncRegistration::new(name).in_global_namespace().set_into_module_raw(&mut self.0, types, func);
    }

    /// Gives an engine all of them.
    pub(super) fn into(self, engine: &mut Engine) {
        engine.register_global_module(Shared::new(self.0));
    }
}

/// The types with which the language has a function of that name that would be taken for this one.
fn hidden(name: &str, types: &[TypeId]) -> Vec<Vec<TypeId>> {
    static NATIVE: LazyLock<BTreeMap<String, Vec<Vec<TypeId>>>> = LazyLock::new(|| {
        let mut native: BTreeMap<String, Vec<Vec<TypeId>>> = BTreeMap::new();
        let of = |info: rhai::FuncInfo| {
            function_named(&info.metadata.name)?;
            Some((info.metadata.name.to_string(), info.metadata.param_types.to_vec()))
        };
        for (name, types) in PLAIN.collect_fn_metadata(None, of, true) {
            native.entry(name).or_default().push(types);
        }
        native
    });
    let any = TypeId::of::<Dynamic>();
    let fits = |own: &&Vec<TypeId>| {
        own.len() == types.len()
            && own.as_slice() != types
            && own.iter().zip(types).all(|(own, ours)| own == ours || *ours == any)
    };
    NATIVE.get(name).into_iter().flatten().filter(fits).cloned().collect()
}

/// The same function, which does something else before it begins.
fn first(
    mut func: RhaiFunc,
    before: impl Fn(&NativeCallContext, &[&mut Dynamic]) -> Raised<()> + Send + Sync + 'static,
) -> RhaiFunc {
    if let RhaiFunc::Pure { func, has_context, .. } | RhaiFunc::Method { func, has_context, .. } = &mut func {
        *has_context = true;
        let own = Shared::clone(func);
        *func = Shared::new(move |context: Option<NativeCallContext>, args: &mut [&mut Dynamic]| {
            context.as_ref().map_or(Ok(()), |context| before(context, args))?;
            own(context, args)
        });
    }
    func
}

/// What takes a text looks into it, or something up by it.
fn refuse_secrets(context: &NativeCallContext, name: &str, types: &[TypeId], args: &[&mut Dynamic]) -> Raised<()> {
    let secret = types.iter().zip(args).any(|(of, value)| is_text(of) && is_tainted(value));
    if secret { Err(throw(context, refusal(&format!("`{name}`")))) } else { Ok(()) }
}

fn is_text(of: &TypeId) -> bool {
    [TypeId::of::<&str>(), TypeId::of::<String>(), TypeId::of::<ImmutableString>()].contains(of)
}
