//! Authorities and secrets: what a script may use and never holds.

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, Map, NativeCallContext};
use serde_json::Value;

use super::fault::throw;
use super::value::{from_json, to_json};
use super::world::World;
use crate::control::{Base, Wish};
use crate::error::{Error, Result};
use crate::event::What;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, world: &Arc<World>) {
    let shared = Arc::clone(world);
    engine.register_fn("ca", move |context: NativeCallContext, name: &str, wish: Map| -> Raised<Dynamic> {
        ca(&shared, name, wish).map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(world);
    engine.register_fn("ca", move |context: NativeCallContext, name: &str| -> Raised<Dynamic> {
        let authority = shared.control.authorities.get(name).map_err(|e| throw(&context, e))?;
        Ok(shown(name, &authority.cert, &authority.fingerprint))
    });
    let shared = Arc::clone(world);
    engine.register_fn("secret", move |context: NativeCallContext, from: &str| -> Raised<String> {
        let base = Base::of(context.call_source().unwrap_or_default());
        shared.control.secret(&base, from).map_err(|e| throw(&context, e))
    });
}

/// What is wrong with one field of a wish for an authority.
pub(super) fn wish(name: &str, value: Value) -> Option<Error> {
    let known = !value.is_null();
    let wish = serde_json::from_value::<Wish>(Value::Object([(name.to_owned(), value)].into_iter().collect()));
    let message = wish.err()?.to_string();
    let wrong = message.contains("unknown field") || known && !message.contains("missing field");
    wrong.then(|| Error::playbook(format!("ca: {message}")))
}

fn ca(world: &Arc<World>, name: &str, wish: Map) -> Result<Dynamic> {
    let wish: Wish =
        serde_json::from_value(to_json(&Dynamic::from(wish))?).map_err(|e| Error::playbook(format!("ca: {e}")))?;
    let mode = world.fleet.mode();
    let (authority, new) = world.control.authorities.ensure(name, &wish, mode)?;
    if new {
        let text = format!(
            "authority `{name}` {}",
            if mode == crate::wire::Mode::Check { "would be made" } else { "was made" }
        );
        world.events.tell(What::Said { host: None, warning: false, text });
    }
    Ok(shown(name, &authority.cert, &authority.fingerprint))
}

fn shown(name: &str, cert: &str, fingerprint: &str) -> Dynamic {
    from_json(&Value::Object(serde_json::Map::from_iter([
        ("name".to_owned(), name.into()),
        ("cert".to_owned(), cert.into()),
        ("fingerprint".to_owned(), fingerprint.into()),
    ])))
}
