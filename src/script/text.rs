//! Texts and lists: what scripts would otherwise each write for themselves.

use rhai::{Array, Dynamic, EvalAltResult, NativeCallContext};

use super::fault::throw;
use super::registry::Registry;
use super::secret::joined;
use crate::error::Error;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(registry: &mut Registry) {
    registry.add("lines", |text: &str| -> Array { text.lines().map(|line| Dynamic::from(line.to_owned())).collect() });
    registry.add("joined", |context: NativeCallContext, list: &mut Array, between: &str| -> Raised<Dynamic> {
        joined(list, between).map_err(|index| {
            throw(
                &context,
                Error::playbook(format!("joined: `[{index}]` is a {}, not a text", list[index].type_name()))
                    .hint("make texts of the items first: `list.map(|item| item.name).joined(\", \")`"),
            )
        })
    });
}
