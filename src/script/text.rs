//! Texts and lists: what scripts would otherwise each write for themselves.

use rhai::{Array, Dynamic, EvalAltResult, NativeCallContext};

use super::fault::throw;
use super::registry::Registry;
use super::secret::{joined, refusal};
use crate::error::Error;
use crate::secret::Secrets;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(registry: &mut Registry) {
    registry.add("lines", |context: NativeCallContext, text: &str| -> Raised<Array> {
        match Secrets::is_tainted(text) {
            // A secret may have several lines.
            true => Err(throw(&context, refusal("`lines`"))),
            false => Ok(text.lines().map(|line| Dynamic::from(line.to_owned())).collect()),
        }
    });
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
