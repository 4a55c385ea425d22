//! Texts and lists: what scripts would otherwise each write for themselves.

use rhai::{Array, Dynamic, Engine, EvalAltResult, NativeCallContext};

use super::fault::throw;
use crate::error::Error;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("lines", |text: &str| -> Array {
        text.lines().map(|line| Dynamic::from(line.to_owned())).collect()
    });
    engine.register_fn("joined", |context: NativeCallContext, list: &mut Array, between: &str| -> Raised<String> {
        let words = list.iter().enumerate().map(|(index, item)| {
            let item = item.flatten_clone();
            let data = item.is_string() || item.is_int() || item.is_float() || item.is_bool() || item.is_char();
            match data {
                true => Ok(item.to_string()),
                false => Err(throw(
                    &context,
                    Error::playbook(format!("joined: `[{index}]` is a {}, not a text", item.type_name()))
                        .hint("make texts of the items first: `list.map(|item| item.name).joined(\", \")`"),
                )),
            }
        });
        words.collect::<Raised<Vec<_>>>().map(|words| words.join(between))
    });
}
