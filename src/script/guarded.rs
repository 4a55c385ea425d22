//! The language's own functions, kept from text that holds a secret.
//!
//! What `${…}` makes of a secret is text to the language, with a token in it. Its length, its upper-case form or its
//! first word would be those of the token, so whatever takes a text asks first.

use std::any::TypeId;
use std::sync::LazyLock;

use rhai::{
    Array, Blob, Dynamic, Engine, EvalAltResult, FnPtr, FuncInfo, ImmutableString, Module, NativeCallContext, Position,
    Shared,
};

use super::engine::PLAIN;
use super::fault::{raise, throw};
use super::secret::{Secret, refusal, text};
use crate::secret::Secrets;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What may be done with such a text, since nothing is told of it.
const ALLOWED: [&str; 6] = ["+", "+=", "append", "print", "debug", "to_string"];

/// What writes a text in quotes, as a list is shown. Escaped letter by letter, a token would be one no more.
const QUOTES: &str = "to_debug";

/// Every function of the language that looks into a text.
static LOOKING: LazyLock<Vec<(String, Vec<TypeId>)>> = LazyLock::new(|| {
    let text = TypeId::of::<ImmutableString>();
    // Bytes have no secrets: one that is appended to some would be text no more, and its length that of the token.
    let bytes = TypeId::of::<Blob>();
    // What takes a function may call one of a script's, which only its own engine knows.
    let calls = [TypeId::of::<Array>(), TypeId::of::<FnPtr>()];
    let of = |info: FuncInfo| {
        let types = info.metadata.param_types.to_vec();
        let looks = types.contains(&text) && !types.iter().any(|one| calls.contains(one));
        (looks && (types.contains(&bytes) || !ALLOWED.contains(&info.metadata.name.as_str())))
            .then(|| (info.metadata.name.to_string(), types))
    };
    PLAIN.collect_fn_metadata(None, of, true)
});

/// The operators that look into a text. They are no functions of the language, unless somebody adds them.
const OPERATORS: [&str; 8] = ["==", "!=", "<", "<=", ">", ">=", "-", "-="];

pub(super) fn register(engine: &mut Engine) {
    for name in ["sort", "dedup"] {
        let list = [TypeId::of::<Array>()];
        engine.register_raw_fn(name, list, move |context: NativeCallContext, args: &mut [&mut Dynamic]| {
            // The one puts texts in order without asking anybody, the other takes an error for a difference.
            let any = args[0]
                .read_lock::<Array>()
                .is_some_and(|list| list.iter().any(|item| text(item).is_some_and(|text| Secrets::is_tainted(&text))));
            if any { Err(throw(&context, refusal(&format!("`{name}`")))) } else { plain(&context, name, args) }
        });
    }
    let mut letters = Module::new();
    let none = || Box::new(std::iter::once(Err(raise(refusal("a letter"), Position::NONE))));
    letters.set_iter_result(TypeId::of::<Secret>(), move |_| none());
    letters.set_iter_result(TypeId::of::<ImmutableString>(), move |value| match value.into_immutable_string() {
        Ok(text) if Secrets::is_tainted(&text) => none(),
        text => {
            let letters: Vec<char> = text.unwrap_or_default().chars().collect();
            Box::new(letters.into_iter().map(|letter| Ok(letter.into())))
        }
    });
    engine.register_global_module(Shared::new(letters));
    // Otherwise the language compares texts without asking anybody.
    engine.set_fast_operators(false);
    for (name, types) in LOOKING.iter() {
        let name: &'static str = name;
        engine.register_raw_fn(name, types, move |context: NativeCallContext, args: &mut [&mut Dynamic]| {
            called(&context, name, args)
        });
    }
    let (text, letter) = (TypeId::of::<ImmutableString>(), TypeId::of::<char>());
    let pairs = [[text, text], [text, letter], [letter, text]];
    let onto_bytes = ("+=", [TypeId::of::<Blob>(), text]);
    for (name, types) in OPERATORS.iter().flat_map(|name| pairs.map(|types| (*name, types))).chain([onto_bytes]) {
        engine.register_raw_fn(name, types, move |context: NativeCallContext, args: &mut [&mut Dynamic]| {
            called(&context, name, args)
        });
    }
}

fn called(context: &NativeCallContext, name: &'static str, args: &mut [&mut Dynamic]) -> Raised<Dynamic> {
    if name == QUOTES
        && let Some(text) = args.first().and_then(|value| value.read_lock::<ImmutableString>())
        && Secrets::is_tainted(&text)
    {
        return Ok(format!("\"{}\"", text.as_str()).into());
    }
    if args.iter().any(|value| is_tainted(value)) {
        let name = name.trim_start_matches("get$");
        return Err(throw(context, refusal(&format!("`{name}`"))));
    }
    plain(context, name, args)
}

/// The language's own.
fn plain(context: &NativeCallContext, name: &'static str, args: &mut [&mut Dynamic]) -> Raised<Dynamic> {
    let plain = (&*PLAIN, name, None, context.global_runtime_state(), context.call_position());
    NativeCallContext::from(plain).call_native_fn_raw(name, true, args)
}

pub(super) fn is_tainted(value: &Dynamic) -> bool {
    value.read_lock::<ImmutableString>().is_some_and(|text| Secrets::is_tainted(&text))
}
